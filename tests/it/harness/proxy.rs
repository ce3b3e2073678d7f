//! A network between a client and a server that can go wrong.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

/// Passes everything on between its own port and a server's, until it is told otherwise.
pub struct Proxy {
    port: u16,
    weather: watch::Sender<Weather>,
    events: Arc<Events>,
    _passing: AbortOnDropHandle<()>,
}

/// What happens to all connections that exist at a moment.
#[derive(Default)]
struct Events {
    reset: Notify,
    silence: Notify,
}

/// How the network is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weather {
    /// Everything passes.
    Clear,
    /// Everything passes, each piece later by this time.
    Slow(Duration),
    /// Nothing passes, though connections stay open: nothing is even read.
    Silent,
    /// What the server says does not pass.
    Deaf,
}

/// Bytes that are passed on at once: on a slow network, all that passes in the time of a delay.
const PIECE: usize = 64 << 10;

impl Proxy {
    /// A proxy before the server at this port.
    pub async fn before(server: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (weather, seen) = watch::channel(Weather::Clear);
        let events = Arc::new(Events::default());
        let passing = tokio::spawn(pass(listener, server, (seen, Arc::clone(&events))));
        Self {
            port,
            weather,
            events,
            _passing: AbortOnDropHandle::new(passing),
        }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on the network is like this, for connections that exist and for new ones.
    pub fn set(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }

    /// Resets all connections that exist. New ones work.
    pub fn reset(&self) {
        self.events.reset.notify_waiters();
    }

    /// From now on nothing passes on the connections that exist, though they stay open: as when a firewall has
    /// forgotten them. New ones work.
    pub fn silence(&self) {
        self.events.silence.notify_waiters();
    }
}

async fn pass(
    listener: TcpListener,
    server: u16,
    (weather, events): (watch::Receiver<Weather>, Arc<Events>),
) {
    let mut connections = JoinSet::new();
    while let Ok((mut client, _)) = listener.accept().await {
        let (weather, events) = (weather.clone(), Arc::clone(&events));
        connections.spawn(async move {
            let (reset, silence) = (events.reset.notified(), events.silence.notified());
            // Without a server the client's connection ends.
            let Ok(mut server) = TcpStream::connect(("127.0.0.1", server)).await else {
                return;
            };
            let (_, _) = (client.set_nodelay(true), server.set_nodelay(true));
            let is_reset = {
                let ((from_client, to_client), (from_server, to_server)) = (client.split(), server.split());
                let there = carry(from_client, to_server, (weather.clone(), false));
                let back = carry(from_server, to_client, (weather, true));
                tokio::select! {
                    _ = async { tokio::join!(there, back) } => false,
                    () = silence => pending().await,
                    () = reset => true,
                }
            };
            if is_reset {
                let (_, _) = (client.set_zero_linger(), server.set_zero_linger());
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

/// Carries one direction of a connection to its end.
async fn carry(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    (mut weather, is_back): (watch::Receiver<Weather>, bool),
) {
    let held_up = |weather: &Weather| *weather == Weather::Silent || (is_back && *weather == Weather::Deaf);
    let mut piece = vec![0; PIECE];
    loop {
        if weather.wait_for(|weather| !held_up(weather)).await.is_err() {
            return;
        }
        let read = tokio::select! {
            read = from.read(&mut piece) => read,
            changed = weather.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
        };
        let Ok(length @ 1..) = read else { break };
        let now = *weather.borrow();
        if let Weather::Slow(delay) = now {
            sleep(delay).await;
        }
        // What was read before the weather changed is on its way.
        if to.write_all(&piece[..length]).await.is_err() {
            return;
        }
    }
    let _ = to.shutdown().await;
}
