//! `images`: the user's own folder of PNG and JPEG files.

use std::io::BufReader;
use std::path::{Path, PathBuf};

use aelab_core::{ConfigError, DataSpec, Domain};
use aelab_map::Numbers;
use image::imageops::FilterType;
use image::{DynamicImage, ImageDecoder, ImageError, ImageReader, Limits};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use walkdir::WalkDir;

use super::check_shapes;
use crate::checksum;
use crate::dataset::{Part, RawDataset, Values};
use crate::decoded::load_own;
use crate::formats::payload::open_plain;
use crate::labels::classes;
use crate::options::dataset_config;
use crate::{DataError, Dataset, DatasetSource, LoadContext, Origin, memory};

dataset_config! { own,
    /// A folder of PNG and JPEG files. Where they lie in sub-folders, the first level names their classes.
    ImagesConfig {
        /// The folder; relative to the experiment file.
        pub path: PathBuf,
        /// A folder of test images, where they are apart.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub test_path: Option<PathBuf>,
        /// Height and width that every image is resized to; when absent, all must have the same size.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub size: Option<[u32; 2]>,
        /// Grey (one channel) or red, green and blue (three).
        #[serde(default)]
        pub color: Color,
    }
}

/// Channels of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Color {
    /// One channel: luminance.
    #[default]
    Grey,
    /// Three channels: red, green, blue.
    Rgb,
}

/// Larger sides are a mistake more often than a wish.
const MAX_SIDE: u32 = 16_384;

/// The most memory that decoding one image may take: that of 16,384 x 16,384 pixels in colour.
const MAX_DECODED: u64 = 3 * (MAX_SIDE as u64) * (MAX_SIDE as u64);

impl DatasetSource for ImagesConfig {
    const NAME: &'static str = "images";
    const SUMMARY: &'static str = "your own folder of PNG and JPEG images";

    fn check(&self) -> Result<(), ConfigError> {
        if let Some(size) = self.size
            && !size.iter().all(|side| (1..=MAX_SIDE).contains(side))
        {
            return Err(ConfigError::new(
                "size",
                format!("`size` is [height, width] in pixels, each from 1 to {MAX_SIDE}, but is {size:?}"),
            ));
        }
        self.options().check(self.test_path.is_some())
    }

    fn with_defaults(&self) -> Self {
        self.with_fractions(self.test_path.is_some())
    }

    fn checksum(&self, context: &LoadContext) -> Result<String, DataError> {
        let mut sums = Vec::new();
        for (role, folder) in [("path", Some(&self.path)), ("test_path", self.test_path.as_ref())] {
            let Some(folder) = folder else { continue };
            let folder = context.resolve(folder);
            for file in image_files(&folder)? {
                let name = file.strip_prefix(&folder).unwrap_or(&file).to_string_lossy().replace('\\', "/");
                sums.push((format!("{role}/{name}"), checksum::of_file(&file)?));
            }
        }
        Ok(checksum::combined(sums.iter().map(|(name, sum)| (name.as_str(), sum.clone()))))
    }

    fn spec(&self, context: &LoadContext) -> Result<DataSpec, DataError> {
        let folder = context.resolve(&self.path);
        let files = image_files(&folder)?;
        let (height, width) = match self.size {
            Some([height, width]) => (height as usize, width as usize),
            None => header_size(&files[0])?,
        };
        let train = class_labels(&folder, &files)?;
        let test = match &self.test_path {
            None => None,
            Some(test) => {
                let folder = context.resolve(test);
                class_labels(&folder, &image_files(&folder)?)?
            }
        };
        let num_classes = train.map(|train| classes(&train, test.as_deref()).names.len());
        Ok(self.options().spec(vec![self.channels(), height, width], Domain::UnitInterval, num_classes))
    }

