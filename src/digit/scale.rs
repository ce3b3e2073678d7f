//! Beside the stages of a read: scaling of grey pictures.
//!
//! In goes a picture, out comes one of another size. Never makes a side of zero pixels.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::GrayImage;

/// Scales to exactly `width` × `height`: each pixel is a weighted mean of all that it stands for.
pub(super) fn resize(grey: &GrayImage, width: u32, height: u32) -> GrayImage {
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
    let from = ImageRef::new(grey.width(), grey.height(), grey.as_raw(), PixelType::U8)
        .expect("a grey picture has a byte for each pixel");
    let mut scaled = Image::new(width, height, PixelType::U8);
    Resizer::new()
        .resize(&from, &mut scaled, &options)
        .expect("both pictures are grey, and the whole of one is scaled");
    GrayImage::from_raw(width, height, scaled.into_vec()).expect("the size is as asked for")
}

/// Scales down until no side is longer than `longest`; leaves what is small enough as it is.
pub(super) fn shrink(grey: &GrayImage, longest: u32) -> GrayImage {
    let (width, height) = grey.dimensions();
    if width.max(height) <= longest {
        return grey.clone();
    }
    let (width, height) = fit(width, height, longest);
    resize(grey, width, height)
}

/// The size at which the longest side of `width` × `height` is `longest`, in the same proportion.
pub(super) fn fit(width: u32, height: u32, longest: u32) -> (u32, u32) {
    let side = u64::from(width.max(height));
    let scaled = |length: u32| {
        let rounded = (u64::from(length) * u64::from(longest) + side / 2) / side;
        (rounded as u32).max(1)
    };
    (scaled(width), scaled(height))
}
