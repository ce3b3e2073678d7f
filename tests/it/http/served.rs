//! A running front end on a free port, with what a test needs to look behind it.

use std::io;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use mnistq::broker::Broker;
use mnistq::broker::sqlite::SqliteBroker;
use mnistq::database::Database;
use mnistq::digit::{ReadError, Reader};
use mnistq::http::{Access, FrontEnd, HttpError, Offer, Settings, bind, serve};
use mnistq::job::{JobId, ModelName, Outcome, Picture, Prediction, Timings};
use mnistq::metrics::Metrics;
use mnistq::store::sqlite::SqliteStore;
use mnistq::store::{Finished, ResultStore};
use mnistq::traces::Traces;
use reqwest::multipart::{Form, Part};
use reqwest::{Client, Response, StatusCode};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::harness::within;

/// A front end, and what is behind it.
pub struct Served {
    pub address: String,
    pub broker: Arc<dyn Broker>,
    pub store: Arc<dyn ResultStore>,
    pub client: Client,
    pub shutdown: CancellationToken,
    pub serving: JoinHandle<Result<(), HttpError>>,
    database: Database,
    _folder: TempDir,
}

impl Served {
    /// With default settings.
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    /// With a front end that `change` has changed. The pair behind it is the real one in any case.
    pub fn with(change: impl FnOnce(&mut FrontEnd)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(&folder.path().join("mnistq.db")).unwrap();
        let broker: Arc<dyn Broker> = Arc::new(SqliteBroker::new(database.clone(), &Default::default()));
        let store: Arc<dyn ResultStore> = Arc::new(SqliteStore::new(database.clone(), &Default::default()));
        let metrics = Metrics::new();
        let mut front_end = FrontEnd {
            broker: Arc::clone(&broker),
            store: Arc::clone(&store),
            reader: Arc::new(WordReader),
            offer: Offer::default(),
            courier: None,
            access: Access::default(),
            identity: None,
            serving: metrics.serving(),
            traces: Traces::default(),
            metrics: Some(metrics),
            settings: Settings {
                threads: 2,
                ..Settings::default()
            },
        };
        change(&mut front_end);
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let shutdown = CancellationToken::new();
        // The client speaks no TLS here, but will not start without a provider for it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self {
            address,
            broker,
            store,
            client: Client::new(),
            serving: tokio::spawn(serve(listener, front_end, shutdown.clone())),
            shutdown,
            database,
            _folder: folder,
        }
    }

    /// Another front end on the same queue and store, in another process as far as both can tell.
    pub fn second_front_end(&self) -> Second {
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let metrics = Metrics::new();
        let front_end = FrontEnd {
            broker: Arc::clone(&self.broker),
            store: Arc::clone(&self.store),
            reader: Arc::new(WordReader),
            offer: Offer::default(),
            courier: None,
            access: Access::default(),
            identity: None,
            serving: metrics.serving(),
            traces: Traces::default(),
            metrics: Some(metrics),
            settings: Settings::default(),
        };
        let serving = tokio::spawn(serve(listener, front_end, self.shutdown.clone()));
        Second {
            address,
            _serving: serving,
        }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub async fn get(&self, path: &str) -> Response {
        let request = self.client.get(self.url(path));
        within("an answer to GET", request.send()).await.unwrap()
    }

    /// Uploads a picture as the whole body.
    pub async fn post(&self, picture: impl Into<reqwest::Body>) -> Response {
        let request = self.client.post(self.url("/classify")).body(picture);
        within("an answer to POST", request.send()).await.unwrap()
    }

    /// Uploads pictures as a form.
    pub async fn post_form(&self, form: Form) -> Response {
        let request = self.client.post(self.url("/classify")).multipart(form);
        within("an answer to POST", request.send()).await.unwrap()
    }

    /// Uploads a good picture, and returns its id.
    pub async fn submit(&self, picture: &'static str) -> JobId {
        let response = self.post(picture).await;
        assert_eq!(response.status(), StatusCode::ACCEPTED);
        let body: Value = response.json().await.unwrap();
        body["inference_id"].as_str().unwrap().parse().unwrap()
    }

    /// Stores an outcome, as a worker would.
    pub async fn finish(&self, id: JobId, outcome: Outcome) {
        let ttl = Duration::from_secs(3600);
        for stored in self.store.finish(&[Finished { id, outcome, ttl }]).await {
            stored.unwrap();
        }
    }

    /// Works until the test ends: answers each picture with the number of its first pixel.
    pub async fn work(&self) {
        let mut consumer = self.broker.consume(NonZeroU16::MIN).await.unwrap();
        let store = Arc::clone(&self.store);
        tokio::spawn(async move {
            while let Some(delivery) = consumer.receive().await {
                let job = delivery.job.as_ref().unwrap();
                let outcome = predicted(job.picture.pixels()[0].into());
                let (id, ttl) = (job.id, job.result_ttl);
                store.finish(&[Finished { id, outcome, ttl }]).await;
                delivery.ack();
            }
        });
    }

    /// How many jobs are queued, and how many ids the store knows.
    pub fn held(&self) -> (u32, u32) {
        let count = |table: &str| -> u32 {
            let statement = format!("SELECT count(*) FROM {table}");
            self.database
                .read(|connection| connection.query_row(&statement, [], |row| row.get(0)))
                .unwrap()
        };
        (count("jobs"), count("results"))
    }

    /// Opens a connection and sends `bytes` as they are.
    pub async fn connect(&self, bytes: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream
    }
}