    fn load(&self, context: &LoadContext) -> Result<Dataset, DataError> {
        let decode = || -> Result<RawDataset, DataError> {
            let train = self.read(&context.resolve(&self.path))?;
            let test = self.test_path.as_ref().map(|test| self.read(&context.resolve(test))).transpose()?;
            if let Some(test) = &test {
                check_shapes(&train.origin, &train.shape, &test.origin, &test.shape)?;
                if train.labels.is_some() != test.labels.is_some() {
                    let message =
                        format!("only one of this folder and {} has sub-folders; classes are needed in both or neither", train.origin);
                    return Err(DataError::Split { origin: test.origin.clone(), message });
                }
            }
            let (mut train_labels, mut test_labels, mut class_names) = (None, None, None);
            if let Some(labels) = &train.labels {
                let classes = classes(labels, test.as_ref().and_then(|test| test.labels.as_deref()));
                (train_labels, test_labels, class_names) = (Some(classes.train), classes.test, Some(classes.names));
            }
            let event_shape = train.shape.clone();
            let part = |folder: Folder, labels| {
                let values = Values::Bytes { data: Numbers::owned(folder.pixels), divisor: 255.0 };
                Part::new(folder.origin, values, labels)
            };
            Ok(RawDataset {
                train: part(train, train_labels),
                test: test.map(|test| part(test, test_labels)),
                event_shape,
                class_names,
                hold_out: None,
                dictionary: None,
            })
        };
        load_own(self, &self.options(), context, &[Some(&self.path), self.test_path.as_deref()], decode)
    }
}

/// The images of a folder.
struct Folder {
    origin: Origin,
    /// `[channel, height, width]`
    shape: Vec<usize>,
    /// `[example, channel, height, width]`
    pixels: Vec<u8>,
    labels: Option<Vec<String>>,
}

impl ImagesConfig {
    fn channels(&self) -> usize {
        match self.color {
            Color::Grey => 1,
            Color::Rgb => 3,
        }
    }

    fn read(&self, folder: &Path) -> Result<Folder, DataError> {
        let files = image_files(folder)?;
        let labels = class_labels(folder, &files)?;
        let mut first: Option<(&PathBuf, (usize, usize))> = None;
        let mut pixels = Vec::new();
        for file in &files {
            let decoded = decode(file)?;
            let image = match self.size {
                Some([height, width]) if (decoded.height(), decoded.width()) != (height, width) => {
                    decoded.resize_exact(width, height, FilterType::Triangle)
                }
                _ => decoded,
            };
            let size = (image.height() as usize, image.width() as usize);
            match first {
                None => {
                    let needed = files.len().saturating_mul(self.channels() * size.0 * size.1);
                    let too_large = || DataError::TooLarge { origin: Origin::file(folder), limit: memory::limit() };
                    if needed as u64 > memory::limit() {
                        return Err(too_large());
                    }
                    pixels.try_reserve_exact(needed).map_err(|_| too_large())?;
                    first = Some((file, size));
                }
                Some((first, first_size)) if first_size != size => {
                    return Err(DataError::ImageSizes { path: file.clone(), size, first: first.clone(), first_size });
                }
                Some(_) => {}
            }
            self.append(&image, &mut pixels);
        }
        let (height, width) = first.map_or((0, 0), |(_, size)| size);
        Ok(Folder { origin: Origin::file(folder), shape: vec![self.channels(), height, width], pixels, labels })
    }

    /// Appends the channels one after the other.
    fn append(&self, image: &DynamicImage, pixels: &mut Vec<u8>) {
        match self.color {
            Color::Grey => pixels.extend_from_slice(image.to_luma8().as_raw()),
            Color::Rgb => {
                let rgb = image.to_rgb8();
                for channel in 0..3 {
                    pixels.extend(rgb.as_raw().iter().skip(channel).step_by(3));
                }
            }
        }
    }
}

/// PNG and JPEG files at any depth, in the order of their paths.
fn image_files(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let mut files = Vec::new();
    for entry in WalkDir::new(folder).follow_links(true).sort_by_file_name() {
        let entry = entry.map_err(|error| {
            let path = error.path().unwrap_or(folder).to_owned();
            let source = error.into_io_error().unwrap_or_else(|| std::io::Error::other("the folder contains itself through a link"));
            DataError::Io { action: "read", path, source }
        })?;
        let extension = entry.path().extension().unwrap_or_default().to_string_lossy().to_lowercase();
        if entry.file_type().is_file() && matches!(extension.as_str(), "png" | "jpg" | "jpeg") {
            files.push(entry.into_path());
        }
    }
    if files.is_empty() {
        return Err(DataError::Empty { origin: Origin::file(folder), what: "PNG or JPEG images" });
    }
    Ok(files)
}

