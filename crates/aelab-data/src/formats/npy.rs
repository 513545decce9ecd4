//! NPY, the array format of NumPy (versions 1 to 3 of its header).
//!
//! ```text
//! 93 "NUMPY" | major | minor | length of the header, 16 or 32 bits little-endian | a Python dictionary | numbers
//! ```
//! <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>

use super::array::{Array, Element, Endian, num_bytes};
use super::payload::Payload;
use crate::{DataError, Origin};

/// What an NPY header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NpyHeader {
    pub(crate) element: Element,
    pub(crate) endian: Endian,
    pub(crate) fortran_order: bool,
    pub(crate) shape: Vec<usize>,
    /// Bytes of the numbers that follow.
    pub(crate) num_bytes: u64,
}

/// NumPy itself refuses longer headers by default.
const MAX_HEADER: usize = 1 << 20;

/// NumPy's own bound.
const MAX_DIMENSIONS: usize = 64;

/// Reads the header and leaves the stream at the first number.
pub(crate) fn read_header(payload: &mut Payload<'_>) -> Result<NpyHeader, DataError> {
    let start = payload.header(8)?;
    let origin = payload.origin().clone();
    if start[..6] != *b"\x93NUMPY" {
        return Err(DataError::format(&origin, 0, "is not an NPY file: it does not begin with the bytes 93 `NUMPY`"));
    }
    let length = match start[6] {
        1 => {
            let length = payload.header(2)?;
            usize::from(u16::from_le_bytes([length[0], length[1]]))
        }
        2 | 3 => {
            let length = payload.header(4)?;
            u32::from_le_bytes([length[0], length[1], length[2], length[3]]) as usize
        }
        other => return Err(DataError::format(&origin, 6, format!("NPY version {other} is not known; 1, 2 and 3 are"))),
    };
    let offset = payload.offset();
    if length > MAX_HEADER {
        return Err(DataError::format(
            &origin,
            offset,
            format!("the header claims to be {length} bytes long; no array needs more than {MAX_HEADER}"),
        ));
    }
    let text = payload.header(length)?;
    let mut dictionary = Dictionary { origin: &origin, text: &text, at: 0, offset };
    let (element, endian, fortran_order, shape) = dictionary.parse()?;
    match num_bytes(&shape, element) {
        Some(num_bytes) => Ok(NpyHeader { element, endian, fortran_order, shape, num_bytes }),
        None => Err(DataError::format(&origin, offset, format!("the header promises {shape:?} numbers, more than any file can hold"))),
    }
}

/// Reads a whole array into C order: header, numbers, nothing after them.
pub(crate) fn read(mut payload: Payload<'_>) -> Result<Array, DataError> {
    let header = read_header(&mut payload)?;
    let bytes = payload.body(header.num_bytes)?;
    let origin = payload.origin().clone();
    payload.end()?;
    let bytes = if header.fortran_order { to_c_order(&bytes, &header.shape, header.element.size()) } else { bytes };
    Ok(Array { origin, shape: header.shape, element: header.element, endian: header.endian, bytes })
}

/// Reorders numbers whose first index runs fastest into ones whose last index does.
fn to_c_order(bytes: &[u8], shape: &[usize], size: usize) -> Vec<u8> {
    let strides: Vec<usize> = shape.iter().scan(1, |stride, &extent| Some(std::mem::replace(stride, *stride * extent))).collect();
    let mut index = vec![0; shape.len()];
    let mut ordered = Vec::with_capacity(bytes.len());
    for _ in 0..bytes.len() / size {
        let at: usize = index.iter().zip(&strides).map(|(position, stride)| position * stride).sum();
        ordered.extend_from_slice(&bytes[at * size..(at + 1) * size]);
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            if index[axis] < shape[axis] {
                break;
            }
            index[axis] = 0;
        }
    }
    ordered
}

/// The dictionary of a header, as far as an array of numbers can make use of it.
struct Dictionary<'a> {
    origin: &'a Origin,
    text: &'a [u8],
    at: usize,
    offset: u64,
}

