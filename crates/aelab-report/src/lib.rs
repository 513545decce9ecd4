//! Tables and figures out of results.
//!
//! Pure functions: small structs go in; pictures ([`Image`](aelab_core::Image)), CSV, Markdown and terminal
//! tables come out. Nothing here knows how a run lies on disk; [`write_figure`] puts a picture where the caller says.
//!
//! * [`summarize`] turns one row per trial into one row per configuration, with means and standard deviations over seeds;
//! * [`Summary`] has the tables of a run, [`Table`] renders them;
//! * [`compare`] puts configurations of any runs side by side, with the [`statistics`] that tell them apart, and
//!   [`trade_off`] draws one quantity of theirs against another;
//! * [`metric_figure`] picks out of a summary what [`metric_against_hyperparameter`] draws;
//! * [`reconstruction_grid`], [`sample_grid`], [`series_grid`], [`learning_curves`], [`latent_scatter`], [`line_chart`],
//!   [`bar_chart`], [`heat_map`] and [`vector_fields`] draw the rest.

#![forbid(unsafe_code)]

mod axis;
mod bar_chart;
mod canvas;
mod category_names;
mod comparison;
mod comparison_files;
mod comparison_tables;
mod file;
mod heat_map;
mod image_figures;
mod latent_scatter;
mod learning_curves;
mod line_chart;
mod metric_figure;
mod number;
mod page;
mod palette;
mod series_figures;
pub mod statistics;
mod summary;
mod summary_tables;
mod table;
mod terminal_table;
mod trade_off;
mod vector_field;

pub use bar_chart::{BarChart, BarChartSeries, bar_chart};
pub use canvas::FigureError;
pub use comparison::{
    BaselineValue, ComparedMetric, ComparedTrial, Comparison, ComparisonCell, ComparisonColumn, ComparisonInput, ComparisonRow, KeyValues,
    LeftOut, Measured, SIGNIFICANCE, Standing, compare,
};
pub use file::{encode_png, write_figure};
pub use heat_map::{HeatMap, heat_map};
pub use image_figures::{ImageRow, ReconstructionGrid, SampleGrid, reconstruction_grid, sample_grid};
pub use latent_scatter::{LatentScatter, latent_scatter};
pub use learning_curves::{Curve, CurvePanel, LearningCurves, learning_curves};
pub use line_chart::{ChartLine, LineChart, line_chart};
pub use metric_figure::{
    Baseline, MetricFigure, MetricPoint, MetricSeries, metric_against_hyperparameter, metric_figure, swept_hyperparameters,
};
pub use series_figures::{SeriesGrid, SeriesLine, series_grid};
pub use summary::{BaselineRow, Configuration, Direction, Metric, MetricInfo, Spread, Summary, TrialRow, baseline_readings, summarize};
pub use summary_tables::{FigureGroup, FigureLink, SummaryPage};
pub use table::{Alignment, Cell, Column, Row, Table};
pub use trade_off::{Abscissa, TradeOff, trade_off};
pub use vector_field::{ArrowPanel, VectorFields, vector_fields};
