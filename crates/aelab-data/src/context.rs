//! Where data lies on this machine.

use std::env;
use std::path::{Path, PathBuf};

/// What loading has to know besides the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadContext {
    /// Folder that relative paths of a configuration start from: the folder of the experiment file.
    pub base_dir: PathBuf,
    /// Folder of fetched data sets, one sub-folder each.
    pub cache_dir: PathBuf,
    /// Whether the network may not be used. Only [`fetch`](crate::fetch()) ever uses it.
    pub offline: bool,
}

impl LoadContext {
    /// A context with the default cache.
    pub fn new(base_dir: impl Into<PathBuf>) -> Self {
        Self { base_dir: base_dir.into(), cache_dir: default_cache_dir(), offline: false }
    }

    /// `path` of a configuration as a path that can be opened.
    pub(crate) fn resolve(&self, path: &Path) -> PathBuf {
        self.base_dir.join(path)
    }
}

/// `$AELAB_DATA`, else `$XDG_DATA_HOME/aelab`, else `~/.local/share/aelab`.
///
/// Without any of these variables it is `aelab-data` in the working folder.
pub fn default_cache_dir() -> PathBuf {
    cache_dir_from(|name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from))
}

fn cache_dir_from(variable: impl Fn(&str) -> Option<PathBuf>) -> PathBuf {
    // The XDG rules say that a relative path in their variables is to be ignored.
    let xdg = variable("XDG_DATA_HOME").filter(|path| path.is_absolute());
    variable("AELAB_DATA")
        .or_else(|| xdg.map(|path| path.join("aelab")))
        .or_else(|| variable("HOME").or_else(|| variable("USERPROFILE")).map(|home| home.join(".local/share/aelab")))
        .unwrap_or_else(|| PathBuf::from("aelab-data"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(variables: &[(&str, &str)]) -> PathBuf {
        cache_dir_from(|name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| PathBuf::from(value)))
    }

    #[test]
    fn the_cache_is_where_the_first_set_variable_says() {
        let all = [("AELAB_DATA", "/data"), ("XDG_DATA_HOME", "/xdg"), ("HOME", "/home/ada")];
        assert_eq!(with(&all), Path::new("/data"));
        assert_eq!(with(&all[1..]), Path::new("/xdg/aelab"));
        assert_eq!(with(&all[2..]), Path::new("/home/ada/.local/share/aelab"));
        assert_eq!(with(&[("XDG_DATA_HOME", "relative"), ("HOME", "/home/ada")]), Path::new("/home/ada/.local/share/aelab"));
        assert_eq!(with(&[]), Path::new("aelab-data"));
    }

    #[test]
    fn relative_paths_start_at_the_experiment_file_and_absolute_ones_stay() {
        let context = LoadContext { base_dir: "/experiments".into(), cache_dir: "/cache".into(), offline: true };
        assert_eq!(context.resolve(Path::new("data/x.csv")), Path::new("/experiments/data/x.csv"));
        assert_eq!(context.resolve(Path::new("/x.csv")), Path::new("/x.csv"));
    }
}
