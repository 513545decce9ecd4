//! The pictures of one trial, as PNG files in its `figures` folder, and its tables, as CSV files in `tables`.

use std::path::Path;

use aelab_core::Image;
use aelab_eval::{BarSeries, DataTable, ExampleRow, FieldPanel, Line, Picture, PictureContent};
use aelab_report::{
    ArrowPanel, BarChart, BarChartSeries, Cell, ChartLine, Column, FigureError, HeatMap, ImageRow, LatentScatter, LineChart,
    ReconstructionGrid, Row, SampleGrid, SeriesGrid, SeriesLine, Table, VectorFields, bar_chart, heat_map, latent_scatter, line_chart,
    reconstruction_grid, sample_grid, series_grid, vector_fields, write_figure,
};
use serde_json::Value;

use super::TrialError;
use crate::file::write_atomic;
use crate::{ResolvedTrial, short_value};

/// Draws what the evaluations brought along.
pub(super) fn draw(folder: &Path, trial: &ResolvedTrial, pictures: &[Picture]) -> Result<(), TrialError> {
    if pictures.is_empty() {
        return Ok(());
    }
    let folder = folder.join("figures");
    std::fs::create_dir_all(&folder).map_err(|source| TrialError::Write { path: folder.clone(), source })?;
    for picture in pictures {
        let path = folder.join(format!("{}.png", picture.name));
        let image = image(trial, picture).map_err(|source| TrialError::Figure { path: path.clone(), source })?;
        write_figure(&path, &image).map_err(|source| TrialError::Write { path: path.clone(), source })?;
    }
    Ok(())
}

/// Writes the tables.
pub(super) fn write_tables(folder: &Path, tables: &[DataTable]) -> Result<(), TrialError> {
    if tables.is_empty() {
        return Ok(());
    }
    let folder = folder.join("tables");
    std::fs::create_dir_all(&folder).map_err(|source| TrialError::Write { path: folder.clone(), source })?;
    for table in tables {
        let path = folder.join(format!("{}.csv", table.name));
        write_atomic(&path, as_table(table).to_csv().as_bytes()).map_err(|source| TrialError::Write { path, source })?;
    }
    Ok(())
}

fn as_table(table: &DataTable) -> Table {
    let cell = |value: &Value| match value {
        Value::Null => Cell::Empty,
        Value::Number(number) => number.as_u64().map_or_else(|| Cell::Number(number.as_f64().unwrap_or(f64::NAN)), Cell::Integer),
        other => Cell::Text(short_value(other)),
    };
    Table {
        columns: table.columns.iter().map(Column::text).collect(),
        rows: table.rows.iter().map(|row| Row::new(row.iter().map(cell).collect())).collect(),
    }
}

fn image(trial: &ResolvedTrial, picture: &Picture) -> Result<Image, FigureError> {
    let title = format!("{} on {}: {}", trial.model.name(), trial.data.name(), picture.title);
    let mut details: Vec<String> = trial
        .overrides
        .iter()
        .filter(|(path, _)| path != "model")
        .map(|(path, value)| format!("{path} = {}", short_value(value)))
        .collect();
    details.push(format!("seed {}", trial.train.seed));
    let subtitle = details.join(", ");
    let (title, subtitle) = (title.as_str(), subtitle.as_str());
    match &picture.content {
        PictureContent::ImageRows { rows, shape, labels } => {
            let rows = rows.iter().map(|ExampleRow { caption, values }| ImageRow { caption, examples: values }).collect();
            reconstruction_grid(&ReconstructionGrid { title, subtitle, shape: *shape, rows, labels })
        }
        PictureContent::ImageGrid { images, shape, columns } => {
            sample_grid(&SampleGrid { title, subtitle, shape: *shape, samples: images, columns: *columns })
        }
        PictureContent::SeriesRows { rows, shape, labels } => {
            let lines = rows.iter().map(|ExampleRow { caption, values }| SeriesLine { caption, values }).collect();
            series_grid(&SeriesGrid { title, subtitle, shape: *shape, lines, labels })
        }
        PictureContent::Scatter { points, labels, class_names, axes: [x, y] } => {
            let labels: Vec<usize> = labels.iter().flatten().map(|&label| label as usize).collect();
            let class_names = class_names.as_deref().unwrap_or_default();
            latent_scatter(&LatentScatter { title, subtitle, points, labels: &labels, class_names, axes: [x, y] })
        }
        PictureContent::Lines { lines, axes: [x, y], logarithmic } => {
            let line = |Line { name, points, is_baseline }: &Line| ChartLine {
                name: name.clone(),
                points: points.iter().map(|&[x, y]| (x, y)).collect(),
                is_baseline: *is_baseline,
            };
            let lines = lines.iter().map(line).collect();
            line_chart(&LineChart { title, subtitle, axes: [x, y], logarithmic: *logarithmic, lines })
        }
        PictureContent::Bars { groups, series, axis } => {
            let series = series.iter().map(|BarSeries { name, heights, half_widths }| BarChartSeries { name, heights, half_widths });
            bar_chart(&BarChart { title, subtitle, axis, groups, series: series.collect() })
        }
        PictureContent::Heatmap { rows, columns, values, axes } => {
            let axes = axes.each_ref().map(String::as_str);
            heat_map(&HeatMap { title, subtitle, axes, rows, columns, values })
        }
        PictureContent::VectorField { points, panels } => {
            let panels = panels.iter().map(|FieldPanel { caption, arrows }| ArrowPanel { caption, arrows }).collect();
            vector_fields(&VectorFields { title, subtitle, points, panels })
        }
    }
}
