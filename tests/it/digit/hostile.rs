//! What is no picture of a digit gets one clear sentence, and never a panic.

use std::fs;

use image::{GrayImage, ImageFormat, Luma};
use mnistq::digit::{DigitReader, ReadError, Reader, Settings};

use super::{encoded, read};
use crate::harness::data::committed;

/// A picture in each format.
const PICTURES: [&str; 6] = [
    "3-grey-8-bit.png",
    "7-progressive.jpg",
    "9-lossy.webp",
    "9-lossless.webp",
    "8-still.gif",
    "0-1-bit.bmp",
];

fn picture(name: &str) -> Vec<u8> {
    fs::read(committed("pictures").join(name)).unwrap()
}

#[test]
fn what_is_no_image_is_told_from_one_that_is_damaged() {
    assert!(matches!(read(b""), Err(ReadError::Empty)));
    for stranger in [
        &b"no image"[..],
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%PDF-1.7\n",
        b"\x00\x00\x00\x18ftypheic",
        b"II\x2a\0\x08\0\0\0",
    ] {
        assert!(
            matches!(read(stranger), Err(ReadError::Unsupported)),
            "{stranger:?}"
        );
    }
}

#[test]
fn a_picture_that_is_cut_short_is_damaged() {
    for name in PICTURES {
        let whole = picture(name);
        for part in [4, 2] {
            let error = read(&whole[..whole.len() / part]).expect_err(name);
            assert!(matches!(error, ReadError::Damaged(_)), "{name}: {error}");
        }
    }
}

#[test]
fn no_change_of_a_byte_makes_it_panic() {
    for name in PICTURES {
        let whole = picture(name);
        for place in 0..whole.len().min(300) {
            for change in [0x01, 0x80, 0xff] {
                let mut changed = whole.clone();
                changed[place] ^= change;
                // Whether it is still a picture is not the question.
                let _ = read(&changed);
            }
        }
        for length in 0..whole.len().min(300) {
            let _ = read(&whole[..length]);
        }
    }
}

#[test]
fn a_picture_that_says_to_be_huge_is_refused_by_its_header() {
    let mut png = picture("3-grey-8-bit.png");
    // Width and height, and the sum over them.
    png[16..24].copy_from_slice(&[0, 1, 0, 0, 0, 1, 0, 0]);
    let sum = crc32(&png[12..29]);
    png[29..33].copy_from_slice(&sum.to_be_bytes());
    let error = read(&png).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the image has 65536×65536 pixels, and at most 24 megapixels are taken"
    );
}

#[test]
fn the_limit_of_pixels_is_the_operators() {
    let settings = Settings {
        max_megapixels: 1,
        ..Settings::default()
    };
    let reader = DigitReader::new(&settings);
    let blank = |width| encoded(GrayImage::new(width, 1000), ImageFormat::Png);
    assert!(matches!(
        reader.read(&blank(2000)),
        Err(ReadError::TooManyPixels {
            width: 2000,
            height: 1000,
            limit: 1
        })
    ));
    assert!(matches!(reader.read(&blank(1900)), Err(ReadError::Unusable(_))));
}

#[test]
fn a_picture_without_a_digit_is_told() {
    for blank in [
        GrayImage::new(28, 28),
        GrayImage::from_pixel(300, 200, Luma([255])),
        GrayImage::from_pixel(300, 200, Luma([128])),
    ] {
        let error = read(&encoded(blank, ImageFormat::Png)).unwrap_err();
        assert_eq!(error.to_string(), "no digit can be seen: the picture is blank");
    }
    let error = read(&encoded(GrayImage::new(7, 300), ImageFormat::Png)).unwrap_err();
    assert!(error.to_string().contains("too small"), "{error}");
}

/// The sum that PNG has over each of its parts.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}
