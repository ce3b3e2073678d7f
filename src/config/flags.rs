//! The last layer of the configuration: the flags of each role, and the variables that stand for them.
//!
//! In come values as they were given; what they mean is their own types' business.

use std::fmt::Display;
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::str::FromStr;

use super::{Config, ConfigError};
use crate::cli;
use crate::model::Place;

/// OpenTelemetry's own variable for the collector: what platforms set for all that they run.
const OTLP_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

impl Config {
    /// Takes over the flags of `mnistq serve`.
    ///
    /// # Errors
    /// [`ConfigError::Flag`] names the one that is wrong.
    pub fn apply_serve(&mut self, flags: &cli::Serve) -> Result<(), ConfigError> {
        if let Some(bind) = &flags.bind {
            self.http.bind = parse("--bind", bind)?;
        }
        if let (Some(certificate), Some(key)) = (&flags.tls_cert, &flags.tls_key) {
            self.http.tls_certificate = Some(certificate.clone());
            self.http.tls_key = Some(key.clone());
        }
        if let Some(keys) = &flags.api_keys {
            self.access.api_keys = Some(keys.clone());
        }
        self.access.public_without_keys |= flags.public_without_keys;
        if let Some(rate) = flags.requests_per_second {
            self.access.requests_per_second = rate;
        }
        if let Some(workers) = flags.workers {
            self.model.workers = Some(workers);
        }
        if let Some(seconds) = flags.result_ttl {
            self.http.result_ttl_s = seconds;
        }
        if !flags.callback_hosts.is_empty() {
            self.callbacks.hosts.clone_from(&flags.callback_hosts);
        }
        if let Some(secret) = &flags.callback_secret {
            self.callbacks.secret = Some(parse("--callback-secret", secret)?);
        }
        if let Some(preprocess) = &flags.preprocess {
            self.digit.preprocess = parse("--preprocess", preprocess)?;
        }
        self.apply_watching(&flags.watching)?;
        self.apply_working(&flags.working)
    }

    /// Takes over the flags that say how a role is watched.
    ///
    /// # Errors
    /// [`ConfigError::Flag`] names the one that is wrong.
    pub fn apply_watching(&mut self, flags: &cli::Watching) -> Result<(), ConfigError> {
        if let Some(address) = &flags.metrics_addr {
            self.telemetry.metrics_addr = Some(parse("--metrics-addr", address)?);
        }
        if let Some(endpoint) = &flags.otlp_endpoint {
            self.telemetry.otlp_endpoint = Some(parse("--otlp-endpoint", endpoint)?);
        }
        if self.telemetry.otlp_endpoint.is_none()
            && let Ok(endpoint) = std::env::var(OTLP_ENDPOINT)
            && !endpoint.is_empty()
        {
            self.telemetry.otlp_endpoint = Some(parse(OTLP_ENDPOINT, &endpoint)?);
        }
        Ok(())
    }

    /// Takes over the flags of whatever runs a worker.
    ///
    /// # Errors
    /// [`ConfigError::Flag`] names the one that is wrong.
    pub fn apply_working(&mut self, flags: &cli::Working) -> Result<(), ConfigError> {
        self.apply_model(flags.device.as_deref(), flags.weights.as_ref(), flags.threads)?;
        self.apply_dtype(flags.dtype.as_deref())?;
        if let Some(max_batch) = flags.max_batch {
            self.work.max_batch = NonZeroU16::new(max_batch).ok_or(ConfigError::Flag {
                flag: "--max-batch",
                message: "at least 1".to_owned(),
            })?;
        }
        if let Some(max_wait_ms) = flags.max_wait_ms {
            self.work.max_wait_ms = max_wait_ms;
        }
        Ok(())
    }

    /// Takes over the flags that name the model and its device.
    ///
    /// # Errors
    /// [`ConfigError::Flag`] names the one that is wrong.
    pub fn apply_model(
        &mut self,
        device: Option<&str>,
        weights: Option<&PathBuf>,
        threads: Option<usize>,
    ) -> Result<(), ConfigError> {
        if let Some(device) = device {
            self.model.device = parse("--device", device)?;
        }
        if let Some(weights) = weights {
            self.model.weights = Some(weights.clone());
        }
        if let Some(threads) = threads {
            self.model.threads = threads;
        }
        Ok(())
    }

    /// Takes over the flag that says what the model computes with.
    ///
    /// # Errors
    /// [`ConfigError::Flag`] if it names nothing.
    pub fn apply_dtype(&mut self, dtype: Option<&str>) -> Result<(), ConfigError> {
        if let Some(dtype) = dtype {
            self.model.dtype = parse("--dtype", dtype)?;
        }
        Ok(())
    }

    /// Where the one model of a role runs that has no use for several.
    ///
    /// # Errors
    /// [`ConfigError::Flag`] if several devices are named.
    pub fn place(&self) -> Result<Place, ConfigError> {
        self.model.place().map_err(|error| ConfigError::Flag {
            flag: "--device",
            message: error.to_string(),
        })
    }

    /// Takes over the flags of `mnistq train`.
    ///
    /// # Errors
    /// [`ConfigError::Flag`] names the one that is wrong.
    pub fn apply_train(&mut self, flags: &cli::Train) -> Result<(), ConfigError> {
        self.apply_model(flags.device.as_deref(), None, flags.threads)?;
        let train = &mut self.train;
        train.epochs = flags.epochs.unwrap_or(train.epochs);
        train.batch_size = flags.batch_size.unwrap_or(train.batch_size);
        train.lr = flags.lr.unwrap_or(train.lr);
        train.gamma = flags.gamma.unwrap_or(train.gamma);
        train.lr_floor = flags.lr_floor.unwrap_or(train.lr_floor);
        train.average_from = flags.average_from.unwrap_or(train.average_from);
        train.seed = flags.seed.unwrap_or(train.seed);
        train.augment |= flags.augment;
        train.plain_from = flags.plain_from.unwrap_or(train.plain_from);
        train.hold_out = flags.hold_out.unwrap_or(train.hold_out);
        train.patience = flags.patience.unwrap_or(train.patience);
        Ok(())
    }

    /// Takes over the flags of `mnistq classify`.
    pub fn apply_classify(&mut self, flags: &cli::Classify) {
        if let Some(weights) = &flags.weights {
            self.model.weights = Some(weights.clone());
        }
        if let Some(server) = &flags.server {
            self.classify.server.clone_from(server);
        }
        self.classify.timeout_s = flags.timeout.unwrap_or(self.classify.timeout_s);
    }
}

/// What a flag says.
pub fn parse<T: FromStr<Err: Display>>(flag: &'static str, text: &str) -> Result<T, ConfigError> {
    text.parse().map_err(|error: T::Err| ConfigError::Flag {
        flag,
        message: error.to_string(),
    })
}
