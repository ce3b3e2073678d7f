//! The question: from the bytes that a person uploads to the small grey picture that a model takes.
//!
//! In come bytes of unknown origin, out goes a [`Picture`]. Knows nothing of HTTP, queues or networks.
//!
//! ```text
//! bytes ─► container ─► decode ─► normalize: paper ─► sheet ─► strokes ─► frame ─► 28×28
//!          whole? safe?  upright   already MNIST's form? light    crop     digit    size, centre
//! ```

mod blots;
mod container;
mod decode;
mod frame;
mod normalize;
mod paper;
mod rules;
mod scale;
mod sheet;
mod strokes;

use std::fmt;
use std::str::FromStr;

use image::GrayImage;
use serde::Deserialize;

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

/// What is done to a picture before a model sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Preprocess {
    /// Any picture of one digit is brought into MNIST's form; one that has it already is left as it is.
    #[default]
    Auto,
    /// Only 28×28 pictures are taken, and their grey values are left as they are.
    Raw,
}

impl fmt::Display for Preprocess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Raw => "raw",
        })
    }
}

/// A text that names no [`Preprocess`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected auto or raw")]
pub struct InvalidPreprocess;

impl FromStr for Preprocess {
    type Err = InvalidPreprocess;

    fn from_str(text: &str) -> Result<Self, InvalidPreprocess> {
        match text {
            "auto" => Ok(Self::Auto),
            "raw" => Ok(Self::Raw),
            _ => Err(InvalidPreprocess),
        }
    }
}

/// How uploads are read.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// What is done to a picture before a model sees it.
    pub preprocess: Preprocess,
    /// The largest picture that is decoded, counted as cameras count: whole millions of pixels, rounded down.
    pub max_megapixels: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            preprocess: Preprocess::Auto,
            max_megapixels: 24,
        }
    }
}

/// Reads PNG, JPEG, WebP, GIF (its first frame) and BMP into 28×28 pictures.
///
/// Takes at most about twelve bytes of memory for each pixel of the picture, and refuses a picture with too
/// many of them by its header, before anything is decoded. The same bytes always give the same picture.
#[derive(Debug, Clone)]
pub struct DigitReader {
    settings: Settings,
}

impl DigitReader {
    /// A reader with these settings.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        Self {
            settings: settings.clone(),
        }
    }
}

impl Reader for DigitReader {
    fn read(&self, upload: &[u8]) -> Result<Picture, ReadError> {
        let grey = decode::decode(upload, self.settings.max_megapixels)?;
        let grey = match self.settings.preprocess {
            Preprocess::Auto => normalize::normalize(grey)?,
            Preprocess::Raw => grey,
        };
        picture(grey)
    }
}

/// Side of the pictures that a model is trained on, in pixels.
const SIDE: u32 = 28;

fn picture(grey: GrayImage) -> Result<Picture, ReadError> {
    if grey.dimensions() != (SIDE, SIDE) {
        return Err(ReadError::Unusable(format!(
            "only pictures of {SIDE}×{SIDE} pixels are taken as they are"
        )));
    }
    Picture::new(SIDE as u16, SIDE as u16, grey.into_raw())
        .ok_or_else(|| ReadError::Damaged("its size and its pixels disagree".to_owned()))
}
