//! Where a model runs: the names that `--device` takes, and what they mean on this machine and in this build.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

use super::ModelError;

/// A device by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum DeviceName {
    /// The first GPU if this build and this machine have one, else the CPU.
    Auto,
    /// The CPU.
    Cpu,
    /// A GPU, counted from 0.
    Cuda(usize),
}

/// A text that names no device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} is no device: expected auto, cpu, cuda or cuda:N")]
pub struct UnknownDevice(String);

impl FromStr for DeviceName {
    type Err = UnknownDevice;

    fn from_str(text: &str) -> Result<Self, UnknownDevice> {
        let unknown = || UnknownDevice(text.to_owned());
        match text.split_once(':') {
            None if text == "auto" => Ok(Self::Auto),
            None if text == "cpu" => Ok(Self::Cpu),
            None if text == "cuda" => Ok(Self::Cuda(0)),
            Some(("cuda", number)) => number.parse().map(Self::Cuda).map_err(|_| unknown()),
            _ => Err(unknown()),
        }
    }
}

impl TryFrom<String> for DeviceName {
    type Error = UnknownDevice;

    fn try_from(text: String) -> Result<Self, UnknownDevice> {
        text.parse()
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
        }
    }
}

/// A device that is there.
#[derive(Debug, Clone)]
pub(crate) enum Opened {
    /// The CPU.
    Cpu,
    /// A GPU, by its name and as candle has it.
    Cuda(String, candle_core::Device),
}

impl DeviceName {
    /// Opens it. The work of a GPU belongs to the thread that opened it.
    pub(crate) fn open(self) -> Result<Opened, ModelError> {
        match self {
            Self::Cpu => Ok(Opened::Cpu),
            Self::Cuda(number) => cuda(number),
            Self::Auto => match cuda(0) {
                Ok(device) => Ok(device),
                Err(error) => {
                    tracing::debug!(error = &error as &dyn std::error::Error, "no GPU: taking the CPU");
                    Ok(Opened::Cpu)
                }
            },
        }
    }
}

fn cuda(number: usize) -> Result<Opened, ModelError> {
    let name = DeviceName::Cuda(number).to_string();
    if !cfg!(feature = "cuda") {
        let hint =
            "this executable is built without CUDA: build one with `cargo build --release --features cuda`";
        return Err(ModelError::Broken {
            device: name,
            source: hint.into(),
        });
    }
    match candle_core::Device::new_cuda(number) {
        Ok(device) => Ok(Opened::Cuda(name, device)),
        Err(error) => Err(ModelError::Broken {
            device: name,
            source: error.into(),
        }),
    }
}
