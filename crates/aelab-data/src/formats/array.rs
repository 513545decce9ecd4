//! Arrays of numbers as files hold them, and what examples and labels are made of.

use aelab_map::Numbers;

use crate::dataset::Values;
use crate::{DataError, Origin, memory};

/// Type of one number in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Element {
    Bool,
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    F16,
    F32,
    F64,
}

impl Element {
    pub(crate) fn size(self) -> usize {
        match self {
            Element::Bool | Element::U8 | Element::I8 => 1,
            Element::U16 | Element::I16 | Element::F16 => 2,
            Element::U32 | Element::I32 | Element::F32 => 4,
            Element::U64 | Element::I64 | Element::F64 => 8,
        }
    }
}

/// Order of the bytes of one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Endian {
    Little,
    Big,
}

/// An array in C order, its numbers still as bytes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Array {
    pub(crate) origin: Origin,
    pub(crate) shape: Vec<usize>,
    pub(crate) element: Element,
    pub(crate) endian: Endian,
    pub(crate) bytes: Vec<u8>,
}

/// Number of bytes of an array; `None` where no address space could hold it.
pub(crate) fn num_bytes(shape: &[usize], element: Element) -> Option<u64> {
    let count = shape.iter().try_fold(1u64, |product, &size| product.checked_mul(size as u64))?;
    count.checked_mul(element.size() as u64)
}

impl Array {
    /// The examples of an array `[example, ...]`: their values and the shape of one.
    ///
    /// Bytes stay bytes (they stand for fractions of 255), truth values stay bits, everything else
    /// becomes `f32` and must be finite.
    pub(crate) fn into_examples(self) -> Result<(Values, Vec<usize>), DataError> {
        let event_shape = event_shape(&self.origin, &self.shape)?;
        let width: usize = event_shape.iter().product();
        match self.element {
            Element::U8 => return Ok((Values::Bytes { data: Numbers::owned(self.bytes), divisor: 255.0 }, event_shape)),
            Element::Bool => {
                if let Some(at) = self.bytes.iter().position(|&byte| byte > 1) {
                    let value = f32::from(self.bytes[at]);
                    let (row, column) = (at / width, at % width);
                    let required_by = "a truth value";
                    return Err(DataError::OutOfRange { origin: self.origin, row, column, value, low: 0.0, high: 1.0, required_by });
                }
                return Ok((Values::Bytes { data: Numbers::owned(self.bytes), divisor: 1.0 }, event_shape));
            }
            _ => {}
        }
        let mut data = self.room_for::<f32>()?;
        self.for_each(|value| data.push(value as f32));
        first_non_finite(&self.origin, &data, width)?;
        Ok((Values::Floats(Numbers::owned(data)), event_shape))
    }

    /// The labels of an array `[example]` or `[example, 1]`.
    pub(crate) fn into_labels(self) -> Result<Vec<i64>, DataError> {
        if self.shape.is_empty() || self.shape[1..].iter().any(|&size| size != 1) {
            let message = format!("labels need the shape [example], but this array has the shape {:?}", self.shape);
            return Err(DataError::format(&self.origin, 0, message));
        }
        let mut labels = self.room_for::<i64>()?;
        let mut bad = None;
        self.for_each(|value| {
            // Up to 2^53 every integer is an f64; a class number never needs more.
            if value.fract() == 0.0 && value.abs() <= 9.0e15 {
                labels.push(value as i64);
            } else if bad.is_none() {
                bad = Some((labels.len(), value));
                labels.push(0);
            }
        });
        match bad {
            None => Ok(labels),
            Some((row, value)) => Err(DataError::Label { origin: self.origin, row, value }),
        }
    }

    /// An empty list that can hold a `T` for each number.
    fn room_for<T>(&self) -> Result<Vec<T>, DataError> {
        let too_large = || DataError::TooLarge { origin: self.origin.clone(), limit: memory::limit() };
        let count = self.bytes.len() / self.element.size();
        if count as u64 > memory::limit() / size_of::<T>() as u64 {
            return Err(too_large());
        }
        let mut room = Vec::new();
        room.try_reserve_exact(count).map_err(|_| too_large())?;
        Ok(room)
    }

