//! The numbers that a network computes with: the names that `--dtype` takes.

use std::fmt;
use std::str::FromStr;

use candle_core::DType;
use serde::Deserialize;

/// How exact the arithmetic is. Answers are 32-bit numbers in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "String")]
pub enum Precision {
    /// 32-bit floating point.
    #[default]
    F32,
    /// 16 bits with the range of 32-bit numbers and three digits: brain floating point.
    Bf16,
    /// 16 bits with four digits and a range up to 65,504: IEEE 754 half precision.
    F16,
}

/// A text that names none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} is no number type: expected f32, bf16 or f16")]
pub struct UnknownPrecision(String);

impl FromStr for Precision {
    type Err = UnknownPrecision;

    fn from_str(text: &str) -> Result<Self, UnknownPrecision> {
        match text {
            "f32" => Ok(Self::F32),
            "bf16" => Ok(Self::Bf16),
            "f16" => Ok(Self::F16),
            _ => Err(UnknownPrecision(text.to_owned())),
        }
    }
}

impl TryFrom<String> for Precision {
    type Error = UnknownPrecision;

    fn try_from(text: String) -> Result<Self, UnknownPrecision> {
        text.parse()
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
        })
    }
}

impl Precision {
    /// As candle names it.
    pub(super) fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::Bf16 => DType::BF16,
            Self::F16 => DType::F16,
        }
    }

    /// How far a log-probability may be from that of 32-bit arithmetic on a CPU before something is broken, in parts of
    /// itself and one: what this system promises of GPUs, and for 16-bit numbers some times what rounding was seen to do.
    #[must_use]
    pub fn tolerance(self) -> f32 {
        match self {
            Self::F32 => 1e-3,
            Self::Bf16 | Self::F16 => 0.1,
        }
    }
}
