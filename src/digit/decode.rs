//! Second stage of a read: from the bytes of an image to one upright grey picture of moderate size.
//!
//! In come bytes of unknown origin, out goes grey as the eye sees it: transparency lies on white paper, the
//! camera's orientation is applied, and what is large is scaled down. Refuses what has too many pixels by its
//! header. Knows nothing of digits.

use std::io::Cursor;

use image::error::ImageError;
use image::metadata::Orientation;
use image::{DynamicImage, GrayImage, ImageDecoder, ImageFormat, ImageReader, Limits};

use super::{ReadError, container, scale};

/// Longest side of a decoded picture, in pixels: a digit that fills a thirtieth of a page is still larger
/// than the model's input.
const LONGEST_SIDE: u32 = 1000;

/// What a decoder may take beside its output for a million pixels: eight bytes a pixel, for coefficients.
const BYTES_PER_MEGAPIXEL: u64 = 8_000_000;

/// What a decoder may take for tables and rows, whatever the size.
const BYTES_AT_LEAST: u64 = 16_000_000;

/// Grey darker or lighter than the rest by less than this is not seen.
const VISIBLE: u8 = 8;

/// Decodes an upload.
pub(super) fn decode(upload: &[u8], max_megapixels: u32) -> Result<GrayImage, ReadError> {
    let (format, image) = container::open(upload, max_megapixels)?;
    let (image, orientation) = decode_pixels(format, image, max_megapixels)?;
    let mut upright = DynamicImage::ImageLuma8(scale::shrink(&grey(image), LONGEST_SIDE));
    upright.apply_orientation(orientation);
    Ok(upright.into_luma8())
}

fn decode_pixels(
    format: ImageFormat,
    image: &[u8],
    max_megapixels: u32,
) -> Result<(DynamicImage, Orientation), ReadError> {
    let bytes = BYTES_AT_LEAST + BYTES_PER_MEGAPIXEL * (u64::from(max_megapixels) + 1);
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(bytes);
    let mut reader = ImageReader::with_format(Cursor::new(image), format);
    reader.limits(limits.clone());
    let mut decoder = reader.into_decoder().map_err(refusal)?;

    let (width, height) = decoder.dimensions();
    container::check_size(width, height, max_megapixels)?;
    // `from_decoder` makes room for the output without asking the limits.
    if width == 0 || height == 0 || decoder.total_bytes() > bytes {
        return Err(ReadError::Damaged(format!(
            "it claims to have {width}×{height} pixels"
        )));
    }
    limits.max_image_width = Some(width);
    limits.max_image_height = Some(height);
    decoder.set_limits(limits).map_err(refusal)?;
    // A camera's note that can't be read is no reason to refuse the picture.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let image = DynamicImage::from_decoder(decoder).map_err(refusal)?;
    Ok((image, orientation))
}

fn refusal(error: ImageError) -> ReadError {
    match error {
        ImageError::Unsupported(_) => ReadError::Unsupported,
        ImageError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            ReadError::Damaged("it is cut short".to_owned())
        }
        error => ReadError::Damaged(error.to_string()),
    }
}

/// Grey as the eye sees it, 0 black and 255 white.
fn grey(image: DynamicImage) -> GrayImage {
    let (width, height) = (image.width(), image.height());
    let from = |pixels: Vec<u8>| {
        GrayImage::from_raw(width, height, pixels).expect("one grey value was made of each pixel")
    };
    match image {
        DynamicImage::ImageLuma8(grey) => grey,
        DynamicImage::ImageLuma16(_) => image.into_luma8(),
        DynamicImage::ImageLumaA8(_) | DynamicImage::ImageLumaA16(_) => {
            let pixels = image.into_luma_alpha8().into_raw();
            from(lay_on_paper(
                pixels.chunks_exact(2).map(|pixel| (pixel[0], pixel[1])),
            ))
        }
        DynamicImage::ImageRgba8(_) | DynamicImage::ImageRgba16(_) => {
            let pixels = image.into_rgba8().into_raw();
            from(lay_on_paper(
                pixels.chunks_exact(4).map(|pixel| (luma(pixel), pixel[3])),
            ))
        }
        _ => from(image.into_rgb8().as_raw().chunks_exact(3).map(luma).collect()),
    }
}

/// Rec. 709 luma, with weights that sum to 256 so that grey stays what it is.
fn luma(pixel: &[u8]) -> u8 {
    let sum = 54 * u32::from(pixel[0]) + 183 * u32::from(pixel[1]) + 19 * u32::from(pixel[2]);
    (sum >> 8) as u8
}

/// Lays transparent pixels on white paper, or on black where white would hide white ink.
fn lay_on_paper(pixels: impl Iterator<Item = (u8, u8)> + Clone) -> Vec<u8> {
    let on = |paper: u32| {
        let lay = move |(grey, alpha): (u8, u8)| {
            let (grey, alpha) = (u32::from(grey), u32::from(alpha));
            ((grey * alpha + paper * (255 - alpha) + 127) / 255) as u8
        };
        pixels.clone().map(lay).collect::<Vec<u8>>()
    };
    let white = on(255);
    let darkest = white.iter().min().copied().unwrap_or(255);
    let lightest = white.iter().max().copied().unwrap_or(255);
    if lightest - darkest < VISIBLE {
        on(0)
    } else {
        white
    }
}
