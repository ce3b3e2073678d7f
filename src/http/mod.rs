//! The front end: uploads in, ids and results out. The only code that knows actix and status codes.
//!
//! Takes an upload, has it read, reserves its id, queues it, and answers; later hands out what is stored.
//! Knows the two seams and the reader, and nothing of models or workers.

mod body;
mod error;
mod events;
mod health;
mod prefer;
mod result;
mod upload;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use actix_web::http::Method;
use actix_web::{App, HttpServer, Resource, web};
use serde::Deserialize;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::broker::Broker;
use crate::digit::Reader;
use crate::store::ResultStore;
use error::ApiError;
use health::Readiness;

/// What a front end is made of.
pub struct FrontEnd {
    /// Where jobs go.
    pub broker: Arc<dyn Broker>,
    /// Where outcomes are.
    pub store: Arc<dyn ResultStore>,
    /// What uploads become.
    pub reader: Arc<dyn Reader>,
    /// Limits.
    pub settings: Settings,
}

/// Address and limits of the front end.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Where to listen; port 0 picks a free one.
    pub bind: SocketAddr,
    /// Threads that serve; 0: the cores of this machine.
    pub threads: usize,
    /// Connections at the same time; more wait until one closes.
    pub max_connections: usize,
    /// Largest picture.
    pub max_upload_bytes: usize,
    /// Largest body, of several pictures.
    pub max_request_bytes: usize,
    /// Most pictures in one request.
    pub max_files: usize,
    /// Longest time for one body to come in.
    pub body_timeout_ms: u64,
    /// How long an outcome is kept.
    pub result_ttl_s: u64,
    /// Longest time that a `Prefer: wait` is granted.
    pub max_wait_s: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            bind: SocketAddr::from(([127, 0, 0, 1], 8000)),
            threads: 0,
            max_connections: 10_000,
            max_upload_bytes: 16 << 20,
            max_request_bytes: 64 << 20,
            max_files: 256,
            body_timeout_ms: 30_000,
            result_ttl_s: 3600,
            max_wait_s: 30,
        }
    }
}

/// Why the front end ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The listening socket can't be used.
    #[error("the front end can't use its listening socket")]
    Listen(#[source] io::Error),
    /// The server broke.
    #[error("the front end broke")]
    Serve(#[source] io::Error),
}

/// How long open requests may take to end once the front end stops; what is still open then is cut.
const STOP_SECONDS: u64 = 15;
/// Uploads that may wait for their turn to be decoded, for each that is being decoded.
const WAITING_DECODES: usize = 32;

/// What all requests share.
struct State {
    broker: Arc<dyn Broker>,
    store: Arc<dyn ResultStore>,
    reader: Arc<dyn Reader>,
    settings: Settings,
    /// One permit a core: decoding is work for the processor.
    decodes: Semaphore,
    /// Bounds those who wait for one of these permits.
    uploads: Semaphore,
    readiness: Readiness,
    shutdown: CancellationToken,
}

/// Serves until `shutdown` is cancelled: then it is unready at once, takes no more connections, finishes the
/// requests in hand, and ends within 15 seconds.
///
/// # Errors
/// [`HttpError`] if it can't serve.
pub async fn serve(
    listener: TcpListener,
    front_end: FrontEnd,
    shutdown: CancellationToken,
) -> Result<(), HttpError> {
    let FrontEnd {
        broker,
        store,
        reader,
        settings,
    } = front_end;
    let cores = available_parallelism().map_or(1, usize::from);
    let threads = if settings.threads == 0 {
        cores
    } else {
        settings.threads
    };
    let max_connections = settings.max_connections.div_ceil(threads);
    let state = web::Data::new(State {
        broker,
        store,
        reader,
        settings,
        decodes: Semaphore::new(cores),
        uploads: Semaphore::new(cores * (1 + WAITING_DECODES)),
        readiness: Readiness::default(),
        shutdown: shutdown.clone(),
    });
    let server = HttpServer::new(move || {
        App::new()
            .app_data(state.clone())
            .configure(routes)
            .default_service(web::to(not_found))
    })
    .workers(threads)
    .max_connections(max_connections)
    .tcp_nodelay(true)
    .disable_signals()
    .shutdown_timeout(STOP_SECONDS)
    .listen(listener)
    .map_err(HttpError::Listen)?
    .run();
    let handle = server.handle();
    let stop = tokio::spawn(async move {
        shutdown.cancelled().await;
        handle.stop(true).await;
    });
    let served = server.await.map_err(HttpError::Serve);
    stop.abort();
    served
}

fn routes(config: &mut web::ServiceConfig) {
    config
        .service(resource("/classify", Method::POST).route(web::post().to(upload::classify)))
        .service(
            resource("/result/{id}", Method::GET)
                .route(web::get().to(result::fetch))
                .route(web::delete().to(result::delete)),
        )
        .service(resource("/result/{id}/events", Method::GET).route(web::get().to(events::follow)))
        .service(resource("/livez", Method::GET).route(web::get().to(health::live)))
        .service(resource("/readyz", Method::GET).route(web::get().to(health::ready)));
}

/// A path; other methods than its own are told which it has.
fn resource(path: &str, method: Method) -> Resource {
    let allowed = if path == "/result/{id}" {
        "GET, DELETE".to_owned()
    } else {
        method.to_string()
    };
    web::resource(path).default_service(web::to(move || {
        let allowed = allowed.clone();
        async move { Err::<&str, _>(ApiError::Method { allowed }) }
    }))
}

async fn not_found() -> Result<&'static str, ApiError> {
    Err(ApiError::NoRoute)
}

impl Settings {
    fn result_ttl(&self) -> Duration {
        Duration::from_secs(self.result_ttl_s)
    }

    fn max_wait(&self) -> Duration {
        Duration::from_secs(self.max_wait_s)
    }
}