impl Dictionary<'_> {
    fn parse(&mut self) -> Result<(Element, Endian, bool, Vec<usize>), DataError> {
        let (mut descr, mut fortran_order, mut shape) = (None, None, None);
        self.expect(b'{')?;
        while self.peek() != Some(b'}') {
            let key = self.string()?;
            self.expect(b':')?;
            match key.as_str() {
                "descr" => descr = Some(self.number_type()?),
                "fortran_order" => fortran_order = Some(self.truth()?),
                "shape" => shape = Some(self.tuple()?),
                other => return Err(self.error(format!("`{other}` is not a key of an NPY header"))),
            }
            if self.peek() == Some(b',') {
                self.at += 1;
            }
        }
        match (descr, fortran_order, shape) {
            (Some((element, endian)), Some(fortran_order), Some(shape)) => Ok((element, endian, fortran_order, shape)),
            _ => Err(self.error("the header needs `descr`, `fortran_order` and `shape`".to_owned())),
        }
    }

    fn error(&self, message: String) -> DataError {
        DataError::format(self.origin, self.offset + self.at as u64, message)
    }

    fn peek(&mut self) -> Option<u8> {
        while self.text.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
        self.text.get(self.at).copied()
    }

    fn expect(&mut self, wanted: u8) -> Result<(), DataError> {
        if self.peek() == Some(wanted) {
            self.at += 1;
            Ok(())
        } else {
            Err(self.error(format!("the header is damaged: `{}` was expected", char::from(wanted))))
        }
    }

    fn string(&mut self) -> Result<String, DataError> {
        let quote = match self.peek() {
            Some(quote @ (b'\'' | b'"')) => quote,
            _ => return Err(self.error("the header is damaged: a quoted word was expected".to_owned())),
        };
        let start = self.at + 1;
        match self.text[start..].iter().position(|&byte| byte == quote) {
            Some(length) => {
                self.at = start + length + 1;
                Ok(String::from_utf8_lossy(&self.text[start..start + length]).into_owned())
            }
            None => Err(self.error("the header is damaged: a quoted word does not end".to_owned())),
        }
    }

    fn truth(&mut self) -> Result<bool, DataError> {
        self.peek();
        for (word, value) in [("True", true), ("False", false)] {
            if self.text[self.at..].starts_with(word.as_bytes()) {
                self.at += word.len();
                return Ok(value);
            }
        }
        Err(self.error("the header is damaged: `True` or `False` was expected".to_owned()))
    }

    fn tuple(&mut self) -> Result<Vec<usize>, DataError> {
        self.expect(b'(')?;
        let mut sizes = Vec::new();
        while self.peek() != Some(b')') {
            let digits = self.text[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            let size = std::str::from_utf8(&self.text[self.at..self.at + digits]).ok().and_then(|digits| digits.parse().ok());
            sizes.push(size.ok_or_else(|| self.error("the header is damaged: a size was expected".to_owned()))?);
            self.at += digits;
            if self.peek() == Some(b',') {
                self.at += 1;
            } else if self.peek() != Some(b')') {
                return Err(self.error("the header is damaged: `,` or `)` was expected".to_owned()));
            }
        }
        if sizes.len() > MAX_DIMENSIONS {
            return Err(self.error(format!("an array has at most {MAX_DIMENSIONS} dimensions, but this one claims {}", sizes.len())));
        }
        self.at += 1;
        Ok(sizes)
    }

    fn number_type(&mut self) -> Result<(Element, Endian), DataError> {
        if self.peek() == Some(b'[') {
            return Err(self.error("structured arrays are not read; save one plain array of numbers".to_owned()));
        }
        let start = self.at;
        let descr = self.string()?;
        let endian = if descr.starts_with('>') { Endian::Big } else { Endian::Little };
        let element = match descr.trim_start_matches(['<', '>', '|', '=']) {
            "b1" => Element::Bool,
            "u1" => Element::U8,
            "i1" => Element::I8,
            "u2" => Element::U16,
            "i2" => Element::I16,
            "u4" => Element::U32,
            "i4" => Element::I32,
            "u8" => Element::U64,
            "i8" => Element::I64,
            "f2" => Element::F16,
            "f4" => Element::F32,
            "f8" => Element::F64,
            other => {
                self.at = start;
                let hint =
                    if other.starts_with('O') { "Python objects are pickles, which are never read" } else { "only real numbers are read" };
                return Err(self.error(format!("arrays of type `{descr}` are not read ({hint}); save it as float32 or uint8")));
            }
        };
        Ok((element, endian))
    }
}

