//! A network between a client and a server that can go wrong.

use std::future::pending;
use std::sync::Arc;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

/// Passes everything on between its own port and a server's, until it is told otherwise.
pub struct Proxy {
    port: u16,
    silence: Arc<Notify>,
    _passing: AbortOnDropHandle<()>,
}

impl Proxy {
    /// A proxy before the server at this port.
    pub async fn before(server: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let silence = Arc::new(Notify::new());
        let passing = tokio::spawn(pass(listener, server, Arc::clone(&silence)));
        Self {
            port,
            silence,
            _passing: AbortOnDropHandle::new(passing),
        }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on nothing passes on the connections that exist, though they stay open: as when a firewall has
    /// forgotten them. New ones work.
    pub fn silence(&self) {
        self.silence.notify_waiters();
    }
}

async fn pass(listener: TcpListener, server: u16, silence: Arc<Notify>) {
    let mut connections = JoinSet::new();
    while let Ok((mut client, _)) = listener.accept().await {
        let silenced = Arc::clone(&silence).notified_owned();
        connections.spawn(async move {
            // Without a server the client's connection ends.
            let Ok(mut server) = TcpStream::connect(("127.0.0.1", server)).await else {
                return;
            };
            tokio::select! {
                _ = copy_bidirectional(&mut client, &mut server) => {}
                () = silenced => pending().await,
            }
        });
    }
}