/// A front end beside the first.
pub struct Second {
    pub address: String,
    _serving: JoinHandle<Result<(), HttpError>>,
}

/// All that comes until the server closes the connection.
pub async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let read = within("the end of the connection", stream.read_to_end(&mut text)).await;
    // What a server that closes early did not read makes the connection end as reset.
    if let Err(error) = read {
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }
    String::from_utf8(text).unwrap()
}

/// What comes until `end` has come.
pub async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut text = String::new();
    let reading = async {
        while !text.contains(end) {
            let mut bytes = [0; 4096];
            let count = stream.read(&mut bytes).await.unwrap();
            assert_ne!(count, 0, "the connection ended after {text:?}");
            text.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
        }
    };
    within(&format!("{end:?} from the server"), reading).await;
    text
}

/// Checks status, content type and type of a refusal, and returns the document.
pub async fn problem(response: Response, status: u16, kind: &str) -> Value {
    assert_eq!(response.status(), status);
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let problem: Value = response.json().await.unwrap();
    assert_eq!(problem["type"], format!("/problems/{kind}"));
    assert_eq!(problem["status"], status);
    assert!(problem["title"].is_string() && problem["detail"].is_string());
    problem
}

pub fn file(name: &str, picture: &'static str) -> Part {
    Part::bytes(picture.as_bytes()).file_name(name.to_owned())
}

pub fn predicted(class: u16) -> Outcome {
    let mut probabilities = vec![0.0; 10];
    probabilities[usize::from(class)] = 1.0;
    Outcome::Succeeded(Prediction {
        predicted_class: class,
        probabilities,
        model: ModelName {
            name: "test".to_owned(),
            weights_sha256: "00".to_owned(),
        },
        worker: "test".to_owned(),
        device: "cpu".to_owned(),
        batch_size: 1,
        timings: Timings::default(),
    })
}

/// Reads uploads that say what they are: `digit 7 …`, `damaged`, `too large`, `blank`.
struct WordReader;

impl Reader for WordReader {
    fn read(&self, upload: &[u8]) -> Result<Picture, ReadError> {
        match upload {
            [] => Err(ReadError::Empty),
            [b'd', b'i', b'g', b'i', b't', b' ', digit, ..] => {
                Ok(Picture::new(1, 1, vec![digit - b'0']).unwrap())
            }
            b"damaged" => Err(ReadError::Damaged("it ends early".to_owned())),
            b"too large" => Err(ReadError::TooManyPixels {
                width: 50_000,
                height: 50_000,
                limit: 24,
            }),
            b"blank" => Err(ReadError::Unusable("the image is blank".to_owned())),
            b"a mistake" => panic!("the reader has a mistake"),
            _ => Err(ReadError::Unsupported),
        }
    }
}