    /// Every number in order.
    fn for_each(&self, mut push: impl FnMut(f64)) {
        macro_rules! numbers {
            ($type:ty) => {
                for chunk in self.bytes.chunks_exact(size_of::<$type>()) {
                    let bytes = chunk.try_into().expect("chunks have the size of the type");
                    let value = match self.endian {
                        Endian::Little => <$type>::from_le_bytes(bytes),
                        Endian::Big => <$type>::from_be_bytes(bytes),
                    };
                    push(value as f64);
                }
            };
        }
        match self.element {
            Element::Bool | Element::U8 => numbers!(u8),
            Element::I8 => numbers!(i8),
            Element::U16 => numbers!(u16),
            Element::I16 => numbers!(i16),
            Element::U32 => numbers!(u32),
            Element::I32 => numbers!(i32),
            Element::U64 => numbers!(u64),
            Element::I64 => numbers!(i64),
            Element::F32 => numbers!(f32),
            Element::F64 => numbers!(f64),
            Element::F16 => {
                for chunk in self.bytes.chunks_exact(2) {
                    let bytes = [chunk[0], chunk[1]];
                    push(half_to_f64(if self.endian == Endian::Little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) }));
                }
            }
        }
    }
}

/// The shape of one example of an array `[example, ...]` that holds at least one.
pub(crate) fn event_shape(origin: &Origin, shape: &[usize]) -> Result<Vec<usize>, DataError> {
    if shape.len() < 2 {
        let message = format!("examples need two dimensions or more, [example, feature, ...], but the shape is {shape:?}");
        return Err(DataError::format(origin, 0, message));
    }
    if shape.contains(&0) {
        return Err(DataError::Empty { origin: origin.clone(), what: "examples" });
    }
    Ok(shape[1..].to_vec())
}

/// Refuses NaN and infinity.
pub(crate) fn first_non_finite(origin: &Origin, data: &[f32], width: usize) -> Result<(), DataError> {
    match data.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(at) => Err(DataError::NonFinite { origin: origin.clone(), row: at / width, column: at % width, value: data[at] }),
    }
}

/// IEEE 754 binary16.
fn half_to_f64(bits: u16) -> f64 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let exponent = i32::from((bits >> 10) & 0x1f);
    let fraction = f64::from(bits & 0x3ff);
    sign * match exponent {
        0 => fraction * 2f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1.0 + fraction / 1024.0) * 2f64.powi(exponent - 15),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array(shape: &[usize], element: Element, endian: Endian, bytes: Vec<u8>) -> Array {
        Array { origin: Origin::file("x"), shape: shape.to_vec(), element, endian, bytes }
    }

    #[test]
    fn half_precision_numbers_are_the_ieee_ones() {
        for (bits, value) in
            [(0x3c00, 1.0), (0xc000, -2.0), (0x7bff, 65504.0), (0x0001, 5.960_464_477_539_063e-8), (0x3555, 0.333_251_953_125)]
        {
            assert_eq!(half_to_f64(bits), value);
        }
        assert!(half_to_f64(0x7e00).is_nan());
        assert_eq!(half_to_f64(0xfc00), f64::NEG_INFINITY);
    }

    #[test]
    fn nan_is_named_by_row_and_column() {
        let bytes: Vec<u8> = [0.0f32, 1.0, 2.0, 3.0, f32::NAN, 5.0].iter().flat_map(|value| value.to_le_bytes()).collect();
        let error = array(&[2, 3], Element::F32, Endian::Little, bytes).into_examples().unwrap_err();
        assert_eq!(error.to_string(), "x: row 1, column 1 is NaN; every value must be a finite number (rows and columns count from 0)");
    }

    #[test]
    fn byte_order_is_respected() {
        let labels = array(&[2], Element::I16, Endian::Big, vec![0x01, 0x02, 0xff, 0xff]).into_labels().unwrap();
        assert_eq!(labels, [258, -1]);
    }

    #[test]
    fn labels_that_are_not_integers_are_refused() {
        let bytes: Vec<u8> = [0.0f32, 1.5].iter().flat_map(|value| value.to_le_bytes()).collect();
        let error = array(&[2], Element::F32, Endian::Little, bytes).into_labels().unwrap_err();
        assert_eq!(error.to_string(), "x: label 1 is 1.5; labels must be integers (rows count from 0)");
    }
}
