//! Lines of a text that a stranger may have written: of any bytes, and perhaps without an end.

use std::io::{self, BufRead, Read};

/// The lines of a reader without their ends. Of a line that is longer than the limit, the first bytes up to the limit come and the
/// rest is passed over, so that a reader of JSON finds it damaged.
#[derive(Debug)]
pub struct BoundedLines<R> {
    reader: R,
    limit: usize,
}

/// The lines of `reader`, each of at most `limit` bytes.
pub fn bounded_lines<R: BufRead>(reader: R, limit: usize) -> BoundedLines<R> {
    BoundedLines { reader, limit }
}

impl<R: BufRead> Iterator for BoundedLines<R> {
    type Item = io::Result<Vec<u8>>;

    fn next(&mut self) -> Option<io::Result<Vec<u8>>> {
        let mut line = Vec::new();
        match self.reader.by_ref().take(self.limit as u64 + 1).read_until(b'\n', &mut line) {
            Ok(0) => return None,
            Ok(_) => {}
            Err(error) => return Some(Err(error)),
        }
        if line.last() == Some(&b'\n') {
            line.pop();
            return Some(Ok(line));
        }
        if line.len() > self.limit {
            line.truncate(self.limit);
            if let Err(error) = self.reader.skip_until(b'\n') {
                return Some(Err(error));
            }
        }
        Some(Ok(line))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(text: &[u8], limit: usize) -> Vec<Vec<u8>> {
        bounded_lines(text, limit).map(Result::unwrap).collect()
    }

    #[test]
    fn long_lines_are_cut_and_the_next_one_is_whole() {
        assert_eq!(lines(b"one\n\xfftwo and more\n\nthree", 4), [b"one".as_slice(), b"\xfftwo", b"", b"thre"]);
        assert_eq!(lines(b"four\nfive5\n", 4), [b"four", b"five"]);
        assert_eq!(lines(b"", 4), Vec::<Vec<u8>>::new());
    }

    #[test]
    fn a_line_without_an_end_takes_no_more_memory_than_the_limit() {
        let endless = io::BufReader::new(io::repeat(b'x').take(100 << 20));
        let line = bounded_lines(endless, 1000).next().unwrap().unwrap();
        assert!(line.len() == 1000 && line.capacity() < 10_000);
    }

    proptest! {
        #[test]
        fn lines_are_those_of_the_text_each_cut(text in prop::collection::vec(prop::sample::select(b"ab\n".as_slice()), 0..60), limit in 0usize..8) {
            let mut expected: Vec<Vec<u8>> = text.split(|byte| *byte == b'\n').map(|line| line[..line.len().min(limit)].to_vec()).collect();
            if text.last().is_none_or(|byte| *byte == b'\n') {
                expected.pop();
            }
            prop_assert_eq!(lines(&text, limit), expected);
        }
    }
}
