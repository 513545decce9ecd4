//! Numbers of files that processes share: mapped into memory, read-only, or on the heap where that cannot be.
//!
//! This is the only crate of the workspace with `unsafe` in it: two blocks, each with its proof. What the proofs need of others
//! is in the documentation of [`Mapping::open`].

#![deny(unsafe_op_in_unsafe_fn)]
#![deny(clippy::undocumented_unsafe_blocks)]

use std::fmt;
use std::fs::File;
use std::io;
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

use memmap2::Mmap;

mod sealed {
    pub trait Sealed {}
}

/// A kind of number that can be read from bytes as they are: every pattern of bits is a value, and there is no padding.
pub trait Number: sealed::Sealed + Copy + fmt::Debug + PartialEq + Send + Sync + 'static {}

macro_rules! numbers {
    ($($kind:ty),*) => {$(
        impl sealed::Sealed for $kind {}
        impl Number for $kind {}
    )*};
}

numbers!(u8, u32, f32);

/// A whole file, mapped read-only: processes that map the same file share its pages.
pub struct Mapping(Mmap);

impl Mapping {
    /// Maps a file that nobody changes.
    ///
    /// The file has to be one that is written under another name, renamed when it is complete, and never written to, cut off or
    /// replaced in place afterwards; removing it or renaming another over it is harmless, because the mapping keeps the file that it
    /// was made of. Files whose name is derived from their content, in a folder that only this program writes to, are such files.
    ///
    /// # Errors
    /// Those of the file system, and that the file is empty.
    pub fn open(path: &Path) -> io::Result<Arc<Self>> {
        let file = File::open(path)?;
        if file.metadata()?.len() == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file is empty"));
        }
        // SAFETY: the mapping is read-only and private to this crate, which hands out shared slices of it only, bound to its life.
        // That the bytes do not change meanwhile is what the file's own life gives (see above): it has got its name by a rename
        // after its last write, and this program has no code that opens such a file for writing. Should a person change it all the
        // same, then what is read are other numbers, never anything but numbers (`Number`: every pattern of bits is one); should a
        // person cut it off, the kernel ends the process by SIGBUS, which the runner reports.
        let map = unsafe { Mmap::map(&file)? };
        Ok(Arc::new(Self(map)))
    }

    /// All bytes of the file.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Mapping {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Mapping of {} bytes", self.0.len())
    }
}

/// Numbers that cannot be changed: in a mapped file, or on the heap. Cheap to clone.
#[derive(Clone)]
pub struct Numbers<T: Number>(Storage<T>);

#[derive(Clone)]
enum Storage<T> {
    Owned(Arc<Vec<T>>),
    /// `count` numbers from byte `start` on; both were checked when this was made.
    Mapped {
        mapping: Arc<Mapping>,
        start: usize,
        count: usize,
    },
}

impl<T: Number> Numbers<T> {
    /// Numbers of this process alone.
    pub fn owned(numbers: Vec<T>) -> Self {
        Self(Storage::Owned(Arc::new(numbers)))
    }

    /// `count` numbers, lowest byte first, from byte `start` of a file on; `None` where the file does not hold them, where they do
    /// not lie as the processor needs them, or where it reads numbers the other way around.
    pub fn mapped(mapping: &Arc<Mapping>, start: usize, count: usize) -> Option<Self> {
        let end = start.checked_add(count.checked_mul(size_of::<T>())?)?;
        let bytes = mapping.bytes().get(start..end)?;
        if !bytes.as_ptr().cast::<T>().is_aligned() || cfg!(target_endian = "big") {
            return None;
        }
        Some(Self(Storage::Mapped { mapping: Arc::clone(mapping), start, count }))
    }

    /// Whether the numbers lie in a mapped file.
    pub fn is_mapped(&self) -> bool {
        matches!(self.0, Storage::Mapped { .. })
    }
}

