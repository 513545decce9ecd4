//! XZ, as far as Debian packages need it: what a stream unpacks to, before it is unpacked.
//!
//! The decompressor keeps everything in memory until a block ends, so a bomb must not reach it. Each chunk of LZMA2 states how many
//! bytes come out of it, and the decompressor takes no more from it:
//!
//! ```text
//! stream header 12 | blocks: header, chunks of LZMA2, padding to 4, check | 0, index, footer
//! chunk: 00 | 01 or 02, size - 1 (16 bits), bytes | 80..ff, size - 1 (5 bits of the first byte, 16 bits), packed size - 1 (16 bits),
//!        from c0 on a byte of properties, packed bytes
//! ```
//! <https://tukaani.org/xz/xz-file-format.txt>

use std::io::{self, Read};

/// How many bytes the first stream of an XZ file unpacks to by what its chunks state.
pub(crate) fn unpacked_size(mut reader: impl Read) -> io::Result<u64> {
    let damaged = || io::Error::new(io::ErrorKind::InvalidData, "the XZ stream is damaged");
    let mut header = [0; 12];
    reader.read_exact(&mut header)?;
    if header[..6] != *b"\xfd7zXZ\0" {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "is not an XZ stream"));
    }
    let check_size = match header[7] & 0x0f {
        0 => 0,
        kind @ 1..=15 => 4 << ((kind - 1) / 3),
        _ => return Err(damaged()),
    };
    let mut total = 0u64;
    loop {
        let header_size = u64::from(byte(&mut reader)?);
        if header_size == 0 {
            return Ok(total);
        }
        skip(&mut reader, header_size * 4 + 3)?;
        let mut packed = 0u64;
        loop {
            let control = byte(&mut reader)?;
            packed += 1;
            let (size, rest) = match control {
                0 => break,
                1 | 2 => {
                    let size = u64::from(short(&mut reader)?) + 1;
                    packed += 2;
                    (size, size)
                }
                0x80.. => {
                    let size = (u64::from(control & 0x1f) << 16) + u64::from(short(&mut reader)?) + 1;
                    let rest = u64::from(short(&mut reader)?) + 1 + u64::from(control >= 0xc0);
                    packed += 4;
                    (size, rest)
                }
                _ => return Err(damaged()),
            };
            skip(&mut reader, rest)?;
            packed += rest;
            total += size;
        }
        skip(&mut reader, packed.wrapping_neg() % 4 + check_size)?;
    }
}

fn byte(reader: &mut impl Read) -> io::Result<u8> {
    let mut byte = [0];
    reader.read_exact(&mut byte).map(|()| byte[0])
}

fn short(reader: &mut impl Read) -> io::Result<u16> {
    let mut bytes = [0; 2];
    reader.read_exact(&mut bytes).map(|()| u16::from_be_bytes(bytes))
}

fn skip(reader: &mut impl Read, count: u64) -> io::Result<()> {
    let skipped = io::copy(&mut reader.take(count), &mut io::sink())?;
    if skipped == count { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_size_is_that_which_comes_out() {
        for size in [0, 1, 70_000, 5_000_000] {
            let content: Vec<u8> = (0..size as u32).map(|value| (value.wrapping_mul(2_654_435_761) >> 20) as u8).collect();
            let mut packed = Vec::new();
            lzma_rs::xz_compress(&mut content.as_slice(), &mut packed).unwrap();
            assert_eq!(unpacked_size(packed.as_slice()).unwrap(), size);
        }
    }

    /// Of several blocks and of chunks that are compressed, as `lzma_rs` does not write them.
    #[test]
    fn what_the_tool_of_debian_packs_is_measured_too() {
        let spawned = Command::new("xz").args(["--stdout", "--block-size=1000000"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let Ok(mut process) = spawned else {
            writeln!(io::stderr(), "LEFT OUT: there is no `xz`").unwrap();
            return;
        };
        let mut input = process.stdin.take().unwrap();
        let writer = std::thread::spawn(move || input.write_all(&vec![7; 3_500_000]).unwrap());
        let output = process.wait_with_output().unwrap().stdout;
        writer.join().unwrap();
        assert!(output.len() < 10_000);
        assert_eq!(unpacked_size(output.as_slice()).unwrap(), 3_500_000);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = unpacked_size(bytes.as_slice());
            let _ = unpacked_size([b"\xfd7zXZ\0\0\x04\0\0\0\0".as_slice(), &bytes].concat().as_slice());
        }
    }
}
