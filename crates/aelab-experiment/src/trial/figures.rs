//! The pictures of one trial, as PNG files in its `figures` folder, and its tables, as CSV files in `tables`.

use std::path::Path;

use aelab_core::Image;
use aelab_eval::{DataTable, ExampleRow, Picture, PictureContent};
use aelab_report::{
    Cell, Column, FigureError, ImageRow, LatentScatter, ReconstructionGrid, Row, SampleGrid, SeriesGrid, SeriesLine, Table, latent_scatter,
    reconstruction_grid, sample_grid, series_grid, write_figure,
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
        let Some(image) = image(trial, picture) else { continue };
        let image = image.map_err(|source| TrialError::Figure { path: path.clone(), source })?;
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

fn image(trial: &ResolvedTrial, picture: &Picture) -> Option<Result<Image, FigureError>> {
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
    Some(match &picture.content {
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
        PictureContent::Scatter { points, labels, class_names, axes: _ } => {
            let labels: Vec<usize> = labels.iter().flatten().map(|&label| label as usize).collect();
            let class_names = class_names.as_deref().unwrap_or_default();
            latent_scatter(&LatentScatter { title, subtitle, points, labels: &labels, class_names })
        }
        // Drawn once the charts are there.
        PictureContent::Lines { .. }
        | PictureContent::Bars { .. }
        | PictureContent::Heatmap { .. }
        | PictureContent::VectorField { .. } => return None,
    })
}