/// The first-level sub-folder of each file; `None` where all lie in the folder itself.
fn class_labels(folder: &Path, files: &[PathBuf]) -> Result<Option<Vec<String>>, DataError> {
    let class = |file: &PathBuf| -> Option<String> {
        let inside = file.strip_prefix(folder).ok()?;
        let mut components = inside.components();
        let first = components.next()?;
        components.next().map(|_| first.as_os_str().to_string_lossy().into_owned())
    };
    let labels: Vec<Option<String>> = files.iter().map(class).collect();
    if labels.iter().all(Option::is_none) {
        return Ok(None);
    }
    match labels.iter().position(Option::is_none) {
        None => Ok(Some(labels.into_iter().flatten().collect())),
        Some(at) => {
            let message = format!("{} lies beside the sub-folders that name classes; move it into one", files[at].display());
            Err(DataError::Split { origin: Origin::file(folder), message })
        }
    }
}

/// The decoder of a file, its format told by its first bytes, once the header has been read and found to be within bounds.
fn decoder(file: &Path) -> Result<impl ImageDecoder, DataError> {
    let (opened, _) = open_plain(file)?;
    let mut reader = ImageReader::new(BufReader::new(opened)).with_guessed_format().map_err(DataError::io("read", file))?;
    let mut limits = Limits::default();
    (limits.max_image_width, limits.max_image_height, limits.max_alloc) = (Some(MAX_SIDE), Some(MAX_SIDE), Some(most_decoded()));
    reader.limits(limits);
    reader.into_decoder().map_err(|source| image_error(file, source))
}

fn decode(file: &Path) -> Result<DynamicImage, DataError> {
    let decoder = decoder(file)?;
    if decoder.total_bytes() > most_decoded() {
        return Err(too_large(file));
    }
    DynamicImage::from_decoder(decoder).map_err(|source| image_error(file, source))
}

fn most_decoded() -> u64 {
    MAX_DECODED.min(memory::limit())
}

fn too_large(file: &Path) -> DataError {
    DataError::ImageTooLarge { path: file.to_owned(), max_side: MAX_SIDE, max_bytes: most_decoded() }
}

fn header_size(file: &Path) -> Result<(usize, usize), DataError> {
    let (width, height) = decoder(file)?.dimensions();
    Ok((height as usize, width as usize))
}

fn image_error(file: &Path, source: ImageError) -> DataError {
    match source {
        ImageError::Limits(_) => too_large(file),
        source => DataError::Image { path: file.to_owned(), source },
    }
}

#[cfg(test)]
mod tests {
    use aelab_core::{Examples, Purpose, stream};
    use image::{GrayImage, Luma, Rgb, RgbImage};
    use serde_json::json;

    use super::*;
    use crate::sources::in_folder;

    fn grey(folder: &tempfile::TempDir, name: &str, height: u32, width: u32, value: u8) {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        GrayImage::from_pixel(width, height, Luma([value])).save(path).unwrap();
    }

    fn load(folder: &tempfile::TempDir, section: serde_json::Value) -> Result<Dataset, DataError> {
        let config: ImagesConfig = serde_json::from_value(section).unwrap();
        DatasetSource::check(&config).unwrap();
        let dataset = DatasetSource::load(&config, &in_folder(folder))?;
        assert_eq!(dataset.spec(), &DatasetSource::spec(&config, &in_folder(folder)).unwrap());
        Ok(dataset)
    }

    fn values(split: &crate::DataSplit) -> Vec<f32> {
        let mut out = Vec::new();
        split.gather(&(0..split.len()).collect::<Vec<_>>(), &mut stream(0, Purpose::Training, 0, 0), &mut out);
        out
    }

