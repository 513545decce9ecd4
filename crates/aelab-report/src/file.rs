//! Pictures as PNG files.

use std::io;
use std::path::Path;

use aelab_core::Image;
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};

/// The picture as a PNG file.
pub fn encode_png(image: &Image) -> io::Result<Vec<u8>> {
    let color = if image.channels == 1 { ExtendedColorType::L8 } else { ExtendedColorType::Rgb8 };
    let channels = if image.channels == 1 { 1 } else { 3 };
    let (Ok(width), Ok(height)) = (u32::try_from(image.width), u32::try_from(image.height)) else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the picture is too large for a PNG"));
    };
    if image.channels != channels || image.pixels.len() != image.width * image.height * channels {
        let message = format!(
            "a picture of {} x {} with {} channels cannot hold {} values (1 channel is grey, 3 are RGB)",
            image.width,
            image.height,
            image.channels,
            image.pixels.len()
        );
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    let mut bytes = Vec::new();
    PngEncoder::new(&mut bytes).write_image(&image.pixels, width, height, color).map_err(io::Error::other)?;
    Ok(bytes)
}

/// [`encode_png`] into a file that is whole or absent.
pub fn write_figure(path: &Path, image: &Image) -> io::Result<()> {
    aelab_files::write_atomic(path, &encode_png(image)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_png_decodes_to_the_same_pixels() {
        let rgb = Image { width: 2, height: 1, channels: 3, pixels: vec![1, 2, 3, 250, 251, 252] };
        let decoded = image::load_from_memory(&encode_png(&rgb).unwrap()).unwrap();
        assert_eq!(decoded.as_rgb8().unwrap().as_raw(), &rgb.pixels);
        let grey = Image { width: 1, height: 2, channels: 1, pixels: vec![0, 200] };
        let decoded = image::load_from_memory(&encode_png(&grey).unwrap()).unwrap();
        assert_eq!(decoded.as_luma8().unwrap().as_raw(), &grey.pixels);
    }

    #[test]
    fn a_picture_of_another_size_than_it_says_is_refused() {
        for image in [
            Image { width: 2, height: 2, channels: 3, pixels: vec![0; 11] },
            Image { width: 1, height: 1, channels: 2, pixels: vec![0; 2] },
            Image { width: 0, height: 0, channels: 1, pixels: Vec::new() },
        ] {
            assert!(encode_png(&image).is_err());
        }
    }
}
