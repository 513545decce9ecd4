//! The framing of an event file: length, checksum, message, checksum.

use std::io::{self, Read};

use protobuf::Message;
use tensorboard_proto::event::Event;
use tensorboard_rs::masked_crc32c::masked_crc32c;
use tensorboard_rs::record_writer::RecordWriter;

/// Bytes before a message: its length as a little-endian `u64` and the masked CRC-32C of that.
const HEADER_SIZE: u64 = 12;
/// Bytes after a message: its masked CRC-32C.
const FOOTER_SIZE: u64 = 4;

/// An event as it stands in the file.
pub(crate) fn record(event: &Event) -> io::Result<Vec<u8>> {
    let message = event.write_to_bytes().map_err(io::Error::other)?;
    let mut bytes = Vec::with_capacity(message.len() + (HEADER_SIZE + FOOTER_SIZE) as usize);
    RecordWriter::new(&mut bytes).write(&message)?;
    Ok(bytes)
}

/// Length of the longest prefix of `file` that consists of whole records with right checksums.
pub(crate) fn whole_records(mut file: impl Read, file_size: u64) -> io::Result<u64> {
    let mut end = 0;
    let mut message = Vec::new();
    loop {
        let remaining = file_size - end;
        if remaining < HEADER_SIZE + FOOTER_SIZE {
            return Ok(end);
        }
        let mut header = [0; HEADER_SIZE as usize];
        if !read_whole(&mut file, &mut header)? {
            return Ok(end);
        }
        let (length, checksum) = header.split_at(8);
        let size = u64::from_le_bytes(length.try_into().expect("eight bytes"));
        // The length is trusted only after its checksum: a torn one may ask for exabytes.
        if masked_crc32c(length).to_le_bytes() != checksum || size > remaining - HEADER_SIZE - FOOTER_SIZE {
            return Ok(end);
        }
        message.resize(size as usize, 0);
        let mut footer = [0; FOOTER_SIZE as usize];
        if !read_whole(&mut file, &mut message)? || !read_whole(&mut file, &mut footer)? || masked_crc32c(&message).to_le_bytes() != footer
        {
            return Ok(end);
        }
        end += HEADER_SIZE + size + FOOTER_SIZE;
    }
}

/// Fills `buffer`; `false` where the file ends before.
fn read_whole(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match file.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn event(step: i64) -> Event {
        let mut event = Event::new();
        event.set_step(step);
        event.set_file_version("x".repeat(step as usize));
        event
    }

    fn file(num_records: usize) -> (Vec<u8>, Vec<u64>) {
        let mut bytes = Vec::new();
        let mut ends = vec![0];
        for step in 0..num_records {
            bytes.extend(record(&event(step as i64)).unwrap());
            ends.push(bytes.len() as u64);
        }
        (bytes, ends)
    }

    fn prefix(bytes: &[u8]) -> u64 {
        whole_records(bytes, bytes.len() as u64).unwrap()
    }

    #[test]
    fn a_record_is_framed_as_tensorflow_frames_it() {
        // The empty message: length 0, its masked CRC-32C, and the masked CRC-32C of nothing.
        let bytes = record(&Event::new()).unwrap();
        assert_eq!(bytes, [0, 0, 0, 0, 0, 0, 0, 0, 0x29, 0x03, 0x98, 0x07, 0xd8, 0xea, 0x82, 0xa2]);
    }

    #[test]
    fn a_length_that_asks_for_more_than_the_file_holds_ends_the_prefix() {
        let length = u64::MAX.to_le_bytes();
        let mut bytes = length.to_vec();
        bytes.extend(masked_crc32c(&length).to_le_bytes());
        bytes.extend([0; 64]);
        assert_eq!(prefix(&bytes), 0);
    }

    proptest! {
        #[test]
        fn a_torn_tail_costs_only_the_torn_record(num_records in 0usize..12, cut in 0.0..1.0f64) {
            let (bytes, ends) = file(num_records);
            let kept = (cut * bytes.len() as f64) as usize;
            let expected = *ends.iter().rfind(|end| **end <= kept as u64).unwrap();
            prop_assert_eq!(prefix(&bytes[..kept]), expected);
        }

        #[test]
        fn a_flipped_bit_costs_its_record_and_what_follows(num_records in 1usize..12, place in 0.0..1.0f64, bit in 0u8..8) {
            let (mut bytes, ends) = file(num_records);
            let position = (place * (bytes.len() - 1) as f64) as usize;
            bytes[position] ^= 1 << bit;
            let expected = *ends.iter().rfind(|end| **end <= position as u64).unwrap();
            prop_assert_eq!(prefix(&bytes), expected);
        }

        #[test]
        fn arbitrary_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            prop_assert!(prefix(&bytes) <= bytes.len() as u64);
        }
    }
}
