//! The front end: uploads in, ids and results out. The only code that knows actix and status codes.
//!
//! Takes an upload, has it read, reserves its id, queues it, and answers; later hands out what is stored.
//! Knows the seams and the reader, and nothing of models or workers.

mod accept;
mod access;
mod answer;
mod body;
mod browsers;
mod callback;
mod decode;
mod error;
mod events;
mod flood;
mod form;
mod health;
mod idempotency;
mod kserve;
mod lifetimes;
mod live;
mod metrics;
mod normalize;
mod openapi;
mod pace;
mod page;
mod prefer;
mod refusal;
mod request_id;
mod result;
mod routes;
mod seen;
mod settings;
mod state;
mod upload;
mod watch;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::middleware::from_fn;
use actix_web::{App, HttpServer, web};
use tokio::net::TcpSocket;
use tokio_util::sync::CancellationToken;

pub use access::{Access, ApiKey, InvalidKeys, InvalidName, KeyLine, Keys, Settings as AccessSettings};
pub use callback::{Courier, Secret, Settings as CallbackSettings};
pub use kserve::Offer;
pub use kserve::infer::pictures_in;
pub use metrics::serve as serve_metrics;
pub use page::DIGITS;
pub use settings::Settings;

use crate::broker::Broker;
use crate::digit::Reader;
use crate::metrics::{Metrics, Serving};
use crate::store::ResultStore;
use crate::tls::{Identity, TlsError};
use crate::traces::Traces;
use state::State;

/// What a front end is made of.
pub struct FrontEnd {
    /// Where jobs go.
    pub broker: Arc<dyn Broker>,
    /// Where outcomes are.
    pub store: Arc<dyn ResultStore>,
    /// What uploads become.
    pub reader: Arc<dyn Reader>,
    /// The model, as clients of the Open Inference Protocol find it.
    pub offer: Offer,
    /// Who makes callbacks; none: they are off.
    pub courier: Option<Arc<Courier>>,
    /// Whom it lets ask.
    pub access: Access,
    /// By which certificate it is known; none: it speaks no TLS.
    pub identity: Option<Arc<Identity>>,
    /// What it counts.
    pub serving: Serving,
    /// What it tells of each request.
    pub traces: Traces,
    /// What `/metrics` tells; none: it is told elsewhere.
    pub metrics: Option<Metrics>,
    /// Limits.
    pub settings: Settings,
}

/// Why the front end can't begin, or ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The address is taken, or not one of this machine.
    #[error("can't listen on {address}")]
    Bind {
        /// Which.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The listening socket can't be used.
    #[error("the front end can't use its listening socket")]
    Listen(#[source] io::Error),
    /// TLS can't be used.
    #[error("the front end can't use TLS")]
    Tls(#[source] TlsError),
    /// The server broke.
    #[error("the front end broke")]
    Serve(#[source] io::Error),
    /// The server ended, though nobody told it to.
    #[error("the front end ended by itself")]
    Ended,
}

/// How long requests in hand may take to end once the front end stops; what is still open then is cut.
const STOP_SECONDS: u64 = 15;
/// Connections that the system holds until they are accepted. The standard library's 128 is less than a
/// burst of clients; those left over would try again only after a second.
const BACKLOG: u32 = 1024;

/// Listens on `address`; port 0 picks a free one. Connections wait until [`serve`] takes them.
///
/// # Errors
/// [`HttpError::Bind`].
pub fn bind(address: SocketAddr) -> Result<TcpListener, HttpError> {
    let listen = || {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4(),
            SocketAddr::V6(_) => TcpSocket::new_v6(),
        }?;
        // A front end that starts again need not wait for the old one's connections to time out. Windows
        // means something else by the option.
        #[cfg(not(windows))]
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)?.into_std()
    };
    listen().map_err(|source| HttpError::Bind { address, source })
}

/// Serves until `shutdown` is cancelled: then it is unready at once, takes requests for `unready_ms` more,
/// finishes those in hand, and ends within 15 seconds. The server's threads are its own; call it within a
/// tokio runtime.
///
/// # Errors
/// [`HttpError`] if it can't serve, or ended without being told to.
pub async fn serve(
    listener: TcpListener,
    front_end: FrontEnd,
    shutdown: CancellationToken,
) -> Result<(), HttpError> {
    let unready = Duration::from_millis(front_end.settings.unready_ms);
    let state = web::Data::new(State::new(front_end, cores(), shutdown.clone()));
    let mut server = pin!(start(listener, &state)?);
    let told = async {
        shutdown.cancelled().await;
        tokio::time::sleep(unready).await;
    };
    tokio::select! {
        ended = &mut server => return ended.map_err(HttpError::Serve).and(Err(HttpError::Ended)),
        ((), ()) = async { tokio::join!(told, work_beside(&state, &shutdown)) } => {}
    }
    // The order is given by the call; what it returns waits for its end, and so does the server.
    drop(server.handle().stop(true));
    server.await.map_err(HttpError::Serve)
}

/// What goes on beside the requests, until the front end is told to stop.
async fn work_beside(state: &State, shutdown: &CancellationToken) {
    let calls = async {
        match &state.courier {
            Some(courier) => Arc::clone(courier).run().await,
            None => std::future::pending().await,
        }
    };
    let work = async { tokio::join!(pace::watch(state), state.follow_files(), calls) };
    let _ = shutdown.run_until_cancelled(work).await;
}

fn start(listener: TcpListener, state: &web::Data<State>) -> Result<Server, HttpError> {
    let threads = match usize::from(state.settings.threads) {
        0 => cores(),
        threads => threads,
    };
    let max_connections = state.settings.max_connections.div_ceil(threads);
    let tls = state.identity.as_ref().map(Identity::server).transpose();
    let tls = tls.map_err(HttpError::Tls)?;
    let state = state.clone();
    let serving = state.serving.clone();
    let app = move || {
        App::new()
            .app_data(state.clone())
            .configure(routes::register)
            .wrap(browsers::headers(state.identity.is_some()))
            .wrap(browsers::origins(state.access.origins()))
            // The outermost sees every answer.
            .wrap(from_fn(watch::watch))
    };
    let server = HttpServer::new(app)
        // Goes with the connection.
        .on_connect(move |_, connection| drop(connection.insert(serving.connection())))
        .workers(threads)
        .max_connections(max_connections)
        .tcp_nodelay(true)
        .disable_signals()
        .shutdown_timeout(STOP_SECONDS);
    let server = match tls {
        Some(tls) => server.listen_rustls_0_23(listener, tls),
        None => server.listen(listener),
    };
    Ok(server.map_err(HttpError::Listen)?.run())
}

fn cores() -> usize {
    available_parallelism().map_or(1, NonZeroUsize::get)
}
