//! A picture as MNIST has it goes through unchanged: what the network sees is what it learned from.

use image::ImageFormat;
use image::imageops::invert;

use super::{encoded, held_back, image, read, read_raw};

#[test]
fn mnists_own_pictures_go_through_pixel_for_pixel() {
    let digits = held_back();
    for number in 0..digits.len() {
        let format = [ImageFormat::Png, ImageFormat::Bmp, ImageFormat::WebP][number % 3];
        let picture = read(&encoded(image(&digits, number), format)).unwrap();
        assert!(
            picture.pixels() == digits.image(number),
            "picture {number} as {format:?}"
        );
    }
}

#[test]
fn black_on_white_they_are_turned_and_else_unchanged() {
    let digits = held_back();
    for number in 0..digits.len() {
        let mut black_on_white = image(&digits, number);
        invert(&mut black_on_white);
        let picture = read(&encoded(black_on_white, ImageFormat::Png)).unwrap();
        assert!(picture.pixels() == digits.image(number), "picture {number}");
    }
}

#[test]
fn raw_leaves_every_grey_value_as_it_is_and_takes_no_other_size() {
    let digits = held_back();
    let mut black_on_white = image(&digits, 0);
    invert(&mut black_on_white);
    let picture = read_raw(&encoded(black_on_white.clone(), ImageFormat::Png)).unwrap();
    assert_eq!(picture.pixels(), black_on_white.as_raw());

    let narrow = image::imageops::crop_imm(&black_on_white, 0, 0, 27, 28).to_image();
    let error = read_raw(&encoded(narrow, ImageFormat::Png)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "only pictures of 28×28 pixels are taken as they are"
    );
}
