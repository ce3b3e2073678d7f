//! Configuration: defaults, then the configuration file, then `MNISTQ_…` variables, then flags.
//!
//! Composes the modules' own sections and says which layer is wrong. Opens nothing but the file.

mod flags;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;
use serde::Deserialize;

use crate::address::Address;
use crate::cli;
use crate::model::Place;
use crate::model::device::{DeviceName, DeviceNames, UnknownDevice};
use crate::model::precision::Precision;
use crate::tls::Trust;
use crate::{broker, digit, http, store, telemetry, train, worker};
use flags::parse;

/// Everything that can be configured; `config/mnistq.toml` says what each key means.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What to log.
    pub log: String,
    /// Where jobs wait; none: the database in the state directory.
    pub broker: Option<Address>,
    /// Where outcomes are kept; none: the database in the state directory.
    pub store: Option<Address>,
    /// File of the certificates by which broker, store and server are known; none: those that this system trusts.
    pub tls_ca: Option<PathBuf>,
    /// The queue.
    pub queue: broker::Settings,
    /// The results.
    pub results: store::Settings,
    /// The front end.
    pub http: http::Settings,
    /// Who may ask, and how often.
    pub access: http::AccessSettings,
    /// Calls that clients may order.
    pub callbacks: http::CallbackSettings,
    /// From uploads to pictures.
    pub digit: digit::Settings,
    /// Batching.
    pub work: worker::Settings,
    /// The model, and where it runs.
    pub model: ModelSettings,
    /// How all of it is watched.
    pub telemetry: telemetry::Settings,
    /// Training.
    pub train: train::Settings,
    /// The client.
    pub classify: ClassifySettings,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            log: "info".to_owned(),
            broker: None,
            store: None,
            tls_ca: None,
            queue: broker::Settings::default(),
            results: store::Settings::default(),
            http: http::Settings::default(),
            access: http::AccessSettings::default(),
            callbacks: http::CallbackSettings::default(),
            digit: digit::Settings::default(),
            work: worker::Settings::default(),
            model: ModelSettings::default(),
            telemetry: telemetry::Settings::default(),
            train: train::Settings::default(),
            classify: ClassifySettings::default(),
        }
    }
}

/// Which model runs where.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelSettings {
    /// `auto`, `cpu`, `cuda` or `cuda:N`; several, with commas: a worker each.
    pub device: DeviceNames,
    /// `f32`, `bf16` or `f16`: what it computes with.
    pub dtype: Precision,
    /// Weight file; none: the weights in the executable.
    pub weights: Option<PathBuf>,
    /// Threads on a CPU; 0: the cores of this machine.
    pub threads: usize,
    /// Workers inside `serve`; none: one a device on the embedded queue, else 0.
    pub workers: Option<u16>,
}

impl Default for ModelSettings {
    fn default() -> Self {
        Self {
            device: DeviceName::Auto.into(),
            dtype: Precision::F32,
            weights: None,
            threads: 0,
            workers: None,
        }
    }
}

impl ModelSettings {
    /// The same for one of the devices.
    #[must_use]
    pub fn on(&self, device: DeviceName) -> Self {
        Self {
            device: device.into(),
            ..self.clone()
        }
    }

    /// Where a model runs, for whoever runs one.
    ///
    /// # Errors
    /// [`UnknownDevice::Several`] if several devices are named.
    pub fn place(&self) -> Result<Place, UnknownDevice> {
        Ok(Place {
            device: self.device.single()?,
            precision: self.dtype,
            threads: self.threads,
        })
    }
}

/// How the client behaves.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClassifySettings {
    /// The front end's address.
    pub server: String,
    /// Longest time for one picture.
    pub timeout_s: u64,
}

impl Default for ClassifySettings {
    fn default() -> Self {
        Self {
            server: "http://127.0.0.1:8000".to_owned(),
            timeout_s: 60,
        }
    }
}

