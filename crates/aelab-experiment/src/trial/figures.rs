//! The pictures of one trial, as PNG files in its `figures` folder, and its tables, as CSV files in `tables`.

use std::path::Path;

use aelab_core::{Image, ObserverError};
use aelab_eval::{BarSeries, DataTable, ExampleRow, FieldPanel, Line, Picture, PictureContent};
use aelab_files::write_atomic;
use aelab_report::{
    ArrowPanel, BarChart, BarChartSeries, Cell, ChartLine, Column, FigureError, HeatMap, ImageRow, LatentScatter, LineChart,
    ReconstructionGrid, Row, SampleGrid, SeriesGrid, SeriesLine, Table, VectorFields, bar_chart, heat_map, latent_scatter, line_chart,
    reconstruction_grid, sample_grid, series_grid, vector_fields, write_figure,
};
use serde_json::Value;

use super::TrialError;
use crate::{ResolvedTrial, short_value};

/// Width of the pictures that TensorBoard is told of.
const TENSORBOARD_WIDTH: usize = 1000;

/// Draws what the evaluations brought along, and tells of each picture by its name, not wider than TensorBoard shows it.
pub(super) fn draw(
    folder: &Path,
    trial: &ResolvedTrial,
    pictures: &[Picture],
    tell: &mut dyn FnMut(&str, &Image) -> Result<(), ObserverError>,
) -> Result<(), TrialError> {
    if pictures.is_empty() {
        return Ok(());
    }
    let folder = folder.join("figures");
    std::fs::create_dir_all(&folder).map_err(|source| TrialError::Write { path: folder.clone(), source })?;
    for picture in pictures {
        let path = folder.join(format!("{}.png", picture.name));
        let image = image(trial, picture).map_err(|source| TrialError::Figure { path: path.clone(), source })?;
        write_figure(&path, &image).map_err(|source| TrialError::Write { path: path.clone(), source })?;
        tell(&picture.name, &narrowed(image, TENSORBOARD_WIDTH))?;
    }
    Ok(())
}

/// The picture at most `max_width` pixels wide, each pixel the mean of the area that it takes the place of.
fn narrowed(image: Image, max_width: usize) -> Image {
    if image.width <= max_width {
        return image;
    }
    if image.channels == 3 { narrowed_channels::<3>(&image, max_width) } else { narrowed_channels::<1>(&image, max_width) }
}

fn narrowed_channels<const CHANNELS: usize>(image: &Image, max_width: usize) -> Image {
    let Image { width, height, .. } = *image;
    let scale = width as f64 / max_width as f64;
    let new_height = ((height as f64 / scale).round() as usize).max(1);
    let columns: Vec<Vec<(usize, f32)>> = (0..max_width).map(|column| shares(column, width, max_width)).collect();
    let (source, _) = image.pixels.as_chunks::<CHANNELS>();
    let mut pixels = Vec::with_capacity(max_width * new_height * CHANNELS);
    let mut line = vec![[0.0f32; CHANNELS]; width];
    for row in 0..new_height {
        line.fill([0.0; CHANNELS]);
        for (row, share) in shares(row, height, new_height) {
            let source = source[row * width..][..width].as_flattened();
            line.as_flattened_mut().iter_mut().zip(source).for_each(|(sum, &pixel)| *sum += share * f32::from(pixel));
        }
        for columns in &columns {
            let mut mean = [0.0; CHANNELS];
            for &(column, share) in columns {
                mean.iter_mut().zip(&line[column]).for_each(|(mean, pixel)| *mean += share * pixel);
            }
            // Rounded: a conversion cuts off.
            pixels.extend(mean.map(|mean| (mean + 0.5) as u8));
        }
    }
    Image { width: max_width, height: new_height, channels: CHANNELS, pixels }
}

/// Which of `from` pixels in a line lie in pixel `index` of `to`, and with what share of it.
fn shares(index: usize, from: usize, to: usize) -> Vec<(usize, f32)> {
    let length = from as f64 / to as f64;
    let (start, end) = (index as f64 * length, (index + 1) as f64 * length);
    let overlap = |pixel: usize| (end.min(pixel as f64 + 1.0) - start.max(pixel as f64)) / length;
    (start as usize..from.min(end.ceil() as usize)).map(|pixel| (pixel, overlap(pixel) as f32)).filter(|(_, share)| *share > 0.0).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_narrowed_picture_keeps_its_colours_in_their_places() {
        let pixels: Vec<u8> = (0..3 * 6).flat_map(|index| if index % 6 < 3 { [200, 0, 10] } else { [0, 100, 50] }).collect();
        let narrow = narrowed(Image { width: 6, height: 3, channels: 3, pixels: pixels.clone() }, 4);
        assert_eq!((narrow.width, narrow.height, narrow.channels), (4, 2, 3));
        assert_eq!(narrow.pixels[..12], [200, 0, 10, 200, 0, 10, 0, 100, 50, 0, 100, 50]);
        // One and a half pixels to one.
        let line = Image { width: 3, height: 1, channels: 1, pixels: vec![30, 60, 90] };
        assert_eq!(narrowed(line.clone(), 2).pixels, [40, 80]);
        assert_eq!(narrowed(line.clone(), 3), line);
        assert_eq!(narrowed(Image { width: 7, height: 5, channels: 1, pixels: vec![255; 35] }, 3).pixels, [255; 6]);
    }
}
