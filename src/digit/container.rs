//! First stage of a read: which kind of image the bytes are, and what the decoders don't check by themselves.
//!
//! In come bytes, out go the kind and those bytes that belong to the image. Refuses files that are cut short
//! where a decoder would fill in grey, and headers that would make a decoder allocate before it tells the
//! size. Decodes nothing.

use image::ImageFormat;

use super::ReadError;

/// The kind of an image by its first bytes, and the part of `upload` that its decoder may see.
pub(super) fn open(upload: &[u8], max_megapixels: u32) -> Result<(ImageFormat, &[u8]), ReadError> {
    if upload.is_empty() {
        return Err(ReadError::Empty);
    }
    let format = image::guess_format(upload).map_err(|_| ReadError::Unsupported)?;
    let image = match format {
        ImageFormat::Png => open_png(upload, max_megapixels)?,
        ImageFormat::Jpeg => open_jpeg(upload)?,
        ImageFormat::WebP => open_webp(upload, max_megapixels)?,
        ImageFormat::Gif | ImageFormat::Bmp => upload,
        _ => return Err(ReadError::Unsupported),
    };
    Ok((format, image))
}

/// Refuses a size above the limit.
pub(super) fn check_size(width: u32, height: u32, max_megapixels: u32) -> Result<(), ReadError> {
    let megapixels = u64::from(width) * u64::from(height) / 1_000_000;
    if megapixels > u64::from(max_megapixels) {
        return Err(ReadError::TooManyPixels {
            width,
            height,
            limit: max_megapixels,
        });
    }
    Ok(())
}

fn cut_short() -> ReadError {
    ReadError::Damaged("it is cut short".to_owned())
}

/// The decoder makes room for a row before it tells the width: IHDR is read here.
/// Layout: <https://www.w3.org/TR/png-3/#11IHDR>.
fn open_png(upload: &[u8], max_megapixels: u32) -> Result<&[u8], ReadError> {
    let size = upload.get(16..24).ok_or_else(cut_short)?;
    let width = u32::from_be_bytes([size[0], size[1], size[2], size[3]]);
    let height = u32::from_be_bytes([size[4], size[5], size[6], size[7]]);
    check_size(width, height, max_megapixels)?;
    Ok(upload)
}

/// The decoder paints grey where a file is cut short: the end-of-image marker must be there.
/// Markers: <https://www.w3.org/Graphics/JPEG/itu-t81.pdf>, annex B.
fn open_jpeg(upload: &[u8]) -> Result<&[u8], ReadError> {
    const END_OF_IMAGE: u8 = 0xD9;
    let mut rest = &upload[2..];
    while let Some(at) = rest.iter().position(|&byte| byte == 0xFF) {
        rest = &rest[at + 1..];
        match rest.first() {
            None | Some(0xFF) => {}
            Some(&END_OF_IMAGE) => return Ok(upload),
            // A stuffed byte or a marker without a length, within the coded pixels.
            Some(0x00 | 0x01 | 0xD0..=0xD8) => rest = &rest[1..],
            Some(_) => {
                let length = rest.get(1..3).ok_or_else(cut_short)?;
                let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
                rest = rest.get(1 + length..).ok_or_else(cut_short)?;
            }
        }
    }
    Err(cut_short())
}

/// The decoder believes lengths of chunks and sizes of frames before it reads them: both are checked here.
/// Layout: <https://developers.google.com/speed/webp/docs/riff_container>.
fn open_webp(upload: &[u8], max_megapixels: u32) -> Result<&[u8], ReadError> {
    let size = upload.get(4..8).ok_or_else(cut_short)?;
    let end = 8 + u32::from_le_bytes([size[0], size[1], size[2], size[3]]) as usize;
    let image = upload.get(..end).ok_or_else(cut_short)?;
    check_chunks(image.get(12..).ok_or_else(cut_short)?, max_megapixels)?;
    Ok(image)
}

fn check_chunks(mut chunks: &[u8], max_megapixels: u32) -> Result<(), ReadError> {
    const FRAME_HEADER: usize = 16;
    while let Some((header, rest)) = chunks.split_at_checked(8) {
        let length = u32::from_le_bytes([header[4], header[5], header[6], header[7]]) as usize;
        let content = rest.get(..length).ok_or_else(cut_short)?;
        match &header[..4] {
            b"ANMF" => check_chunks(content.get(FRAME_HEADER..).ok_or_else(cut_short)?, max_megapixels)?,
            b"VP8 " => {
                let size = content.get(6..10).ok_or_else(cut_short)?;
                let width = u16::from_le_bytes([size[0], size[1]]) & 0x3FFF;
                let height = u16::from_le_bytes([size[2], size[3]]) & 0x3FFF;
                check_size(width.into(), height.into(), max_megapixels)?;
            }
            _ => {}
        }
        chunks = rest.get(length.next_multiple_of(2)..).unwrap_or_default();
    }
    Ok(())
}
