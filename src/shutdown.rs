//! Stopping: turns the signals of the operating system into one cancellation token.
//!
//! The token is an argument of everything that runs; nobody else knows of signals.

use std::io;
use std::process;

use tokio_util::sync::CancellationToken;

/// The exit code of a process that a second signal ends, as shells count it for SIGINT.
const INTERRUPTED: i32 = 130;

/// A token that the first SIGTERM or Ctrl-C cancels. A second one ends the process at once.
///
/// # Errors
/// If the signal handlers can't be installed.
pub fn on_signal() -> io::Result<CancellationToken> {
    let token = CancellationToken::new();
    let mut signals = Signals::install()?;
    let cancelled = token.clone();
    tokio::spawn(async move {
        let name = signals.next().await;
        tracing::info!("{name}: stopping; once more ends at once");
        cancelled.cancel();
        signals.next().await;
        process::exit(INTERRUPTED);
    });
    Ok(token)
}

#[cfg(unix)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn install() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "Ctrl-C",
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn install() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> &'static str {
        // Without a console there is nobody who could press Ctrl-C.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        "Ctrl-C"
    }
}
