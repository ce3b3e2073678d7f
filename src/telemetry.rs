//! How a process is watched, by its settings; and the log: structured lines on standard error, for a person at a
//! terminal and as JSON otherwise.
//!
//! In comes the level, out goes a subscriber for the whole process. Knows no role.

use std::io::{self, IsTerminal};
use std::net::SocketAddr;

use serde::Deserialize;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

use crate::terminal::{self, Colours};
use crate::traces::Endpoint;

/// How a process is watched.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Where `/metrics` is told; none: at the front end's own address, and by a worker nowhere.
    pub metrics_addr: Option<SocketAddr>,
    /// The collector that gets traces; none: they are off.
    pub otlp_endpoint: Option<Endpoint>,
}

/// At their finer levels these print credentials or whole message bodies, whatever the level asked for.
const CAPPED: [&str; 4] = ["amqprs=info", "fred=info", "hyper=info", "reqwest=info"];

/// Starts the log of this process at `level`: `error`, `warn`, `info`, `debug`, `trace` or a list of
/// directives as in `info,mnistq::worker=debug`.
///
/// # Errors
/// If `level` is no such list.
pub fn start(level: &str) -> Result<(), ParseError> {
    let mut filter = EnvFilter::builder().parse(level)?;
    for directive in CAPPED {
        filter = filter.add_directive(directive.parse()?);
    }
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        // It would tell of them on standard error too, and panic where that is what is gone: a closed terminal.
        .log_internal_errors(false)
        .with_target(false);
    if io::stderr().is_terminal() {
        let coloured = terminal::colours(&io::stderr()) != Colours::None;
        lines.with_ansi(coloured).compact().init();
    } else {
        lines
            .json()
            .flatten_event(true)
            // The request that a line belongs to.
            .with_current_span(true)
            .with_span_list(false)
            .init();
    }
    Ok(())
}
