//! A decoded data set as sections of a file, and back.

use std::path::{Path, PathBuf};

use aelab_core::Factors;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::file::{Column, Opened};
use crate::dataset::{Part, RawDataset, Values};
use crate::observed::Observed;
use crate::{LoadContext, Origin};

/// What is not a section.
#[derive(Serialize, Deserialize)]
struct About {
    train: AboutPart,
    test: Option<AboutPart>,
    event_shape: Vec<usize>,
    class_names: Option<Vec<String>>,
}

#[derive(Serialize, Deserialize)]
struct AboutPart {
    place: Place,
    path: PathBuf,
    member: Option<String>,
    /// Of bytes; `None` for floats.
    divisor: Option<f32>,
    /// Values of a step of a series whose lengths differ.
    step_size: Option<usize>,
    /// Names of the factors and how many values each has.
    factors: Option<(Vec<String>, Vec<u32>)>,
    feature_names: Option<Vec<String>>,
}

/// Where the path of a file starts: the same data may lie elsewhere for the next one.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Place {
    Cache,
    Base,
    Anywhere,
}

impl Place {
    fn of(path: &Path, context: &LoadContext) -> (Self, PathBuf) {
        let below = |folder: &Path| path.strip_prefix(folder).ok().filter(|_| !folder.as_os_str().is_empty()).map(Path::to_owned);
        if let Some(path) = below(&context.cache_dir) {
            return (Place::Cache, path);
        }
        below(&context.base_dir).map_or_else(|| (Place::Anywhere, path.to_owned()), |path| (Place::Base, path))
    }

    fn path(&self, path: &Path, context: &LoadContext) -> PathBuf {
        match self {
            Place::Cache => context.cache_dir.join(path),
            Place::Base => context.base_dir.join(path),
            Place::Anywhere => path.to_owned(),
        }
    }
}

/// The data set as it is written. There is nothing to write of one whose splits differ in what they show: that depends on more than
/// what is decoded.
pub(super) fn columns<'a>(raw: &'a RawDataset, context: &LoadContext) -> Option<(Value, Vec<(String, Column<'a>)>)> {
    if raw.hold_out.is_some() {
        return None;
    }
    let mut columns = Vec::new();
    let train = part_columns(&raw.train, "train", context, &mut columns);
    let test = raw.test.as_ref().map(|test| part_columns(test, "test", context, &mut columns));
    if let Some(dictionary) = &raw.dictionary {
        columns.push(("dictionary".to_owned(), Column::Floats(dictionary)));
    }
    let about = About { train, test, event_shape: raw.event_shape.clone(), class_names: raw.class_names.clone() };
    Some((serde_json::to_value(about).ok()?, columns))
}

fn part_columns<'a>(part: &'a Part, name: &str, context: &LoadContext, columns: &mut Vec<(String, Column<'a>)>) -> AboutPart {
    let mut add = |what: &str, column| columns.push((format!("{name}.{what}"), column));
    let divisor = match &part.values {
        Values::Bytes { data, divisor } => {
            add("values", Column::Bytes(data));
            Some(*divisor)
        }
        Values::Floats(data) => {
            add("values", Column::Floats(data));
            None
        }
    };
    let (lengths, observed) = part.observed.parts();
    if let Some((lengths, _)) = lengths {
        add("lengths", Column::Words(lengths));
    }
    if let Some(observed) = observed {
        add("observed", Column::Bytes(observed));
    }
    if let Some(labels) = &part.labels {
        add("labels", Column::Words(labels));
    }
    if let Some(factors) = &part.factors {
        add("factors", Column::Words(&factors.indices));
    }
    if let Some(labels) = &part.point_labels {
        add("point_labels", Column::Bytes(labels));
    }
    let (place, path) = Place::of(&part.origin.path, context);
    AboutPart {
        place,
        path,
        member: part.origin.member.clone(),
        divisor,
        step_size: lengths.map(|(_, step_size)| step_size),
        factors: part.factors.as_ref().map(|factors| (factors.names.clone(), factors.sizes.clone())),
        feature_names: part.feature_names.clone(),
    }
}

/// The data set of a file: its values where they lie, whatever is small copied.
pub(super) fn read(opened: &Opened, context: &LoadContext) -> Option<RawDataset> {
    let about = About::deserialize(opened.about()).ok()?;
    let test = match about.test {
        Some(test) => Some(read_part(opened, "test", test, context)?),
        None => None,
    };
    Some(RawDataset {
        train: read_part(opened, "train", about.train, context)?,
        test,
        event_shape: about.event_shape,
        class_names: about.class_names,
        hold_out: None,
        dictionary: opened.floats("dictionary").map(|dictionary| dictionary.to_vec()),
    })
}

fn read_part(opened: &Opened, name: &str, about: AboutPart, context: &LoadContext) -> Option<Part> {
    let section = |what: &str| format!("{name}.{what}");
    let values = match about.divisor {
        Some(divisor) => Values::Bytes { data: opened.bytes(&section("values"))?, divisor },
        None => Values::Floats(opened.floats(&section("values"))?),
    };
    let lengths = match about.step_size {
        Some(step_size) => Some((opened.words(&section("lengths"))?.to_vec(), step_size)),
        None => None,
    };
    let factors = match about.factors {
        Some((names, sizes)) => Some(Factors { names, sizes, indices: opened.words(&section("factors"))?.to_vec() }),
        None => None,
    };
    Some(Part {
        origin: Origin { path: about.place.path(&about.path, context), member: about.member },
        values,
        observed: Observed::of(lengths, opened.bytes(&section("observed"))),
        labels: opened.words(&section("labels")).map(|labels| labels.to_vec()),
        factors,
        point_labels: opened.bytes(&section("point_labels")).map(|labels| labels.to_vec()),
        feature_names: about.feature_names,
    })
}
