//! IDX, the format of MNIST.
//!
//! ```text
//! 00 00 | type | number of dimensions | one 32-bit size per dimension | numbers in C order      all big-endian
//! ```
//! Type 08 is an unsigned byte, 09 a signed one, 0B a 16-bit and 0C a 32-bit integer, 0D a 32-bit and 0E a
//! 64-bit float.

use super::array::{Array, Element, Endian, num_bytes};
use super::payload::Payload;
use crate::{DataError, Origin};

/// What an IDX header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IdxHeader {
    pub(crate) element: Element,
    pub(crate) shape: Vec<usize>,
    /// Bytes of the numbers that follow.
    pub(crate) num_bytes: u64,
}

/// Reads the header and leaves the stream at the first number.
pub(crate) fn read_header(payload: &mut Payload<'_>) -> Result<IdxHeader, DataError> {
    let magic = payload.header(4)?;
    let refuse = |origin: &Origin, offset, message: String| Err(DataError::format(origin, offset, message));
    if magic[..2] != [0, 0] {
        let found = format!("{:02x} {:02x}", magic[0], magic[1]);
        return refuse(payload.origin(), 0, format!("is not an IDX file: it begins with {found}, an IDX file with 00 00"));
    }
    let element = match magic[2] {
        0x08 => Element::U8,
        0x09 => Element::I8,
        0x0b => Element::I16,
        0x0c => Element::I32,
        0x0d => Element::F32,
        0x0e => Element::F64,
        other => {
            return refuse(payload.origin(), 2, format!("{other:#04x} is not a type of IDX; 0x08, 0x09, 0x0b, 0x0c, 0x0d and 0x0e are"));
        }
    };
    if magic[3] == 0 {
        return refuse(payload.origin(), 3, "an IDX file needs at least one dimension, but this one has none".to_owned());
    }
    let sizes = payload.header(4 * usize::from(magic[3]))?;
    let shape: Vec<usize> = sizes.chunks_exact(4).map(|size| u32::from_be_bytes([size[0], size[1], size[2], size[3]]) as usize).collect();
    match num_bytes(&shape, element) {
        Some(num_bytes) => Ok(IdxHeader { element, shape, num_bytes }),
        None => refuse(payload.origin(), 4, format!("the header promises {shape:?} numbers, more than any file can hold")),
    }
}

/// Reads a whole file: header, numbers, nothing after them.
pub(crate) fn read(mut payload: Payload<'_>) -> Result<Array, DataError> {
    let header = read_header(&mut payload)?;
    let bytes = payload.body(header.num_bytes)?;
    let origin = payload.origin().clone();
    payload.end()?;
    Ok(Array { origin, shape: header.shape, element: header.element, endian: Endian::Big, bytes })
}

#[cfg(test)]
pub(crate) fn write(shape: &[usize], element: Element, numbers: &[u8]) -> Vec<u8> {
    let code = match element {
        Element::U8 => 0x08,
        Element::I8 => 0x09,
        Element::I16 => 0x0b,
        Element::I32 => 0x0c,
        Element::F32 => 0x0d,
        Element::F64 => 0x0e,
        other => panic!("IDX has no {other:?}"),
    };
    let mut bytes = vec![0, 0, code, shape.len() as u8];
    for &size in shape {
        bytes.extend((size as u32).to_be_bytes());
    }
    bytes.extend(numbers);
    bytes
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;

    fn parse(bytes: &[u8]) -> Result<Array, DataError> {
        read(Payload::of_bytes(bytes, Origin::file("images.idx")))
    }

    fn message(bytes: &[u8]) -> String {
        parse(bytes).unwrap_err().to_string()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn errors_name_the_file_the_offset_and_what_was_expected() {
        let good = write(&[2, 3], Element::U8, &[1, 2, 3, 4, 5, 6]);
        assert_eq!(message(b"\x89PNG"), "images.idx: is not an IDX file: it begins with 89 50, an IDX file with 00 00 (at byte 0)");
        assert_eq!(
            message(&[0, 0, 7, 1, 0, 0, 0, 0]),
            "images.idx: 0x07 is not a type of IDX; 0x08, 0x09, 0x0b, 0x0c, 0x0d and 0x0e are (at byte 2)"
        );
        assert_eq!(message(&[0, 0, 8, 0]), "images.idx: an IDX file needs at least one dimension, but this one has none (at byte 3)");
        let truncated = "images.idx: ends at byte 15, but its header promises 18 bytes; the file is truncated, get it again";
        assert_eq!(message(&good[..15]), truncated);
        assert_eq!(
            message(&[good.clone(), vec![7]].concat()),
            "images.idx: more bytes follow than the header promises; the file is damaged or its header is wrong (at byte 18)"
        );
    }

    #[test]
    fn a_claim_beyond_the_file_is_refused_before_anything_is_allocated() {
        // 2^32-1 x 2^32-1 bytes would exhaust any memory; so would 2^40.
        let huge = write(&[u32::MAX as usize, u32::MAX as usize], Element::U8, &[0; 100]);
        assert!(message(&huge).contains("ends at byte 112, but its header promises 18446744065119617037 bytes"), "{}", message(&huge));
        let endless = write(&[u32::MAX as usize; 3], Element::U8, &[]);
        assert!(message(&endless).contains("more than any file can hold"));
        let compressed = gzip(&write(&[1 << 20, 1 << 20], Element::U8, &[0; 100]));
        assert!(message(&compressed).contains("truncated"), "{}", message(&compressed));
    }

    #[test]
    fn gzip_is_recognised_by_its_first_bytes_and_its_damage_is_located() {
        let numbers: Vec<u8> = (0..6000u32).map(|value| (value * value % 251) as u8).collect();
        let plain = write(&[60, 100], Element::U8, &numbers);
        let packed = gzip(&plain);
        assert_eq!(parse(&packed).unwrap(), parse(&plain).unwrap());
        let cut = message(&packed[..packed.len() / 2]);
        assert!(cut.starts_with("images.idx: the compressed data is damaged after "), "{cut}");
        let mut flipped = packed.clone();
        let at = flipped.len() - 6;
        flipped[at] ^= 0xff;
        assert!(message(&flipped).contains("damaged"), "{}", message(&flipped));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn arbitrary_headers_never_yield_more_than_the_file_holds(
            code in prop::sample::select(vec![8u8, 9, 0xb, 0xc, 0xd, 0xe]),
            sizes in prop::collection::vec(any::<u32>(), 1..5),
            body in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let mut bytes = vec![0, 0, code, sizes.len() as u8];
            bytes.extend(sizes.iter().flat_map(|size| size.to_be_bytes()));
            bytes.extend(&body);
            if let Ok(array) = parse(&bytes) {
                prop_assert!(array.bytes.capacity() <= bytes.len());
                prop_assert_eq!(array.bytes, body);
            }
        }

        #[test]
        fn what_is_written_is_read_back(rows in 0usize..5, columns in 1usize..5, packed in any::<bool>(), seed in any::<u64>()) {
            let numbers: Vec<u8> = (0..rows * columns * 4).map(|at| (seed.wrapping_mul(at as u64 + 1) >> 24) as u8).collect();
            let bytes = write(&[rows, columns], Element::I32, &numbers);
            let array = parse(&if packed { gzip(&bytes) } else { bytes }).unwrap();
            prop_assert_eq!(array.shape, vec![rows, columns]);
            prop_assert_eq!(array.element, Element::I32);
            prop_assert_eq!(array.bytes, numbers);
        }
    }
}
