//! The load: uploads at a steady pace, whatever the system answers, each followed by its client for a while.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reqwest::{RequestBuilder, StatusCode};
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::interval;
use tokio_util::sync::CancellationToken;

use super::ledger::{Attempt, Fate, Kind, Ledger};
use super::pictures::{self, Asked};
use crate::harness::eventually;
use crate::harness::moments::Moments;

/// Most uploads and waits at the same time; what comes while there are more is left out.
const CLIENTS: usize = 512;
/// How long a call may take before its client gives up: longer than any call may take.
const GIVE_UP: Duration = Duration::from_secs(20);
/// Of so many uploads one is wanted soon or not at all, and one is taken back.
const RARE: usize = 20;

/// A running load.
pub struct Load {
    stop: CancellationToken,
    attempts: Attempts,
    running: JoinHandle<()>,
}

/// All that have ended so far.
pub type Attempts = Arc<Mutex<Vec<Attempt>>>;

impl Load {
    /// Starts to upload to `url` at `rate` attempts a second.
    pub fn start(url: String, rate: f64, (ledger, moments): (Arc<Ledger>, Moments)) -> Self {
        let stop = CancellationToken::new();
        let attempts = Attempts::default();
        let uploads = Uploads {
            url,
            ledger,
            attempts: Arc::clone(&attempts),
        };
        let running = tokio::spawn(uploads.run(rate, moments, stop.clone()));
        Self {
            stop,
            attempts,
            running,
        }
    }

    /// Waits until so many more have ended.
    pub async fn goes_on(&self, uploads: usize) {
        let ended = || self.attempts.lock().unwrap().len();
        let enough = ended() + uploads;
        eventually("the load goes on", async || ended() >= enough).await;
    }

    /// All that have ended so far.
    pub fn attempts(&self) -> &Attempts {
        &self.attempts
    }

    /// Ends it: what was asked is still answered.
    pub async fn stop(self) -> Vec<Attempt> {
        self.stop.cancel();
        self.running.await.expect("the load runs to its end");
        std::mem::take(&mut self.attempts.lock().unwrap())
    }
}

#[derive(Clone)]
struct Uploads {
    url: String,
    ledger: Arc<Ledger>,
    attempts: Attempts,
}

impl Uploads {
    async fn run(self, rate: f64, mut moments: Moments, stop: CancellationToken) {
        let pictures = pictures::all();
        let client = client();
        let slots = Arc::new(Semaphore::new(CLIENTS));
        let mut pace = interval(Duration::from_secs_f64(1.0 / rate));
        let mut clients = JoinSet::new();
        loop {
            tokio::select! {
                _ = pace.tick() => {}
                () = stop.cancelled() => break,
            }
            while clients.try_join_next().is_some() {}
            let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else {
                continue;
            };
            let asked = pictures[moments.next(pictures.len()) - 1].clone();
            let kind = match moments.next(RARE) {
                1 => Kind::Brief,
                2 => Kind::Cancelled,
                _ => Kind::Plain,
            };
            let (client, uploads) = (client.clone(), self.clone());
            clients.spawn(async move {
                let attempt = attempt(&client, &uploads.url, (asked, kind), &uploads.ledger).await;
                uploads.attempts.lock().unwrap().push(attempt);
                drop(slot);
            });
        }
        while clients.join_next().await.is_some() {}
    }
}

/// A client that gives up, at the latest, long after it should have been answered.
pub fn client() -> reqwest::Client {
    // An error means that it was installed before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().timeout(GIVE_UP);
    client.build().expect("a client")
}

async fn attempt(
    client: &reqwest::Client,
    url: &str,
    (asked, kind): (Asked, Kind),
    ledger: &Ledger,
) -> Attempt {
    let began = ledger.now();
    let mut request = client.post(format!("{url}/classify")).body(asked.bytes);
    if kind == Kind::Brief {
        request = request.header("Cancel-After", "2s");
    }
    let (answer, longest) = call(request).await;
    let fate = match answer {
        Ok((StatusCode::ACCEPTED, body)) => match body["inference_id"].as_str() {
            Some(id) => Fate::Accepted(id.to_owned()),
            None => Fate::Broken(format!("202 without an id: {body}")),
        },
        Ok((status, body)) => {
            let id = body["inference_id"].as_str().map(str::to_owned);
            Fate::Refused(status.as_u16(), id)
        }
        Err(error) => Fate::Broken(error),
    };
    let mut attempt = Attempt {
        kind,
        class: asked.class,
        began,
        answered: ledger.now(),
        fate,
        outcome: None,
        longest,
    };
    ledger.note(&attempt).await;
    if let Fate::Accepted(id) = &attempt.fate {
        let address = format!("{url}/result/{id}");
        if kind == Kind::Cancelled {
            let (_, took) = call(client.delete(&address)).await;
            attempt.longest = attempt.longest.max(took);
        }
        let (answer, took) = call(client.get(&address).header("Prefer", "wait=2")).await;
        attempt.longest = attempt.longest.max(took);
        if let Ok((StatusCode::OK, body)) = answer
            && body["status"] != "queued"
        {
            attempt.outcome = Some(body);
        }
    }
    attempt
}

/// Status and body, or why there is none; and how long that took.
pub async fn call(request: RequestBuilder) -> (Result<(StatusCode, Value), String>, Duration) {
    let began = Instant::now();
    let answered = async {
        let response = request.send().await?;
        let status = response.status();
        let body = response.bytes().await?;
        Ok((status, serde_json::from_slice(&body).unwrap_or_default()))
    };
    let answer: Result<_, reqwest::Error> = answered.await;
    (answer.map_err(|error| error.to_string()), began.elapsed())
}
