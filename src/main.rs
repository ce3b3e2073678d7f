//! Parses the command line, starts the log, runs one role, picks the exit code.

use std::collections::BTreeSet;
use std::process::ExitCode;

use clap::{Command, CommandFactory, Parser};
use mnistq::cli::CommandLine;
use mnistq::config::{self, Config, ConfigError};
use mnistq::{roles, telemetry};

/// The role did not do what it was asked.
const FAILED: u8 = 1;
/// It was asked wrongly; clap exits with the same code.
const ASKED_WRONGLY: u8 = 2;

fn main() -> ExitCode {
    let command_line = CommandLine::parse();
    let config = match configure(&command_line) {
        Ok(config) => config,
        Err(error) => return report(&error.into(), ASKED_WRONGLY),
    };
    if let Err(error) = telemetry::start(&config.log) {
        return report(&anyhow::anyhow!("--log: {error}"), ASKED_WRONGLY);
    }
    match roles::run(command_line.role, config) {
        Ok(code) => code,
        Err(error) if error.is::<ConfigError>() => report(&error, ASKED_WRONGLY),
        Err(error) => report(&error, FAILED),
    }
}

fn configure(command_line: &CommandLine) -> Result<Config, ConfigError> {
    let mut known = BTreeSet::new();
    collect_variables(&CommandLine::command(), &mut known);
    config::check_variables(&known)?;
    Config::load(&command_line.shared)
}

fn collect_variables(command: &Command, known: &mut BTreeSet<String>) {
    known.extend(
        command
            .get_arguments()
            .filter_map(|argument| Some(argument.get_env()?.to_string_lossy().into_owned())),
    );
    for subcommand in command.get_subcommands() {
        collect_variables(subcommand, known);
    }
}

/// One line: what happened, and what caused it.
fn report(error: &anyhow::Error, code: u8) -> ExitCode {
    eprintln!("mnistq: {error:#}");
    ExitCode::from(code)
}
