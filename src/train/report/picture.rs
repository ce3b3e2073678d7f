//! Digits as pictures within a page: PNG in a `data:` address.
//!
//! 784 bytes in, text out. Decodes nothing.

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::ZlibEncoder;

const SIDE: u32 = 28;
/// The first bytes of every PNG file (W3C Portable Network Graphics, 5.2).
const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
/// Bits of a grey value, colour type (grey), compression, filter and interlace method (11.2.1).
const GREY: [u8; 5] = [8, 0, 0, 0, 0];
/// RFC 4648, section 4.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The address of a picture that it holds itself.
pub(super) fn address(pixels: &[u8]) -> String {
    // Memory takes everything.
    let png = png(pixels).unwrap_or_default();
    format!("data:image/png;base64,{}", base64(&png))
}

fn png(pixels: &[u8]) -> io::Result<Vec<u8>> {
    let mut header = [SIDE.to_be_bytes(), SIDE.to_be_bytes()].concat();
    header.extend(GREY);
    let mut rows = ZlibEncoder::new(Vec::new(), Compression::best());
    for row in pixels.chunks(SIDE as usize) {
        // Each row begins with its filter: none.
        rows.write_all(&[0])?;
        rows.write_all(row)?;
    }
    let mut png = SIGNATURE.to_vec();
    put_chunk(&mut png, b"IHDR", &header);
    put_chunk(&mut png, b"IDAT", &rows.finish()?);
    put_chunk(&mut png, b"IEND", &[]);
    Ok(png)
}

fn put_chunk(png: &mut Vec<u8>, kind: &[u8; 4], content: &[u8]) {
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(kind);
    checksum.update(content);
    png.extend((content.len() as u32).to_be_bytes());
    png.extend(kind);
    png.extend(content);
    png.extend(checksum.finalize().to_be_bytes());
}

fn base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let padded = [0, 1, 2].map(|place| u32::from(three.get(place).copied().unwrap_or(0)));
        let bits = padded[0] << 16 | padded[1] << 8 | padded[2];
        for place in 0..4 {
            let six = bits >> (18 - 6 * place) & 63;
            text.push(if place > three.len() {
                '='
            } else {
                char::from(ALPHABET[six as usize])
            });
        }
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_base64() {
        // RFC 4648, section 10.
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn a_decoder_sees_the_same_pixels() {
        let pixels: Vec<u8> = (0..784_u32).map(|place| (place * 7) as u8).collect();
        let seen = image::load_from_memory(&png(&pixels).unwrap()).unwrap();
        assert_eq!((seen.width(), seen.height()), (28, 28));
        assert_eq!(seen.into_luma8().into_raw(), pixels);
    }
}
