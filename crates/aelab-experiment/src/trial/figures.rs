//! The pictures of one trial, as PNG files in its `figures` folder.

use std::path::Path;

use aelab_core::Image;
use aelab_eval::Picture;
use aelab_report::{
    FigureError, ImageRow, LatentScatter, ReconstructionGrid, SampleGrid, SeriesGrid, SeriesLine, latent_scatter, reconstruction_grid,
    sample_grid, series_grid, write_figure,
};

use super::TrialError;
use crate::{ResolvedTrial, short_value};

/// Draws what the evaluations brought along.
pub(super) fn draw(folder: &Path, trial: &ResolvedTrial, pictures: &[Picture]) -> Result<(), TrialError> {
    if pictures.is_empty() {
        return Ok(());
    }
    let folder = folder.join("figures");
    std::fs::create_dir_all(&folder).map_err(|source| TrialError::Write { path: folder.clone(), source })?;
    for picture in pictures {
        let name = match picture {
            Picture::Reconstructions { .. } => "reconstruction.png",
            Picture::Samples { .. } => "samples.png",
            Picture::SeriesReconstructions { .. } => "series.png",
            Picture::SeriesSamples { .. } => "series_samples.png",
            Picture::LatentScatter { .. } => "codes.png",
            _ => continue,
        };
        let path = folder.join(name);
        let image = image(trial, picture).map_err(|source| TrialError::Figure { path: path.clone(), source })?;
        write_figure(&path, &image).map_err(|source| TrialError::Write { path: path.clone(), source })?;
    }
    Ok(())
}

fn image(trial: &ResolvedTrial, picture: &Picture) -> Result<Image, FigureError> {
    let (model, data) = (trial.model.name(), trial.data.name());
    let code_size = trial.model.code_size();
    let mut details: Vec<String> = trial
        .overrides
        .iter()
        .filter(|(path, _)| path != "model")
        .map(|(path, value)| format!("{path} = {}", short_value(value)))
        .collect();
    details.push(format!("seed {}", trial.train.seed));
    let subtitle = details.join(", ");
    match picture {
        Picture::Reconstructions { inputs, corrupted, reconstructions, pca, shape, labels } => {
            let pca_caption = format!("PCA, {code_size} components");
            let mut rows = vec![ImageRow { caption: "test image", examples: inputs }];
            rows.extend(corrupted.as_ref().map(|examples| ImageRow { caption: "corrupted", examples }));
            rows.push(ImageRow { caption: "reconstruction", examples: reconstructions });
            rows.extend(pca.as_ref().map(|examples| ImageRow { caption: &pca_caption, examples }));
            let labels: Vec<String> = labels.iter().flatten().map(u32::to_string).collect();
            let title = format!("{model} on {data}: {code_size}-dimensional code");
            reconstruction_grid(&ReconstructionGrid { title: &title, subtitle: &subtitle, shape: *shape, rows, labels: &labels })
        }
        Picture::Samples { images, shape, columns } => {
            let each = if columns.is_some() { ", one class per column" } else { "" };
            let title = format!("{model} on {data}: samples from the prior{each}");
            sample_grid(&SampleGrid { title: &title, subtitle: &subtitle, shape: *shape, samples: images, columns: *columns })
        }
        Picture::SeriesReconstructions { inputs, reconstructions, pca, shape, labels } => {
            let pca_caption = format!("PCA, {code_size} components");
            let mut lines = vec![SeriesLine { caption: "test series", values: inputs }];
            lines.push(SeriesLine { caption: "reconstruction", values: reconstructions });
            lines.extend(pca.as_ref().map(|values| SeriesLine { caption: &pca_caption, values }));
            let labels: Vec<String> = labels.iter().flatten().map(|label| format!("class {label}")).collect();
            let title = format!("{model} on {data}: {code_size}-dimensional code");
            series_grid(&SeriesGrid { title: &title, subtitle: &subtitle, shape: *shape, lines, labels: &labels })
        }
        Picture::SeriesSamples { series, shape } => {
            let title = format!("{model} on {data}: samples from the prior");
            let lines = vec![SeriesLine { caption: "sample", values: series }];
            series_grid(&SeriesGrid { title: &title, subtitle: &subtitle, shape: *shape, lines, labels: &[] })
        }
        Picture::LatentScatter { points, labels, class_names } => {
            let title = format!("{model} on {data}: codes of test examples");
            let labels: Vec<usize> = labels.iter().flatten().map(|&label| label as usize).collect();
            latent_scatter(&LatentScatter {
                title: &title,
                subtitle: &subtitle,
                points,
                labels: &labels,
                class_names: class_names.as_deref().unwrap_or_default(),
            })
        }
        _ => unreachable!("only pictures with a file name are drawn"),
    }
}
