//! Third stage of a read: any picture of a digit is brought into the form that MNIST has.
//!
//! In comes an upright grey picture, out goes one of 28×28, black with light ink, the digit 20 pixels long and
//! centred by its mass. A picture that has this form already is left as it is, pixel for pixel. Refuses a
//! picture without ink. Knows no file formats and no network.

use image::GrayImage;
use image::imageops::{crop_imm, invert};

use super::{ReadError, SIDE, frame, paper, sheet, strokes};

/// Shortest side on which a digit can be drawn, in pixels.
const SHORTEST_SIDE: u32 = 8;

/// Brings one picture into MNIST's form.
pub(super) fn normalize(grey: GrayImage) -> Result<GrayImage, ReadError> {
    let (width, height) = grey.dimensions();
    if width.min(height) < SHORTEST_SIDE {
        return Err(ReadError::Unusable(format!(
            "the picture is too small to show a digit: send at least {SHORTEST_SIDE}×{SHORTEST_SIDE} pixels"
        )));
    }
    if has_mnist_form(&grey) {
        return Ok(grey);
    }
    if (width, height) == (SIDE, SIDE) {
        let mut inverted = grey.clone();
        invert(&mut inverted);
        if has_mnist_form(&inverted) {
            return Ok(inverted);
        }
    }
    let ink = find_ink(&grey)
        .ok_or_else(|| ReadError::Unusable("no digit can be seen: the picture is blank".to_owned()))?;
    Ok(frame::frame(&ink))
}

/// The ink of the digit, cropped. What seems to be light ink may be the sheet that ink is on.
fn find_ink(grey: &GrayImage) -> Option<GrayImage> {
    if paper::is_ink_dark(grey) {
        return strokes::find(paper::lift_ink(grey));
    }
    let written = sheet::find(grey).and_then(|area| {
        let sheet = crop_imm(grey, area.left, area.top, area.width, area.height).to_image();
        if paper::is_ink_dark(&sheet) {
            strokes::find(paper::lift_ink(&sheet))
        } else {
            None
        }
    });
    written.or_else(|| {
        let mut dark_ink = grey.clone();
        invert(&mut dark_ink);
        strokes::find(paper::lift_ink(&dark_ink))
    })
}

/// Whether a picture is as MNIST's are: 28×28, more than half of it dark, its border dark, the ink light,
/// centred by mass, and about 20 pixels long. The bounds are wider than what all 70,000 of them have.
fn has_mnist_form(grey: &GrayImage) -> bool {
    const DARK: u8 = 24;
    const LIGHT: u8 = 100;
    if grey.dimensions() != (SIDE, SIDE) {
        return false;
    }
    let (mut dark, mut border, mut mass, mut moment_x, mut moment_y) = (0, 0, 0, 0, 0);
    let (mut left, mut top, mut right, mut bottom) = (SIDE, SIDE, 0, 0);
    for (x, y, pixel) in grey.enumerate_pixels() {
        let value = u32::from(pixel[0]);
        if pixel[0] < DARK {
            dark += 1;
        } else if x == 0 || y == 0 || x == SIDE - 1 || y == SIDE - 1 {
            border += 1;
        }
        mass += value;
        moment_x += value * x;
        moment_y += value * y;
        if pixel[0] >= LIGHT {
            (left, right) = (left.min(x), right.max(x));
            (top, bottom) = (top.min(y), bottom.max(y));
        }
    }
    if right < left || 2 * dark < SIDE * SIDE || border > 8 {
        return false;
    }
    let centred = |moment: u32| (14 * mass).abs_diff(moment) <= 2 * mass;
    let length = (right - left).max(bottom - top) + 1;
    centred(moment_x) && centred(moment_y) && (14..=22).contains(&length)
}
