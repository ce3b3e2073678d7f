//! Makes the calls that are due: waits for the outcome, signs it, sends it, and tries again later if need be.
//!
//! A front end that dies leaves its calls to others, once their lease is over; so a call may be made twice, and its id
//! tells.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use reqwest::{Client, StatusCode, redirect};
use serde::Serialize;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{Places, Secret, Settings, signature};
use crate::http::answer::{Answer, Shown};
use crate::job::{JobId, Outcome};
use crate::store::outbox::{Callback, Outbox};
use crate::store::{Entry, First, ResultStore, StoreError};

/// How often the courier looks for calls that are due, unless it is told of one.
const LOOK: Duration = Duration::from_secs(1);
/// Calls that one front end has in hand: most of them wait for an outcome.
const IN_HAND: usize = 1024;
/// Calls that are made at once.
const AT_ONCE: usize = 32;
/// Longest time for one try, as Standard Webhooks advises.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long a call is one front end's. Longer than what follows takes together.
const LEASE: Duration = Duration::from_secs(60);
/// How long a call in hand waits for its outcome, before it goes back and lets others in.
const WAIT: Duration = Duration::from_secs(20);

/// Takes orders, and sees to it that calls are made.
pub struct Courier {
    outbox: Arc<dyn Outbox>,
    store: Arc<dyn ResultStore>,
    settings: Settings,
    secret: Secret,
    places: Places,
    client: Client,
    ordered: Notify,
    making: Semaphore,
}

/// What is sent.
#[derive(Serialize)]
struct Message<'a> {
    r#type: String,
    timestamp: String,
    data: &'a Answer,
}

/// How a try ended.
enum Tried {
    Taken,
    /// The receiver wants no more.
    Unwanted,
    Failed(String),
}

impl Courier {
    /// A courier, or none if callbacks are off.
    ///
    /// # Errors
    /// In words, if hosts are allowed and there is no secret, or if there can be no client.
    pub fn new(
        settings: &Settings,
        outbox: Arc<dyn Outbox>,
        store: Arc<dyn ResultStore>,
    ) -> Result<Option<Self>, String> {
        if settings.hosts.is_empty() {
            return Ok(None);
        }
        let Some(secret) = settings.secret.clone() else {
            return Err("callbacks are signed: set `secret` in [callbacks] beside `hosts`".to_owned());
        };
        let places = Places::new(settings);
        // An error means that another part of this process has installed it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .redirect(redirect::Policy::none())
            // A proxy would resolve names itself.
            .no_proxy()
            .dns_resolver(Arc::new(places.clone()))
            .user_agent(concat!("mnistq/", env!("CARGO_PKG_VERSION")))
            .timeout(PATIENCE)
            .build();
        Ok(Some(Self {
            outbox,
            store,
            settings: settings.clone(),
            secret,
            places,
            client: client.map_err(|error| format!("calls can't be made: {error}"))?,
            ordered: Notify::new(),
            making: Semaphore::new(AT_ONCE),
        }))
    }

    /// Where calls may go.
    pub fn places(&self) -> &Places {
        &self.places
    }

    /// Keeps an order.
    pub async fn order(&self, id: JobId, url: &str) -> Result<(), StoreError> {
        let callback = Callback {
            id,
            url: url.to_owned(),
            attempts: 0,
            body: None,
        };
        self.outbox.order(&callback).await?;
        self.ordered.notify_one();
        Ok(())
    }

    /// Takes an order back, after the job could not be queued.
    pub async fn withdraw(&self, id: JobId) -> Result<(), StoreError> {
        self.outbox.settle(id).await
    }

