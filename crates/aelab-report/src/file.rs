//! Results on disk: whole or not at all.

use std::io::{self, Write};
use std::path::Path;

use aelab_core::Image;
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};

/// Writes `bytes` to a temporary file beside `path`, syncs it, and renames it to `path`: a reader, or a
/// later run after a crash, sees the old content or the new, never a part.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut unfinished = tempfile::Builder::new().prefix(".aelab-").suffix(".tmp").tempfile_in(folder)?;
    unfinished.write_all(bytes)?;
    make_readable(unfinished.as_file())?;
    unfinished.as_file().sync_all()?;
    unfinished.persist(path)?;
    Ok(())
}

/// Temporary files are private by default; results are as readable as any other file.
#[cfg(unix)]
fn make_readable(file: &std::fs::File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn make_readable(_file: &std::fs::File) -> io::Result<()> {
    Ok(())
}

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

/// [`encode_png`] and [`write_atomic`].
pub fn write_figure(path: &Path, image: &Image) -> io::Result<()> {
    write_atomic(path, &encode_png(image)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("figures/a.txt");
        write_atomic(&path, b"one").unwrap();
        write_atomic(&path, b"two").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

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