#[cfg(test)]
pub(crate) fn write(descr: &str, fortran_order: bool, shape: &[usize], numbers: &[u8]) -> Vec<u8> {
    let shape: String = shape.iter().map(|size| format!("{size}, ")).collect();
    let order = if fortran_order { "True" } else { "False" };
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': ({}), }}", shape.trim_end());
    while !(10 + header.len() + 1).is_multiple_of(64) {
        header.push(' ');
    }
    header.push('\n');
    [b"\x93NUMPY\x01\x00".as_slice(), &(header.len() as u16).to_le_bytes(), header.as_bytes(), numbers].concat()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(bytes: &[u8]) -> Result<Array, DataError> {
        read(Payload::of_bytes(bytes, Origin::member("data.npz", "x")))
    }

    fn message(bytes: &[u8]) -> String {
        parse(bytes).unwrap_err().to_string()
    }

    /// `numpy.save` of `np.arange(6, dtype='<i2').reshape(2, 3)`, NumPy 2: header and numbers byte for byte.
    #[test]
    fn a_file_of_numpy_is_read() {
        let mut bytes = b"\x93NUMPY\x01\x00v\x00{'descr': '<i2', 'fortran_order': False, 'shape': (2, 3), }".to_vec();
        bytes.resize(127, b' ');
        bytes.push(b'\n');
        bytes.extend([0, 0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0]);
        let array = parse(&bytes).unwrap();
        assert_eq!(array.shape, [2, 3]);
        let (values, _) = array.into_examples().unwrap();
        let crate::dataset::Values::Floats(data) = values else { panic!("16-bit integers become floats") };
        assert_eq!(*data, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    }

    #[test]
    fn fortran_order_is_turned_into_c_order() {
        // [[[0, 1], [2, 3]], [[4, 5], [6, 7]], [[8, 9], [10, 11]]] with the first index fastest.
        let fortran: Vec<u8> = vec![0, 4, 8, 2, 6, 10, 1, 5, 9, 3, 7, 11];
        let array = parse(&write("|u1", true, &[3, 2, 2], &fortran)).unwrap();
        assert_eq!(array.bytes, (0..12).collect::<Vec<u8>>());
    }

    #[test]
    fn types_that_cannot_be_examples_are_refused_with_the_reason() {
        assert_eq!(
            message(&write("|O", false, &[1], &[])),
            "data.npz (member `x`): arrays of type `|O` are not read (Python objects are pickles, which are never read); save it as float32 or uint8 (at byte 20)"
        );
        assert!(message(&write("<c8", false, &[1], &[])).contains("only real numbers are read"));
        assert!(message(&write("<U3", false, &[1], &[])).contains("`<U3`"));
        let structured = write("x", false, &[1], &[]);
        let structured = String::from_utf8_lossy(&structured[10..]).replace("'x'", "[('a', '<f4')]");
        let bytes = [b"\x93NUMPY\x01\x00".as_slice(), &(structured.len() as u16).to_le_bytes(), structured.as_bytes()].concat();
        assert!(message(&bytes).contains("structured arrays are not read"));
    }

    #[test]
    fn claims_beyond_the_file_are_refused_before_anything_is_allocated() {
        let huge = message(&write("<f8", false, &[1 << 40, 1 << 10], &[0; 8]));
        assert!(huge.contains("ends at byte 136, but its header promises"), "{huge}");
        assert!(message(&write("<f8", false, &[usize::MAX, 3], &[])).contains("more than any file can hold"));
        assert!(message(b"\x93NUMPY\x02\x00\xff\xff\xff\xff").contains("no array needs more"));
    }

    #[test]
    fn damaged_headers_are_located() {
        assert!(message(b"PK\x03\x04aaaaaaaa").contains("is not an NPY file"));
        assert!(message(b"\x93NUMPY\x09\x00aaaa").contains("version 9"));
        assert!(message(b"\x93NUMPY\x01\x00\x03\x00{'a").contains("does not end (at byte 11)"));
        assert!(message(b"\x93NUMPY\x01\x00\x02\x00{}").contains("needs `descr`, `fortran_order` and `shape`"));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
            let _ = parse(&[b"\x93NUMPY\x01\x00\x50\x00".as_slice(), &bytes].concat());
        }

        #[test]
        fn arbitrary_header_text_never_panics(text in "[{}()':,a-z_<0-9 TrueFalse]{0,80}") {
            let _ = parse(&[b"\x93NUMPY\x01\x00".as_slice(), &(text.len() as u16).to_le_bytes(), text.as_bytes()].concat());
        }
    }
}