impl<T: Number> Deref for Numbers<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match &self.0 {
            Storage::Owned(numbers) => numbers,
            Storage::Mapped { mapping, start, count } => {
                let first = mapping.bytes()[*start..].as_ptr().cast::<T>();
                // SAFETY: `mapped` is the only place where this variant is made. It has checked that `count` numbers from `start` on
                // lie within the mapping and that the first is aligned; a mapping neither moves nor shrinks while it lives, and the
                // slice borrows from `self`, which keeps it alive. The bytes are initialized (a file's are) and not written to
                // (`Mapping::open`), and every pattern of them is a `T` (`Number` is sealed: `u8`, `u32`, `f32`).
                unsafe { std::slice::from_raw_parts(first, *count) }
            }
        }
    }
}

impl<T: Number> From<Vec<T>> for Numbers<T> {
    fn from(numbers: Vec<T>) -> Self {
        Self::owned(numbers)
    }
}

impl<T: Number> PartialEq for Numbers<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Numbers<u8> {}
impl Eq for Numbers<u32> {}

impl<T: Number> fmt::Debug for Numbers<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 8;
        let place = if self.is_mapped() { "mapped" } else { "owned" };
        write!(formatter, "{} {place} numbers {:?}", self.len(), &self[..self.len().min(SHOWN)])?;
        formatter.write_str(if self.len() > SHOWN { "..." } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(bytes: &[u8]) -> (tempfile::TempDir, Arc<Mapping>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("numbers");
        std::fs::write(&path, bytes).unwrap();
        let mapping = Mapping::open(&path).unwrap();
        (folder, mapping)
    }

    #[test]
    fn mapped_numbers_are_those_of_the_file_and_equal_to_owned_ones() {
        let numbers = [0.5f32, -0.0, f32::MIN_POSITIVE / 2.0, 3.25e30];
        let mut bytes = vec![7u8; 8];
        bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        let (_folder, mapping) = file(&bytes);
        let mapped = Numbers::<f32>::mapped(&mapping, 8, 4).unwrap();
        assert!(mapped.is_mapped());
        assert_eq!(mapped.iter().map(|number| number.to_bits()).collect::<Vec<_>>(), numbers.map(f32::to_bits));
        assert_eq!(mapped, Numbers::owned(numbers.to_vec()));
        assert_ne!(mapped, Numbers::owned(numbers[..3].to_vec()));
        assert_eq!(*Numbers::<u8>::mapped(&mapping, 6, 2).unwrap(), [7, 7]);
        assert!(Numbers::<u32>::mapped(&mapping, 24, 0).unwrap().is_empty());
    }

    #[test]
    fn what_lies_outside_or_askew_is_refused() {
        let (_folder, mapping) = file(&[0; 24]);
        assert!(Numbers::<f32>::mapped(&mapping, 8, 4).is_some());
        assert!(Numbers::<f32>::mapped(&mapping, 8, 5).is_none());
        assert!(Numbers::<f32>::mapped(&mapping, 28, 0).is_none());
        assert!(Numbers::<f32>::mapped(&mapping, 2, 1).is_none());
        assert!(Numbers::<f32>::mapped(&mapping, 8, usize::MAX / 2).is_none());
        assert!(Numbers::<u8>::mapped(&mapping, usize::MAX, 1).is_none());
    }

    #[test]
    fn numbers_outlive_the_name_of_their_file() {
        let (folder, mapping) = file(&[1, 2, 3]);
        let numbers = Numbers::<u8>::mapped(&mapping, 1, 2).unwrap();
        let other = folder.path().join("other");
        std::fs::write(&other, [9; 3]).unwrap();
        std::fs::rename(&other, folder.path().join("numbers")).unwrap();
        drop((folder, mapping));
        assert_eq!(*numbers.clone(), [2, 3]);
    }

    #[test]
    fn a_file_that_is_not_there_or_empty_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Mapping::open(&folder.path().join("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
        std::fs::write(folder.path().join("empty"), []).unwrap();
        assert_eq!(Mapping::open(&folder.path().join("empty")).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
