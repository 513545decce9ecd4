//! File formats: bytes in, arrays out. Nothing here panics on any bytes, and nothing is allocated on the
//! word of a header alone.

pub(crate) mod ar;
pub(crate) mod array;
pub(crate) mod idx;
pub(crate) mod npy;
pub(crate) mod payload;
pub(crate) mod xz;
pub(crate) mod zip;
