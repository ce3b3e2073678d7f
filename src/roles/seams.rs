//! Opens broker and store by their addresses: the only place where an address picks an implementation.

use std::sync::Arc;

use anyhow::{Context, bail};

use super::watched::watched;
use crate::address::Address;
use crate::broker::amqp::AmqpBroker;
use crate::broker::sqlite::SqliteBroker;
use crate::broker::{Broker, BrokerError};
use crate::config::Config;
use crate::database::{Database, DatabaseError};
use crate::metrics::Metrics;
use crate::model::weights::Weights;
use crate::store::outbox::Outbox;
use crate::store::redis::RedisStore;
use crate::store::sqlite::SqliteStore;
use crate::store::{ResultStore, StoreError};

/// Both seams, open.
pub struct Seams {
    /// Where jobs wait.
    pub broker: Arc<dyn Broker>,
    /// Where outcomes are kept.
    pub store: Arc<dyn ResultStore>,
    /// Where ordered callbacks are kept: with the outcomes.
    pub outbox: Arc<dyn Outbox>,
    /// Whether the queue is the embedded one.
    pub embedded: bool,
}

impl Seams {
    /// Opens what the configuration names. One database file is opened once, so that queue and results share
    /// its transactions.
    pub async fn open(config: &Config) -> anyhow::Result<Self> {
        let (broker_address, store_address) = config.addresses()?;
        let (broker, (store, outbox)) = match &broker_address {
            Address::Sqlite(path) if store_address == broker_address => {
                let database = Database::open(path).map_err(|error| with_hint(error.into()))?;
                let stored = both(SqliteStore::new(database.clone(), &config.results));
                let broker: Arc<dyn Broker> = Arc::new(SqliteBroker::new(database, &config.queue));
                (broker, stored)
            }
            _ => {
                let broker = open_broker(&broker_address, config).await.map_err(with_hint)?;
                let stored = open_store(&store_address, config).await.map_err(with_hint)?;
                (broker, stored)
            }
        };
        let embedded = matches!(broker_address, Address::Sqlite(_));
        let seams = Self {
            broker,
            store,
            outbox,
            embedded,
        };
        #[cfg(debug_assertions)]
        let seams = super::sabotage::sabotaged(seams)?;
        Ok(seams)
    }

    /// As [`Seams::open`], says in the log what was opened, and counts what is asked of it: for those who stay.
    pub async fn open_to_stay(config: &Config, metrics: &Metrics) -> anyhow::Result<Self> {
        let seams = Self::open(config).await?;
        let (broker, store) = config.addresses()?;
        tracing::info!(%broker, %store, "opened");
        Ok(watched(seams, metrics))
    }

    /// Closes both, in bounded time.
    pub async fn close(&self) {
        self.broker.close().await;
        self.store.close().await;
    }
}

/// Opens the broker alone.
pub async fn open_broker(address: &Address, config: &Config) -> anyhow::Result<Arc<dyn Broker>> {
    Ok(match address {
        Address::Sqlite(path) => Arc::new(SqliteBroker::new(Database::open(path)?, &config.queue)),
        Address::Amqp(url) => Arc::new(AmqpBroker::connect(url, &config.queue, &config.trust()).await?),
        Address::Redis(_) => bail!("--broker {address}: jobs wait in sqlite: or amqp:"),
    })
}

/// One store, as both seams that it has.
type Stored = (Arc<dyn ResultStore>, Arc<dyn Outbox>);

fn both<T: ResultStore + Outbox + 'static>(store: T) -> Stored {
    let store = Arc::new(store);
    (store.clone(), store)
}

/// Opens the store alone.
pub async fn open_store(address: &Address, config: &Config) -> anyhow::Result<Stored> {
    Ok(match address {
        Address::Sqlite(path) => both(SqliteStore::new(Database::open(path)?, &config.results)),
        Address::Redis(url) => both(RedisStore::connect(url, &config.results, &config.trust()).await?),
        Address::Amqp(_) => bail!("--store {address}: results are kept in sqlite: or redis:"),
    })
}

/// What a person can do about a seam that can't be used, unless the error says it itself.
pub fn hint(error: &anyhow::Error) -> Option<&'static str> {
    // The clients' libraries tell it in words alone.
    if format!("{error:#}").contains("UnknownIssuer") {
        return Some("name with --tls-ca whose certificates to trust");
    }
    if let Some(error) = error.downcast_ref::<BrokerError>() {
        return Some(match error {
            BrokerError::Unavailable { .. } => "start RabbitMQ, or say with --broker where it is",
            BrokerError::Refused { .. } => "check user, password and queue name of --broker",
        });
    }
    if let Some(error) = error.downcast_ref::<StoreError>() {
        return Some(match error {
            StoreError::Unavailable { .. } => "start Redis, or say with --store where it is",
            StoreError::Full { .. } => "give the store more room",
            StoreError::Refused { .. } => "check user and password of --store",
        });
    }
    match error.downcast_ref()? {
        DatabaseError::Open { .. } => Some("name a file that you may write with --broker and --store"),
        DatabaseError::Full { .. } => Some("make room on its disk"),
        DatabaseError::Newer { .. } => Some("update this mnistq"),
        _ => None,
    }
}

fn with_hint(error: anyhow::Error) -> anyhow::Error {
    match hint(&error) {
        Some(hint) => error.context(hint),
        None => error,
    }
}

/// The weights that the configuration names.
pub fn weights(config: &Config) -> anyhow::Result<Weights> {
    match &config.model.weights {
        Some(path) => Weights::read(path).with_context(|| format!("--weights {}", path.display())),
        None => Ok(Weights::embedded()?),
    }
}
