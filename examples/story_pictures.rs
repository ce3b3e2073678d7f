//! Makes the pictures that the README tells its story with, from digits that MNIST keeps for testing:
//!
//! ```text
//! cargo run --release --example story_pictures -- --data DIR --out examples/pictures
//! ```
//!
//! `three.jpg` is a 3 as MNIST has it, `four-blurry.jpg` a 4 out of focus, `seven-bottom.webp` a 7 at the bottom
//! edge, `photo.jpg` a 5 on paper, taken with a phone held sideways. The same bytes come out each time.
#![allow(clippy::expect_used)]

use std::error::Error;
use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use clap::Parser;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::{self, FilterType};
use image::{ExtendedColorType, GrayImage, ImageEncoder, ImageFormat, Luma};
use imageproc::filter::gaussian_blur_f32;
use imageproc::geometric_transformations::{Border, Interpolation, rotate_about_center};
use mnistq::train::dataset::{Dataset, Split};

/// Makes the pictures of the story.
#[derive(Parser)]
struct Arguments {
    /// Folder with the MNIST files.
    #[arg(long)]
    data: PathBuf,
    /// Folder for the pictures.
    #[arg(long)]
    out: PathBuf,
}

fn main() -> Result<(), Box<dyn Error>> {
    let Arguments { data, out } = Arguments::parse();
    let digits = Dataset::read(&data, Split::Test)?;
    fs::create_dir_all(&out)?;

    save(&out, "three.jpg", &jpeg(&digit(&digits, THREE), 95, None)?)?;
    let four = on_black(&enlarged(&digit(&digits, FOUR), 200), 280, (40, 40));
    save(
        &out,
        "four-blurry.jpg",
        &jpeg(&gaussian_blur_f32(&four, 9.0), 85, None)?,
    )?;
    let seven = enlarged(&cropped(&digit(&digits, SEVEN)), 140);
    let place = (80, 280 - i64::from(seven.height()));
    save(&out, "seven-bottom.webp", &webp(&on_black(&seven, 280, place))?)?;
    save(
        &out,
        "photo.jpg",
        &jpeg(&imageops::rotate270(&photo(&digits)), 55, Some(SIDEWAYS))?,
    )?;
    Ok(())
}

/// Exif in 26 bytes: little-endian, one entry, orientation (0x0112) 6: turn clockwise to see it upright.
const SIDEWAYS: &[u8] = b"II\x2a\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";

/// A 5 written with a dark pen on paper that is lit from one side, 1200×900.
fn photo(digits: &Dataset) -> GrayImage {
    let (width, height) = (1200, 900);
    let mut ink = GrayImage::new(width, height);
    imageops::replace(&mut ink, &enlarged(&cropped(&digit(digits, FIVE)), 380), 380, 240);
    // A pen is dark or not there: half-tones of the enlarged digit become an edge.
    ink.iter_mut()
        .for_each(|value| *value = if *value > 120 { 255 } else { 0 });
    let tilt = -4.0_f32.to_radians();
    let ink = rotate_about_center(&ink, tilt, Interpolation::Bilinear, Border::Constant(Luma([0])));
    let ink = gaussian_blur_f32(&ink, 2.5);

    GrayImage::from_fn(width, height, |x, y| {
        let across = x as f32 / width as f32;
        let down = y as f32 / height as f32;
        let light = 0.95 - 0.35 * across - 0.2 * down * down;
        let paper = 228.0 * light * (1.0 - 0.78 * f32::from(ink.get_pixel(x, y)[0]) / 255.0);
        Luma([(paper + grain(y * width + x)).round().clamp(0.0, 255.0) as u8])
    })
}

/// What a sensor adds, between -8 and 8: a multiplicative hash, so that each run has the same.
fn grain(pixel: u32) -> f32 {
    let hash = (pixel ^ (pixel >> 15)).wrapping_mul(0x2C1B_3C6D);
    let hash = (hash ^ (hash >> 12)).wrapping_mul(0x297A_2D39);
    f32::from((hash >> 24) as u8) / 16.0 - 8.0
}

/// Numbers of plain digits among those that MNIST keeps for testing.
const THREE: usize = 32;
const FOUR: usize = 4;
const FIVE: usize = 15;
const SEVEN: usize = 17;

fn digit(digits: &Dataset, number: usize) -> GrayImage {
    GrayImage::from_raw(28, 28, digits.image(number).to_vec()).expect("MNIST's pictures are 28×28")
}

/// The ink, and a dark pixel around it.
fn cropped(digit: &GrayImage) -> GrayImage {
    let ink = || digit.enumerate_pixels().filter(|(_, _, pixel)| pixel[0] > 60);
    let left = ink().map(|(x, _, _)| x).min().expect("a digit has ink");
    let right = ink().map(|(x, _, _)| x).max().expect("a digit has ink");
    let top = ink().map(|(_, y, _)| y).min().expect("a digit has ink");
    let bottom = ink().map(|(_, y, _)| y).max().expect("a digit has ink");
    imageops::crop_imm(digit, left - 1, top - 1, right - left + 3, bottom - top + 3).to_image()
}

fn enlarged(digit: &GrayImage, height: u32) -> GrayImage {
    let width = digit.width() * height / digit.height();
    imageops::resize(digit, width, height, FilterType::CatmullRom)
}

fn on_black(digit: &GrayImage, side: u32, (left, top): (i64, i64)) -> GrayImage {
    let mut picture = GrayImage::new(side, side);
    imageops::replace(&mut picture, digit, left, top);
    picture
}

fn jpeg(picture: &GrayImage, quality: u8, exif: Option<&[u8]>) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut bytes = Vec::new();
    let mut encoder = JpegEncoder::new_with_quality(&mut bytes, quality);
    if let Some(exif) = exif {
        encoder.set_exif_metadata(exif.to_vec())?;
    }
    let (width, height) = picture.dimensions();
    encoder.write_image(picture, width, height, ExtendedColorType::L8)?;
    Ok(bytes)
}

fn webp(picture: &GrayImage) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, ImageFormat::WebP)?;
    Ok(bytes.into_inner())
}

fn save(folder: &Path, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    fs::write(folder.join(name), bytes)
}
