//! What the names in expressions stand for: the values of one trial.

use serde_json::Value;

use crate::KeyPath;
use crate::expression::{Found, Scope};

/// Sections that names are looked for in.
const SECTIONS: [&str; 4] = ["data", "model", "train", "device"];

/// What names may choose: the same in every trial.
#[derive(Debug, Clone, Default)]
pub(crate) struct Variants {
    pub(crate) models: Vec<String>,
    pub(crate) data: Vec<String>,
    pub(crate) optimizers: Vec<String>,
}

/// The values of a trial.
pub(crate) struct TrialValues<'a> {
    /// Its sections: with every default where they could be read, as they were written otherwise.
    pub(crate) sections: Value,
    /// Latent dimensions, where that is known.
    pub(crate) code_size: Option<usize>,
    /// Features of one example, or why that is not known.
    pub(crate) num_features: Result<usize, String>,
    pub(crate) variants: &'a Variants,
}

impl Scope for TrialValues<'_> {
    fn find(&self, name: &KeyPath) -> Result<Found, String> {
        let parts: Vec<&str> = name.parts().iter().map(String::as_str).collect();
        match parts[..] {
            ["input"] => return self.num_features.clone().map(|num| Found::Value(Value::from(num))),
            ["seed"] => return Ok(self.at(&KeyPath::from_iter(["train", "seed"]))),
            ["optimizer"] => return Ok(self.at(&KeyPath::from_iter(["train", "optimizer"]))),
            ["code_size" | "latent_dim"] => {
                if let Some(size) = self.code_size {
                    return Ok(Found::Value(Value::from(size)));
                }
                return Ok(self.at(&KeyPath::from_iter(["model", "*", "code_size"])));
            }
            _ => {}
        }
        let whole = self.at(name);
        if whole != Found::Absent {
            return Ok(whole);
        }
        // The end of a path; the index of a list goes beyond it.
        let num_keys = parts.iter().rposition(|part| part.parse::<usize>().is_err()).map_or(0, |last| last + 1);
        let (keys, indices) = parts.split_at(num_keys);
        let mut candidates: Vec<KeyPath> = self.families().into_iter().filter(|family| ends_with(family, keys)).collect();
        let fewest = candidates.iter().map(|family| family.parts().len()).min();
        candidates.retain(|family| Some(family.parts().len()) == fewest);
        match &candidates[..] {
            [] => Ok(Found::Absent),
            [only] => Ok(self.at(&indices.iter().fold(only.clone(), |path, index| path.child(*index)))),
            several => Ok(Found::Ambiguous(several.iter().map(|family| format!("`{family}`")).collect())),
        }
    }

    fn caveat(&self) -> Option<&str> {
        let is_whole = self.code_size.is_some();
        (!is_whole).then_some("defaults are not known here, because something required is still missing: write the value into the file")
    }

    fn names(&self) -> Vec<String> {
        let mut names = vec!["input".to_owned(), "code_size".to_owned()];
        for family in self.families() {
            names.push(family.to_string());
            names.extend(family.last().filter(|last| *last != "*").map(str::to_owned));
        }
        names
    }
}

/// Whether a family of paths ends so; stars need not be written.
fn ends_with(family: &KeyPath, keys: &[&str]) -> bool {
    let parts: Vec<&str> = family.parts().iter().map(String::as_str).collect();
    let without_star: Vec<&str> = parts.iter().copied().filter(|part| *part != "*").collect();
    !keys.is_empty() && parts.last() != Some(&"*") && (parts.ends_with(keys) || without_star.ends_with(keys))
}

impl TrialValues<'_> {
    /// The value at a whole path, in which `*` is the chosen data set, model or optimizer.
    fn at(&self, path: &KeyPath) -> Found {
        let mut value = &self.sections;
        for key in path.parts() {
            let next = match value {
                Value::Object(entries) if key == "*" && entries.len() == 1 => entries.values().next(),
                Value::Object(entries) => entries.get(key).or_else(|| match key.as_str() {
                    "code_size" => entries.get("latent_dim"),
                    "latent_dim" => entries.get("code_size"),
                    _ => None,
                }),
                Value::Array(items) => key.parse::<usize>().ok().and_then(|index| items.get(index)),
                _ => None,
            };
            let Some(next) = next else { return Found::Absent };
            value = next;
        }
        match value {
            Value::Object(entries) if path.is_variant_map() => match entries.keys().next() {
                Some(name) => Found::Variant(name.clone(), self.alternatives(path).to_vec()),
                None => Found::Absent,
            },
            value => Found::Value(value.clone()),
        }
    }

    fn alternatives(&self, path: &KeyPath) -> &[String] {
        match path.last() {
            Some("model") => &self.variants.models,
            Some("data") => &self.variants.data,
            _ => &self.variants.optimizers,
        }
    }

    /// The paths of all maps and values, names of models, data sets and optimizers replaced by `*`.
    fn families(&self) -> Vec<KeyPath> {
        fn collect(value: &Value, path: &KeyPath, families: &mut Vec<KeyPath>) {
            families.push(path.clone());
            for (key, inner) in value.as_object().into_iter().flatten() {
                collect(inner, &path.child(if path.is_variant_map() { "*" } else { key }), families);
            }
        }
        let mut families = Vec::new();
        for section in SECTIONS {
            if let Some(value) = self.sections.get(section) {
                collect(value, &KeyPath::from_iter([section]), &mut families);
            }
        }
        families
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(name: &str) -> Found {
        let values = TrialValues {
            sections: json!({
                "data": {"digits": {"split_seed": 0, "noise": {"rate": 0.1}}},
                "model": {"vae": {"hidden": [32, 16], "latent_dim": 4, "beta": 2.0, "corruption": {"rate": 0.2}}},
                "train": {"epochs": 3, "seed": 5, "optimizer": {"adam": {"learning_rate": 0.001}}, "gradient_clipping": null},
            }),
            code_size: None,
            num_features: Ok(64),
            variants: &Variants::default(),
        };
        values.find(&KeyPath::parse(name)).unwrap()
    }

    #[test]
    fn names_are_whole_paths_or_ends_of_paths() {
        for (name, value) in [
            ("input", json!(64)),
            ("code_size", json!(4)),
            ("latent_dim", json!(4)),
            ("model.vae.code_size", json!(4)),
            ("model.*.latent_dim", json!(4)),
            ("model.beta", json!(2.0)),
            ("beta", json!(2.0)),
            ("learning_rate", json!(0.001)),
            ("train.optimizer.*.learning_rate", json!(0.001)),
            ("optimizer.learning_rate", json!(0.001)),
            ("seed", json!(5)),
            ("hidden", json!([32, 16])),
            ("hidden[1]", json!(16)),
            ("model.vae.hidden.0", json!(32)),
            ("corruption.rate", json!(0.2)),
            ("gradient_clipping", Value::Null),
        ] {
            assert_eq!(found(name), Found::Value(value), "{name}");
        }
        for name in ["model.linear.beta", "bet", "vae", "hidden[2]", "optimizer.momentum", "hidden.0.1"] {
            assert_eq!(found(name), Found::Absent, "{name}");
        }
        for (name, chosen) in [("model", "vae"), ("data", "digits"), ("optimizer", "adam"), ("train.optimizer", "adam")] {
            assert_eq!(found(name), Found::Variant(chosen.to_owned(), Vec::new()), "{name}");
        }
        assert_eq!(found("rate"), Found::Ambiguous(vec!["`data.*.noise.rate`".to_owned(), "`model.*.corruption.rate`".to_owned()]));
    }
}
