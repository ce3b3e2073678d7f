//! Opens the two connections that a store needs, with every limit explicit: fred's defaults neither reconnect
//! nor time out.
//!
//! In comes an address, out come clients and the tasks that keep them connected. Knows no key.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use fred::clients::{Client, SubscriberClient};
use fred::error::Error;
use fred::interfaces::ConfigInterface;
use fred::types::Builder;
use fred::types::config::{Config, ReconnectPolicy, TlsConnector};
use tokio::time::{Instant, sleep};
use tokio_util::task::AbortOnDropHandle;

use super::super::StoreError;
use super::classify;
use super::link::{self, Journal};
use crate::address::ServerUrl;
use crate::tls::Trust;

/// How long a server that is not there yet is tried.
const PATIENCE: Duration = Duration::from_secs(5);
/// Pause between two tries.
const PAUSE: Duration = Duration::from_millis(250);
/// For one command. A write that takes longer may have happened all the same.
const COMMAND: Duration = Duration::from_secs(1);
/// For a connection, and for what fred asks by itself.
const CONNECT: Duration = Duration::from_secs(2);
/// First and longest pause between two tries to rebuild a connection, in milliseconds.
const PAUSES_MS: (u32, u32) = (50, 1_000);
/// Messages that may wait for the task that wakes; more are dropped by fred, and cost a waiter a moment.
const MESSAGES: usize = 4096;

/// What a store speaks through. Dropping it disconnects.
pub struct Links {
    /// For commands.
    pub client: Client,
    /// For messages.
    pub subscriber: SubscriberClient,
    /// How often a lost connection was rebuilt.
    pub rebuilt: Arc<AtomicU64>,
    /// The tasks that keep both connected.
    _keepers: [AbortOnDropHandle<()>; 2],
}

/// Connects, trying for some seconds if the server does not answer.
pub async fn connect(url: &ServerUrl, trust: &Trust) -> Result<Links, StoreError> {
    let address = url.to_string();
    let mut config = Config::from_url(&without_tls(url)).map_err(|error| classify(&address, error))?;
    if url.expose() != without_tls(url) {
        let client = trust.client().map_err(|error| StoreError::Refused {
            address: address.clone(),
            source: error.into(),
        })?;
        config.tls = Some(TlsConnector::from(client).into());
    }
    let builder = builder(config);
    let deadline = Instant::now() + PATIENCE;
    let mut warned = false;
    loop {
        match open(&builder, &address).await {
            Ok(links) => return Ok(links),
            Err(error) => {
                let error = classify(&address, error);
                let hopeless = matches!(error, StoreError::Refused { .. });
                if hopeless || Instant::now() + PAUSE >= deadline {
                    return Err(error);
                }
                if !std::mem::replace(&mut warned, true) {
                    tracing::warn!(store = address, "the store does not answer yet: waiting for it");
                }
                sleep(PAUSE).await;
            }
        }
    }
}

/// The same address as fred reads it without looking for certificates by itself.
fn without_tls(url: &ServerUrl) -> Cow<'_, str> {
    match url.expose().strip_prefix("rediss://") {
        Some(rest) => format!("redis://{rest}").into(),
        None => url.expose().into(),
    }
}

fn builder(config: Config) -> Builder {
    let mut builder = Builder::from_config(config);
    builder.set_policy(ReconnectPolicy::new_exponential(0, PAUSES_MS.0, PAUSES_MS.1, 2));
    builder.with_connection_config(|config| {
        config.connection_timeout = CONNECT;
        // A request that follows another closely would wait for the answer to that.
        config.tcp.nodelay = Some(true);
        config.internal_command_timeout = CONNECT;
        // Zero is no bound: the bound is the semaphore of the store.
        config.max_command_buffer_len = 0;
    });
    builder.with_performance_config(|config| {
        config.default_command_timeout = COMMAND;
        config.broadcast_channel_capacity = MESSAGES;
    });
    builder
}

async fn open(builder: &Builder, address: &str) -> Result<Links, Error> {
    let (client, subscriber) = (builder.build()?, builder.build_subscriber_client()?);
    let (commands, messages) = (link::open(&client).await?, link::open(&subscriber).await?);
    let rebuilt = Arc::new(AtomicU64::new(0));
    let journal = |carries| Journal::new(address.to_owned(), carries, Arc::clone(&rebuilt));
    let keepers = [
        tokio::spawn(link::keep(client.clone(), commands, journal("commands"))),
        tokio::spawn(link::keep(subscriber.clone(), messages, journal("messages"))),
    ];
    Ok(Links {
        client,
        subscriber,
        rebuilt,
        _keepers: keepers.map(AbortOnDropHandle::new),
    })
}

/// Says so when results may vanish: with this Redis's restart, or when it runs out of memory. A server that
/// does not tell its configuration is not asked again.
pub async fn warn_of_losses(client: &Client, address: &str) {
    let setting = async |name: &str| {
        let answer = client
            .config_get::<std::collections::HashMap<String, String>, _>(name)
            .await
            .ok()?;
        answer.into_values().next()
    };
    let (append_only, snapshots) = (setting("appendonly").await, setting("save").await);
    if append_only.as_deref() == Some("no") {
        let snapshots = if snapshots.is_some_and(|save| !save.is_empty()) {
            "only snapshots"
        } else {
            "nothing"
        };
        tracing::warn!(
            store = address,
            "this Redis keeps {snapshots} on disk: its restart loses results; set `appendonly yes`"
        );
    }
    if let Some(policy) = setting("maxmemory-policy").await
        && policy != "noeviction"
    {
        tracing::warn!(
            store = address,
            policy,
            "this Redis drops results when its memory is full; set `maxmemory-policy noeviction`"
        );
    }
}
