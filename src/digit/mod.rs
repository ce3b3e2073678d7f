//! The question: from the bytes that a person uploads to the small grey picture that a model takes.
//!
//! In come bytes of unknown origin, out goes a [`Picture`]. Knows nothing of HTTP, queues or networks.

use crate::job::Picture;

/// Turns an upload into a picture. Pure and synchronous; safe on hostile bytes, with bounded memory.
pub trait Reader: Send + Sync {
    /// Reads one upload.
    ///
    /// # Errors
    /// [`ReadError`] says what is wrong with it.
    fn read(&self, upload: &[u8]) -> Result<Picture, ReadError>;
}

/// Why an upload is no picture, by what the client should do about it. Each is one clear sentence.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// No bytes at all.
    #[error("the upload is empty")]
    Empty,
    /// Not an image, or of a kind that is not taken.
    #[error("the upload is not an image that can be read: send PNG, JPEG, WebP, GIF or BMP")]
    Unsupported,
    /// An image of a known kind that can't be decoded.
    #[error("the image is damaged: {0}")]
    Damaged(String),
    /// More pixels than are taken.
    #[error("the image has {width}×{height} pixels, and at most {limit} megapixels are taken")]
    TooManyPixels {
        /// Pixels a row.
        width: u32,
        /// Rows.
        height: u32,
        /// The limit, in millions.
        limit: u32,
    },
    /// Decodes, but has no digit in it: blank, or not of the size that `raw` wants.
    #[error("{0}")]
    Unusable(String),
}
