//! The same digits as people would send them: elsewhere in the picture, on paper, in bad light, out of focus.

use image::imageops::{self, FilterType};
use image::{GrayImage, ImageFormat, Luma};
use imageproc::filter::gaussian_blur_f32;
use imageproc::noise::gaussian_noise;

use super::{answers, encoded, held_back, image};

/// So many of MNIST's test pictures.
const DIGITS: usize = 200;

#[test]
fn a_digit_is_known_at_every_size() {
    for side in [14, 20, 40, 100, 300] {
        known_at_least(185, &format!("{side} pixels"), |digit| resized(digit, side));
    }
}

#[test]
fn a_digit_is_known_wherever_it_is() {
    for (left, top) in [(0, 0), (300, 0), (0, 200), (300, 200), (150, 100)] {
        known_at_least(190, &format!("at {left}, {top}"), |digit| {
            let mut picture = GrayImage::new(400, 300);
            imageops::replace(&mut picture, &resized(digit, 100), left, top);
            picture
        });
    }
}

#[test]
fn a_digit_is_known_dark_on_light_paper() {
    known_at_least(190, "on paper", |digit| on_paper(digit, |_, _| 220.0));
}

#[test]
fn a_digit_is_known_in_uneven_light() {
    known_at_least(190, "lit from one side", |digit| {
        on_paper(digit, |x, y| 240.0 - 0.45 * x as f32 - 0.15 * y as f32)
    });
}

#[test]
fn a_digit_is_known_out_of_focus() {
    known_at_least(190, "out of focus", |digit| {
        gaussian_blur_f32(&on_paper(digit, |_, _| 220.0), 5.0)
    });
}

#[test]
fn a_digit_is_known_with_a_noisy_sensor() {
    known_at_least(190, "noisy", |digit| {
        gaussian_noise(&on_paper(digit, |_, _| 200.0), 0.0, 12.0, 7)
    });
}

#[test]
fn a_digit_is_known_on_a_white_sheet_on_a_dark_table() {
    known_at_least(190, "on a sheet", |digit| {
        let mut table = GrayImage::from_pixel(600, 500, Luma([40]));
        imageops::replace(&mut table, &on_paper(digit, |_, _| 230.0), 120, 90);
        table
    });
}

/// That of the digits, drawn so, at least so many are known.
#[track_caller]
fn known_at_least(bound: usize, scene: &str, draw: impl Fn(&GrayImage) -> GrayImage) {
    let digits = held_back();
    let uploads: Vec<Vec<u8>> = (0..DIGITS)
        .map(|number| encoded(draw(&image(&digits, number)), ImageFormat::Png))
        .collect();
    let known = answers(&uploads)
        .iter()
        .zip(digits.labels())
        .filter(|(answer, label)| answer == label)
        .count();
    assert!(known >= bound, "{scene}: {known} of {DIGITS}");
}

fn resized(digit: &GrayImage, side: u32) -> GrayImage {
    imageops::resize(digit, side, side, FilterType::CatmullRom)
}

/// The digit with dark ink on 300×200 pixels of paper, of which `light` is the brightness.
fn on_paper(digit: &GrayImage, light: impl Fn(u32, u32) -> f32) -> GrayImage {
    let mut ink = GrayImage::new(300, 200);
    imageops::replace(&mut ink, &resized(digit, 140), 80, 30);
    GrayImage::from_fn(300, 200, |x, y| {
        let covered = f32::from(ink.get_pixel(x, y)[0]) / 255.0;
        Luma([(light(x, y) * (1.0 - 0.8 * covered)) as u8])
    })
}
