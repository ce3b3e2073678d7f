//! Digits as pictures within a page: PNG in a `data:` address.
//!
//! 784 bytes in, text out. Decodes nothing.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};

const SIDE: u32 = 28;

/// The address of a picture that it holds itself.
pub(super) fn address(pixels: &[u8]) -> String {
    format!("data:image/png;base64,{}", BASE64_STANDARD.encode(png(pixels)))
}

fn png(pixels: &[u8]) -> Vec<u8> {
    let mut png = Vec::new();
    let written = PngEncoder::new(&mut png).write_image(pixels, SIDE, SIDE, ExtendedColorType::L8);
    debug_assert!(
        written.is_ok(),
        "memory takes everything, and a digit has 784 pixels"
    );
    png
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_decoder_sees_the_same_pixels() {
        let pixels: Vec<u8> = (0..784_u32).map(|place| (place * 7) as u8).collect();
        let seen = image::load_from_memory(&png(&pixels)).unwrap();
        assert_eq!((seen.width(), seen.height()), (28, 28));
        assert_eq!(seen.into_luma8().into_raw(), pixels);
    }
}
