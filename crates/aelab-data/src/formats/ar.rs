//! `ar`, the outer archive of a Debian package.
//!
//! ```text
//! "!<arch>\n" | per member: name 16, time 12, owner 6, group 6, mode 8, size 10, "`\n" | bytes, padded to an even length
//! ```

use std::io::{self, Read};

/// The global magic of the format.
const MAGIC: [u8; 8] = *b"!<arch>\n";

/// Reads up to the first member whose name `wanted` accepts: its name and a reader of its bytes.
pub(crate) fn member<R: Read>(mut reader: R, wanted: impl Fn(&str) -> bool) -> io::Result<(String, io::Take<R>)> {
    let invalid = |message: String| io::Error::new(io::ErrorKind::InvalidData, message);
    let mut magic = [0; 8];
    reader.read_exact(&mut magic)?;
    if magic != MAGIC {
        return Err(invalid("is not an ar archive".to_owned()));
    }
    let mut names = Vec::new();
    loop {
        let mut header = [0; 60];
        if let Err(error) = reader.read_exact(&mut header) {
            let end = error.kind() == io::ErrorKind::UnexpectedEof;
            return Err(if end { invalid(format!("the package has no such member; it has {}", names.join(", "))) } else { error });
        }
        let text = |range: std::ops::Range<usize>| String::from_utf8_lossy(&header[range]).trim().to_owned();
        let name = text(0..16).trim_end_matches('/').to_owned();
        let size: u64 = text(48..58).parse().map_err(|_| invalid(format!("the size of member `{name}` is not a number")))?;
        if header[58..] != *b"`\n" {
            return Err(invalid(format!("the header of member `{name}` is damaged")));
        }
        if wanted(&name) {
            return Ok((name, reader.take(size)));
        }
        let padded = size.saturating_add(size % 2);
        let skipped = io::copy(&mut reader.by_ref().take(padded), &mut io::sink())?;
        if skipped < size {
            return Err(invalid(format!("member `{name}` is cut short")));
        }
        names.push(name);
    }
}

#[cfg(test)]
pub(crate) fn write(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    for (name, content) in members {
        bytes.extend(format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 100_644, content.len()).as_bytes());
        bytes.extend(*content);
        if content.len() % 2 == 1 {
            bytes.push(b'\n');
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_member_after_one_of_odd_length_is_found() {
        let archive = write(&[("debian-binary", b"2.0\n"), ("control.tar.xz", b"odd"), ("data.tar.xz", b"content")]);
        let (name, mut reader) = member(archive.as_slice(), |name| name.starts_with("data.tar")).unwrap();
        let mut content = String::new();
        reader.read_to_string(&mut content).unwrap();
        assert_eq!((name.as_str(), content.as_str()), ("data.tar.xz", "content"));
    }

    #[test]
    fn what_is_missing_or_damaged_is_said() {
        let archive = write(&[("debian-binary", b"2.0\n"), ("control.tar.xz", b"odd")]);
        let message = |bytes: &[u8]| member(bytes, |name| name == "data.tar").map(|(name, _)| name).unwrap_err().to_string();
        assert_eq!(message(&archive), "the package has no such member; it has debian-binary, control.tar.xz");
        assert_eq!(message(b"!<arch>?"), "is not an ar archive");
        assert_eq!(message(&archive[..archive.len() - 3]), "member `control.tar.xz` is cut short");
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = member(bytes.as_slice(), |_| true);
            let _ = member([MAGIC.as_slice(), &bytes].concat().as_slice(), |_| false);
        }
    }
}
