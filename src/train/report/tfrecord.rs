//! TensorFlow's record files: each record between its length and checksums.
//!
//! Bytes in, bytes out. Knows nothing of what a record means.

/// CRC-32C (Castagnoli), reflected, as in RFC 3720, section 12.1.
const POLYNOMIAL: u32 = 0x82F6_3B78;
/// Added to rotated checksums, so that a checksum of data with checksums in it is none of zeros: `kMaskDelta` of
/// `tensorflow/core/lib/hash/crc32c.h`.
const MASK_DELTA: u32 = 0xA282_EAD8;

const TABLE: [u32; 256] = table();

/// A record as a file has it: `u64` length, its checksum, the record, its checksum, all little-endian
/// (`tensorflow/core/lib/io/record_writer.h`).
pub(super) fn framed(record: &[u8]) -> Vec<u8> {
    let length = (record.len() as u64).to_le_bytes();
    let mut framed = Vec::with_capacity(record.len() + 16);
    framed.extend(length);
    framed.extend(masked(crc32c(&length)).to_le_bytes());
    framed.extend(record);
    framed.extend(masked(crc32c(record)).to_le_bytes());
    framed
}

fn masked(checksum: u32) -> u32 {
    checksum.rotate_right(15).wrapping_add(MASK_DELTA)
}

fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |checksum: u32, byte| {
        TABLE[usize::from(checksum as u8 ^ byte)] ^ (checksum >> 8)
    })
}

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut remainder = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            let odd = remainder & 1 == 1;
            remainder = (remainder >> 1) ^ if odd { POLYNOMIAL } else { 0 };
            bit += 1;
        }
        table[byte] = remainder;
        byte += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_crc_32c() {
        // RFC 3720, appendix B.4, and the check value of the catalogue of parametrised CRC algorithms.
        assert_eq!(crc32c(&[0; 32]), 0x8A91_36AA);
        assert_eq!(crc32c(b"123456789"), 0xE306_9283);
    }
}
