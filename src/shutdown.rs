//! The signals of the operating system: those that stop a process, as one cancellation token, and the one that tells it
//! to read its files again.
//!
//! Token and notice are arguments of what runs; nobody else knows of signals.

use std::io::{self, IsTerminal};
use std::process;
use std::sync::Arc;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// The exit code of a process that a second signal ends, as shells count it for SIGINT.
const INTERRUPTED: i32 = 130;

/// What a process that stays is told while it runs.
#[derive(Debug, Clone, Default)]
pub struct Told {
    /// Stop.
    pub stop: CancellationToken,
    /// Read files again, once for each notice.
    pub reload: Arc<Notify>,
}

/// Tells when to stop, and nothing else.
impl From<CancellationToken> for Told {
    fn from(stop: CancellationToken) -> Self {
        Self {
            stop,
            ..Self::default()
        }
    }
}

/// As [`on_signal`], for a process that also reads its files again on SIGHUP. The SIGHUP that comes when its terminal
/// closes stops it.
///
/// # Errors
/// If the signal handlers can't be installed.
pub fn on_signals() -> io::Result<Told> {
    let told = Told::from(on_signal()?);
    let mut hangups = Hangups::install()?;
    let Told { stop, reload } = told.clone();
    let terminals = terminals();
    tokio::spawn(async move {
        loop {
            hangups.next().await;
            if terminals != self::terminals() {
                tracing::info!("SIGHUP: the terminal is closed: stopping");
                stop.cancel();
            }
            reload.notify_one();
        }
    });
    Ok(told)
}

/// Which of the standard streams are terminals now: none of them is one any more after it was closed.
fn terminals() -> [bool; 3] {
    [
        io::stdin().is_terminal(),
        io::stdout().is_terminal(),
        io::stderr().is_terminal(),
    ]
}

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

#[cfg(unix)]
struct Hangups(tokio::signal::unix::Signal);

#[cfg(unix)]
impl Hangups {
    fn install() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self(signal(SignalKind::hangup())?))
    }

    async fn next(&mut self) {
        self.0.recv().await;
    }
}

#[cfg(not(unix))]
struct Hangups;

#[cfg(not(unix))]
impl Hangups {
    fn install() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        std::future::pending().await
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
