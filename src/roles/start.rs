//! Parses the command line, starts the log, runs one role, picks the exit code.

use std::io;
use std::process::ExitCode;

use super::Service;
use crate::cli::{self, CommandLine};
use crate::config::{self, Config, ConfigError};
use crate::telemetry;

/// The role did not do what it was asked.
const FAILED: u8 = 1;
/// It was asked wrongly; clap exits with the same code.
const ASKED_WRONGLY: u8 = 2;

/// All that an executable does which offers this service.
#[must_use]
pub fn start(service: &Service) -> ExitCode {
    let command_line = cli::parse();
    let config = match configure(&command_line) {
        Ok(config) => config,
        Err(error) => return report(&error.into(), ASKED_WRONGLY),
    };
    if let Err(error) = telemetry::start(&config.log) {
        return report(&anyhow::anyhow!("--log: {error}"), ASKED_WRONGLY);
    }
    match super::run(command_line, config, service) {
        Ok(code) => code,
        Err(error) if error.is::<ConfigError>() => report(&error, ASKED_WRONGLY),
        Err(error) if reader_is_gone(&error) => ExitCode::SUCCESS,
        Err(error) => report(&error, FAILED),
    }
}

/// Whoever read the results has enough: `mnistq dead list | head`.
fn reader_is_gone(error: &anyhow::Error) -> bool {
    let kind = error.downcast_ref().map(io::Error::kind);
    kind == Some(io::ErrorKind::BrokenPipe)
}

fn configure(command_line: &CommandLine) -> Result<Config, ConfigError> {
    let mut known = cli::variables();
    if cfg!(debug_assertions) {
        // See `sabotage`.
        known.insert("MNISTQ_SABOTAGE".to_owned());
    }
    config::check_variables(&known)?;
    Config::load(&command_line.shared)
}

/// One line: what happened, and what caused it.
fn report(error: &anyhow::Error, code: u8) -> ExitCode {
    eprintln!("mnistq: {error:#}");
    ExitCode::from(code)
}
