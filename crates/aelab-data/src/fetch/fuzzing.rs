//! Unpacking of a package that a stranger made.

use std::path::Path;

use super::RemoteFile;
use super::remote::{Layout, Package};
use super::unpack::{unpack_deb, unpack_tgz};

/// Takes the file `hello` out of a package, as fetching does; what does not work is no matter.
pub(crate) fn unpack(archive: &Path, folder: &Path, is_deb: bool) {
    let package = Package { name: "fuzzed@1.0", layout: Layout::Members { prefix: "package/data/", suffix: "" } };
    let file = RemoteFile { name: "hello", num_bytes: 13, sha256: "fb7c20f65235cc74615aff19195cec64d2f0bb3d3b3ec609030348c4fc5d92eb" };
    let unpack = if is_deb { unpack_deb } else { unpack_tgz };
    let _ = unpack(archive, &package, &[&file], folder, &mut |_| {});
}
