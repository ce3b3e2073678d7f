//! Keeps a client connected, and says when its connection is lost and when it is back.
//!
//! fred rebuilds connections that it sees break, in a task of its own. What it does not see is seen to here: a
//! connection on which nothing comes back any more, and the end of that task. Knows no key.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fred::error::{Error, ErrorKind};
use fred::interfaces::{ClientLike, EventInterface};
use fred::types::Value;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

/// How often the server is asked for a sign of life.
const PULSE: Duration = Duration::from_secs(1);
/// Pause before a task of fred that has ended is started anew.
const PAUSE: Duration = Duration::from_secs(1);

/// fred's task behind a client; dropping it disconnects the client.
pub type Connection = AbortOnDropHandle<Result<(), Error>>;

/// Connects a client. If this fails, nothing goes on trying.
pub async fn open<C: ClientLike>(client: &C) -> Result<Connection, Error> {
    client.init().await.map(AbortOnDropHandle::new)
}

/// Watches over a connection, until its client takes leave.
pub async fn keep<C>(client: C, connection: Connection, journal: Journal)
where
    C: ClientLike + EventInterface,
{
    tokio::select! {
        () = watch(&client, connection, journal) => {}
        () = probe(&client) => {}
    }
}

/// Leaves a connection that is silent. fred could do so as well, but counts from its last write: on a connection
/// that is busy it would notice nothing.
async fn probe<C: ClientLike>(client: &C) {
    let silent =
        |answer: Result<Value, Error>| answer.is_err_and(|error| *error.kind() == ErrorKind::Timeout);
    loop {
        sleep(PULSE).await;
        if client.is_connected() && silent(client.ping(None).await) && client.is_connected() {
            // Ends once there is a new one.
            let _ = client.force_reconnection().await;
        }
    }
}

async fn watch<C>(client: &C, mut connection: Connection, mut journal: Journal)
where
    C: ClientLike + EventInterface,
{
    let (mut losses, mut returns) = (client.error_rx(), client.reconnect_rx());
    loop {
        tokio::select! {
            // What was lost comes before its return.
            biased;
            loss = losses.recv() => match loss {
                Ok((error, _)) => journal.note_loss(&error),
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            },
            returned = returns.recv() => if returned.is_ok() {
                journal.note_return();
            },
            ended = &mut connection => {
                match ended {
                    Ok(Ok(())) => return,
                    Ok(Err(error)) => journal.note_loss(&error),
                    Err(error) => journal.note_loss(&error),
                }
                connection = reopen(client).await;
            }
        }
    }
}

async fn reopen<C: ClientLike>(client: &C) -> Connection {
    loop {
        sleep(PAUSE).await;
        if let Ok(connection) = open(client).await {
            return connection;
        }
    }
}

/// Tells the log of each loss and each return once, and counts the returns, however many tries lie between.
pub struct Journal {
    address: String,
    carries: &'static str,
    connected: bool,
    rebuilt: Arc<AtomicU64>,
}

impl Journal {
    /// Of a connection to this address, which is there, and carries this.
    pub fn new(address: String, carries: &'static str, rebuilt: Arc<AtomicU64>) -> Self {
        Self {
            address,
            carries,
            connected: true,
            rebuilt,
        }
    }

    fn note_loss(&mut self, error: &(dyn std::error::Error + 'static)) {
        if std::mem::replace(&mut self.connected, false) {
            let Self { address, carries, .. } = self;
            tracing::warn!(
                store = address,
                carries,
                error,
                "lost a connection to the store: rebuilding it"
            );
        }
    }

    fn note_return(&mut self) {
        if !std::mem::replace(&mut self.connected, true) {
            self.rebuilt.fetch_add(1, Ordering::Relaxed);
            let Self { address, carries, .. } = self;
            tracing::info!(store = address, carries, "a connection to the store is back");
        }
    }
}
