//! Where a model runs: the names that `--device` takes, and what they mean on this machine and in this build.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

use super::ModelError;

/// How to get an executable that can use GPUs.
const BUILT_WITHOUT: &str = "this executable is built without CUDA: build one that has it with `make cuda`, or with \
                             `cargo build --release --features cuda` where a CUDA toolkit is installed";

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

/// Devices by name: one at least, for a worker each.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct DeviceNames(Vec<DeviceName>);

/// A text that names no device, or devices of which one comes twice.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnknownDevice {
    /// It names none.
    #[error("{0} is no device: expected auto, cpu, cuda or cuda:N, several with commas")]
    Name(String),
    /// It names one twice: a device has one worker.
    #[error("{0} is there twice")]
    Twice(DeviceName),
    /// It names several where there is only one.
    #[error("{0}: one device is wanted here, not several")]
    Several(DeviceNames),
}

impl FromStr for DeviceName {
    type Err = UnknownDevice;

    fn from_str(text: &str) -> Result<Self, UnknownDevice> {
        let unknown = || UnknownDevice::Name(text.to_owned());
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

impl DeviceNames {
    /// All of them, in the order in which they were named.
    pub fn iter(&self) -> impl Iterator<Item = DeviceName> + Clone {
        self.0.iter().copied()
    }

    /// The only one.
    ///
    /// # Errors
    /// [`UnknownDevice::Several`] if there are more.
    pub fn single(&self) -> Result<DeviceName, UnknownDevice> {
        match self.0[..] {
            [device] => Ok(device),
            _ => Err(UnknownDevice::Several(self.clone())),
        }
    }
}

impl From<DeviceName> for DeviceNames {
    fn from(device: DeviceName) -> Self {
        Self(vec![device])
    }
}

impl FromStr for DeviceNames {
    type Err = UnknownDevice;

    fn from_str(text: &str) -> Result<Self, UnknownDevice> {
        let mut devices = Vec::new();
        for name in text.split(',') {
            let device = name.parse()?;
            if devices.contains(&device) {
                return Err(UnknownDevice::Twice(device));
            }
            devices.push(device);
        }
        Ok(Self(devices))
    }
}

impl TryFrom<String> for DeviceNames {
    type Error = UnknownDevice;

    fn try_from(text: String) -> Result<Self, UnknownDevice> {
        text.parse()
    }
}

impl fmt::Display for DeviceNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&names.join(","))
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

impl Opened {
    /// Its name, and the device as candle has it.
    pub(crate) fn on_candle(self) -> (String, candle_core::Device) {
        match self {
            Self::Cpu => (DeviceName::Cpu.to_string(), candle_core::Device::Cpu),
            Self::Cuda(name, device) => (name, device),
        }
    }
}

impl DeviceName {
    /// Opens it. The work of a GPU belongs to the thread that opened it: candle uses that thread's own stream.
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
    let device = DeviceName::Cuda(number).to_string();
    if !cfg!(feature = "cuda") {
        let source = BUILT_WITHOUT.into();
        return Err(ModelError::Missing { device, source });
    }
    match candle_core::Device::new_cuda(number) {
        Ok(opened) => Ok(Opened::Cuda(device, opened)),
        Err(error) => Err(ModelError::Missing {
            device,
            source: error.into(),
        }),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_named_one_by_one_and_each_once() {
        let devices: DeviceNames = "cuda:1,cuda,cpu".parse().unwrap();
        let expected = [DeviceName::Cuda(1), DeviceName::Cuda(0), DeviceName::Cpu];
        assert_eq!(devices.iter().collect::<Vec<_>>(), expected);
        assert_eq!(devices.to_string(), "cuda:1,cuda:0,cpu");
        for (text, told) in [
            ("cuda,cuda:0", "cuda:0 is there twice"),
            (
                "cpu,",
                " is no device: expected auto, cpu, cuda or cuda:N, several with commas",
            ),
            (
                "cuda:-1",
                "cuda:-1 is no device: expected auto, cpu, cuda or cuda:N, several with commas",
            ),
        ] {
            assert_eq!(text.parse::<DeviceNames>().unwrap_err().to_string(), told);
        }
    }

    #[test]
    fn several_are_not_one() {
        assert_eq!(
            "cuda:3".parse::<DeviceNames>().unwrap().single(),
            Ok(DeviceName::Cuda(3))
        );
        let several = "cpu,cuda:0".parse::<DeviceNames>().unwrap().single().unwrap_err();
        assert_eq!(
            several.to_string(),
            "cpu,cuda:0: one device is wanted here, not several"
        );
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn without_cuda_the_cpu_is_taken_and_a_gpu_is_not_there() {
        assert!(matches!(DeviceName::Auto.open(), Ok(Opened::Cpu)));
        let error = DeviceName::Cuda(0).open().unwrap_err();
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.contains("make cuda"), "{source}");
    }
}
