//! Within the third stage: a light sheet of paper on a dark table.
//!
//! In comes a grey picture, out goes the part of it that is the sheet. Knows nothing of ink.

use image::GrayImage;
use imageproc::contrast::otsu_level;
use imageproc::filter::median_filter;

use super::blots;
use super::scale;

/// Longest side at which a sheet is looked for, in pixels.
const SHEET_SIDE: u32 = 96;

/// Half of the median that takes writing off a sheet, in pixels.
const WRITING: u32 = 6;

/// A rectangle of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Area {
    pub left: u32,
    pub top: u32,
    pub width: u32,
    pub height: u32,
}

/// The inside of a sheet of paper that is lighter than what is around it, and nearly upright: the corners of
/// its inside are paper too, which a light digit's never are.
pub(super) fn find(grey: &GrayImage) -> Option<Area> {
    let small = scale::shrink(grey, SHEET_SIDE);
    let scene = median_filter(&small, WRITING, WRITING);
    let light = otsu_level(&scene).saturating_add(1);
    let sheets = blots::find(&scene, light, 1).blots;
    let sheet = sheets.iter().max_by_key(|sheet| sheet.pixels)?;

    let inset = sheet.width().min(sheet.height()) / 10 + 1;
    let (left, right) = (sheet.left + inset, sheet.right.checked_sub(inset)?);
    let (top, bottom) = (sheet.top + inset, sheet.bottom.checked_sub(inset)?);
    if left >= right || top >= bottom || 6 * sheet.pixels < small.width() * small.height() {
        return None;
    }
    let corners = [(left, top), (right, top), (left, bottom), (right, bottom)];
    if corners.iter().any(|&(x, y)| scene.get_pixel(x, y)[0] < light) {
        return None;
    }
    let across = |small_x: u32| small_x * grey.width() / small.width();
    let down = |small_y: u32| small_y * grey.height() / small.height();
    Some(Area {
        left: across(left),
        top: down(top),
        width: across(right) - across(left),
        height: down(bottom) - down(top),
    })
}