    #[test]
    fn sub_folders_name_the_classes() {
        let folder = tempfile::tempdir().unwrap();
        grey(&folder, "p/dog/1.png", 2, 3, 51);
        grey(&folder, "p/cat/deep/1.png", 2, 3, 102);
        let dataset = load(&folder, json!({"path": "p", "num_valid": 0, "num_test": 0})).unwrap();
        assert_eq!(dataset.class_names.as_deref().unwrap(), ["cat", "dog"]);
        assert_eq!(dataset.train.labels().unwrap(), [0, 1]);
        assert_eq!(dataset.spec().event_shape, [1, 2, 3]);
        assert_eq!(values(&dataset.train), [[0.4; 6], [0.2; 6]].concat());
        grey(&folder, "p/stray.png", 2, 3, 0);
        let error = load(&folder, json!({"path": "p"})).unwrap_err().to_string();
        assert!(error.contains("stray.png lies beside the sub-folders"), "{error}");
    }

    #[test]
    fn colours_are_laid_out_channel_after_channel() {
        let folder = tempfile::tempdir().unwrap();
        let mut picture = RgbImage::new(2, 1);
        picture.put_pixel(0, 0, Rgb([255, 51, 0]));
        picture.put_pixel(1, 0, Rgb([0, 102, 255]));
        picture.save(folder.path().join("a.PNG")).unwrap();
        let dataset = load(&folder, json!({"path": ".", "color": "rgb", "num_valid": 0, "num_test": 0})).unwrap();
        assert_eq!(dataset.spec().image_shape(), Some([3, 1, 2]));
        assert_eq!(values(&dataset.train), [1.0, 0.0, 0.2, 0.4, 0.0, 1.0]);
        assert!(dataset.class_names.is_none());
    }

    #[test]
    fn mixed_sizes_are_refused_unless_a_size_is_given() {
        let folder = tempfile::tempdir().unwrap();
        grey(&folder, "a.png", 2, 3, 51);
        grey(&folder, "b.png", 4, 4, 51);
        let error = load(&folder, json!({"path": "."})).unwrap_err().to_string();
        assert!(error.contains("b.png: is 4 x 4 pixels (height x width), but "), "{error}");
        assert!(error.ends_with("a.png is 2 x 3; set `size: [height, width]` to resize all images"), "{error}");
        let dataset = load(&folder, json!({"path": ".", "size": [2, 2], "num_valid": 0, "num_test": 0})).unwrap();
        assert_eq!(values(&dataset.train), [0.2; 8]);
    }

    #[test]
    fn an_image_that_claims_too_many_pixels_is_refused_unread() {
        let folder = tempfile::tempdir().unwrap();
        let chunk = |kind: &[u8], content: &[u8]| {
            let mut crc = flate2::Crc::new();
            crc.update(&[kind, content].concat());
            [&(content.len() as u32).to_be_bytes(), kind, content, &crc.sum().to_be_bytes()].concat()
        };
        for side in [MAX_SIDE + 1, 0x7fff_ffff] {
            let header = [&side.to_be_bytes()[..], &side.to_be_bytes(), &[8, 2, 0, 0, 0]].concat();
            let image =
                [b"\x89PNG\r\n\x1a\n".as_slice(), &chunk(b"IHDR", &header), &chunk(b"IDAT", &[0x78, 0x9c, 3, 0]), &chunk(b"IEND", b"")];
            std::fs::write(folder.path().join("a.png"), image.concat()).unwrap();
            let config: ImagesConfig = serde_json::from_value(json!({"path": "."})).unwrap();
            let spec = DatasetSource::spec(&config, &in_folder(&folder)).unwrap_err().to_string();
            let load = load(&folder, json!({"path": ".", "size": [2, 2]})).unwrap_err().to_string();
            for error in [spec, load] {
                assert!(error.contains("a.png: is larger than what is read: at most 16384 pixels a side and "), "{error}");
            }
        }
    }

    #[test]
    fn what_is_no_image_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let empty = load(&folder, json!({"path": "."})).unwrap_err().to_string();
        assert!(empty.ends_with("holds no PNG or JPEG images; at least one is needed"), "{empty}");
        std::fs::write(folder.path().join("a.png"), "not an image").unwrap();
        let error = load(&folder, json!({"path": "."})).unwrap_err().to_string();
        assert!(error.ends_with("a.png: is not a PNG or JPEG image that can be read"), "{error}");
        let absent = load(&folder, json!({"path": "nowhere"})).unwrap_err().to_string();
        assert!(absent.ends_with("nowhere: could not be read"), "{absent}");
    }
}