/// What is wrong with the configuration, and in which layer. Each is one line.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("the configuration file {path} can't be read")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file has a wrong key or value.
    #[error("{path}, line {line}: {message}")]
    File {
        /// Which.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong there.
        message: String,
    },
    /// A flag or its variable has a wrong value.
    #[error("{flag}: {message}")]
    Flag {
        /// Which.
        flag: &'static str,
        /// What is wrong.
        message: String,
    },
    /// A variable that nothing reads.
    #[error(
        "the variable {0} is not one that mnistq reads; `mnistq help` and each command's --help list them"
    )]
    Variable(String),
    /// Without a home directory there is no default place for the database.
    #[error("no home directory: say with --broker and --store where queue and results are")]
    Home,
}

impl Config {
    /// The configuration before the role's own flags: defaults, file, and the flags of every role.
    ///
    /// # Errors
    /// [`ConfigError`] names the layer that is wrong.
    pub fn load(shared: &cli::Shared) -> Result<Self, ConfigError> {
        let mut config = file(shared).map_or_else(|| Ok(Self::default()), |path| Self::read(&path))?;
        if let Some(level) = &shared.log {
            config.log.clone_from(level);
        }
        if let Some(broker) = &shared.broker {
            config.broker = Some(parse("--broker", broker)?);
        }
        if let Some(store) = &shared.store {
            config.store = Some(parse("--store", store)?);
        }
        if let Some(file) = &shared.tls_ca {
            config.tls_ca = Some(file.clone());
        }
        if let Some(limit) = shared.queue_limit {
            config.queue.queue_limit = limit;
        }
        Ok(config)
    }

    fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(path, &text)
    }

    /// Reads the text of a configuration file, which errors name as `path`.
    ///
    /// # Errors
    /// [`ConfigError::File`] names the line that is wrong.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        toml::from_str(text).map_err(|error| ConfigError::File {
            path: path.to_owned(),
            line: error
                .span()
                .map_or(1, |span| text[..span.start].matches('\n').count() + 1),
            message: error.message().replace('\n', " "),
        })
    }

    /// By which certificates servers are known.
    #[must_use]
    pub fn trust(&self) -> Trust {
        Trust {
            authorities: self.tls_ca.clone(),
        }
    }

    /// Where jobs wait and outcomes are kept.
    ///
    /// # Errors
    /// [`ConfigError::Home`] if a default is needed and can't be had.
    pub fn addresses(&self) -> Result<(Address, Address), ConfigError> {
        let embedded = || state_file().map(Address::Sqlite).ok_or(ConfigError::Home);
        let broker = self.broker.clone().map_or_else(embedded, Ok)?;
        let store = self.store.clone().map_or_else(embedded, Ok)?;
        Ok((broker, store))
    }
}

/// The configuration file that counts: the one that was named, or the user's own if it is there.
#[must_use]
pub fn file(shared: &cli::Shared) -> Option<PathBuf> {
    let own = || user_file().filter(|path| path.exists());
    shared.config.clone().or_else(own)
}

/// Refuses `MNISTQ_…` variables that nothing reads: most likely a typing error.
///
/// # Errors
/// [`ConfigError::Variable`] names the first.
pub fn check_variables(known: &BTreeSet<String>) -> Result<(), ConfigError> {
    let mut names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    match names.find(|name| name.starts_with("MNISTQ_") && !known.contains(name)) {
        Some(unknown) => Err(ConfigError::Variable(unknown)),
        None => Ok(()),
    }
}

fn user_file() -> Option<PathBuf> {
    let directories = etcetera::choose_base_strategy().ok()?;
    Some(directories.config_dir().join("mnistq").join("mnistq.toml"))
}

fn state_file() -> Option<PathBuf> {
    let directories = etcetera::choose_base_strategy().ok()?;
    let state = directories.state_dir().unwrap_or_else(|| directories.data_dir());
    Some(state.join("mnistq").join("mnistq.db"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_file_has_the_defaults() {
        let shipped = include_str!("../config/mnistq.toml");
        assert_eq!(toml::from_str::<Config>(shipped).unwrap(), Config::default());
    }
}