    /// Makes calls until it is dropped; those in hand then are made by others, or later.
    pub async fn run(self: Arc<Self>) {
        let mut in_hand = JoinSet::new();
        loop {
            while in_hand.try_join_next().is_some() {}
            match self.outbox.take_due(IN_HAND - in_hand.len(), LEASE).await {
                Ok(due) => {
                    for callback in due {
                        let courier = Arc::clone(&self);
                        in_hand.spawn(async move { courier.see_to(callback).await });
                    }
                }
                Err(error) => tracing::debug!(%error, "callbacks wait"),
            }
            if in_hand.len() >= IN_HAND {
                let _ = in_hand.join_next().await;
            }
            let _ = timeout(LOOK, self.ordered.notified()).await;
        }
    }

    async fn see_to(&self, callback: Callback) {
        let id = callback.id;
        if let Err(error) = self.carry(callback).await {
            // It is due again once its lease is over.
            tracing::debug!(inference_id = %id, %error, "a callback waits");
        }
    }

    async fn carry(&self, mut callback: Callback) -> Result<(), StoreError> {
        let id = callback.id;
        let body = match callback.body.take() {
            Some(body) => body,
            None => match self.store.wait(id, WAIT, First::Look).await? {
                Some(Entry::Finished(outcome)) => message(id, outcome),
                Some(Entry::Queued) => return self.outbox.postpone(&callback, Duration::ZERO).await,
                // Erased: there is nothing to tell.
                None => return self.outbox.settle(id).await,
            },
        };
        let failure = match self.send(&callback, &body).await {
            Tried::Taken => return self.outbox.settle(id).await,
            Tried::Unwanted => {
                tracing::info!(inference_id = %id, "the receiver wants no callback");
                return self.outbox.settle(id).await;
            }
            Tried::Failed(failure) => failure,
        };
        callback.attempts = callback.attempts.saturating_add(1);
        callback.body = Some(body);
        let attempts = callback.attempts;
        let Some(pause) = self.settings.pause_after(attempts) else {
            tracing::warn!(inference_id = %id, attempts, "a callback is given up: {failure}");
            return self.outbox.settle(id).await;
        };
        self.outbox.postpone(&callback, pause).await?;
        tracing::info!(inference_id = %id, attempts, ?pause, "a callback is tried again later: {failure}");
        Ok(())
    }

    async fn send(&self, callback: &Callback, body: &str) -> Tried {
        // The rules may have changed since it was ordered.
        if let Err(refused) = self.places.check(&callback.url) {
            return Tried::Failed(refused);
        }
        let Ok(_turn) = self.making.acquire().await else {
            return Tried::Failed("the front end stops".to_owned());
        };
        let id = format!("msg_{}", callback.id);
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let Some(signature) = signature::sign(&self.secret, &id, now.as_secs(), body) else {
            return Tried::Failed("it can't be signed".to_owned());
        };
        let request = self
            .client
            .post(&callback.url)
            .header("content-type", "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", now.as_secs())
            .header("webhook-signature", signature)
            .body(body.to_owned());
        match request.send().await {
            Ok(response) if response.status().is_success() => Tried::Taken,
            Ok(response) if response.status() == StatusCode::GONE => Tried::Unwanted,
            Ok(response) => Tried::Failed(format!("it was answered with {}", response.status())),
            // The address may hold a token of its owner.
            Err(error) => Tried::Failed(causes(&error.without_url())),
        }
    }
}

fn message(id: JobId, outcome: Outcome) -> String {
    let answer = Answer::finished(id, outcome, Shown::default());
    let message = Message {
        r#type: format!("inference.{}", answer.status()),
        timestamp: now(),
        data: &answer,
    };
    // Only a map with keys that are no texts could fail.
    serde_json::to_string(&message).unwrap_or_default()
}

/// Now, as RFC 3339 has it.
fn now() -> String {
    let format = &time::format_description::well_known::Rfc3339;
    time::OffsetDateTime::now_utc().format(format).unwrap_or_default()
}

/// An error and all that lies below it.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut below = error.source();
    while let Some(cause) = below {
        text = format!("{text}: {cause}");
        below = cause.source();
    }
    text
}
