//! Opens broker and store by their addresses: the only place where an address picks an implementation.

use std::sync::Arc;

use anyhow::{Context, bail};

use crate::address::Address;
use crate::broker::amqp::AmqpBroker;
use crate::broker::sqlite::SqliteBroker;
use crate::broker::{Broker, BrokerError};
use crate::config::Config;
use crate::database::Database;
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
        let database = match &broker_address {
            Address::Sqlite(path) => Some(Database::open(path)?),
            _ => None,
        };
        let (store, outbox): (Arc<dyn ResultStore>, Arc<dyn Outbox>) = match (&store_address, &database) {
            (Address::Sqlite(_), Some(database)) if store_address == broker_address => {
                both(SqliteStore::new(database.clone(), &config.results))
            }
            (Address::Sqlite(path), _) => both(SqliteStore::new(Database::open(path)?, &config.results)),
            (Address::Redis(url), _) => both(
                RedisStore::connect(url, &config.results)
                    .await
                    .map_err(store_hint)?,
            ),
            (Address::Amqp(_), _) => bail!("--store {store_address}: results are kept in sqlite: or redis:"),
        };
        let broker: Arc<dyn Broker> = match (&broker_address, database) {
            (Address::Sqlite(_), Some(database)) => Arc::new(SqliteBroker::new(database, &config.queue)),
            (Address::Amqp(url), _) => Arc::new(
                AmqpBroker::connect(url, &config.queue)
                    .await
                    .map_err(broker_hint)?,
            ),
            _ => bail!("--broker {broker_address}: jobs wait in sqlite: or amqp:"),
        };
        let embedded = matches!(broker_address, Address::Sqlite(_));
        tracing::info!(broker = %broker_address, store = %store_address, "opened");
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

    /// Closes both, in bounded time.
    pub async fn close(&self) {
        self.broker.close().await;
        self.store.close().await;
    }
}

/// One store as both seams that it has.
fn both<T: ResultStore + Outbox + 'static>(store: T) -> (Arc<dyn ResultStore>, Arc<dyn Outbox>) {
    let store = Arc::new(store);
    (store.clone(), store)
}

fn broker_hint(error: BrokerError) -> anyhow::Error {
    let hint = match &error {
        BrokerError::Unavailable { .. } => "start RabbitMQ, or say with --broker where it is",
        BrokerError::Refused { .. } => "check user, password and queue name of --broker",
    };
    anyhow::Error::new(error).context(hint)
}

fn store_hint(error: StoreError) -> anyhow::Error {
    let hint = match &error {
        StoreError::Unavailable { .. } => "start Redis, or say with --store where it is",
        StoreError::Full { .. } => "give the store more room",
        StoreError::Refused { .. } => "check user and password of --store",
    };
    anyhow::Error::new(error).context(hint)
}

/// The weights that the configuration names.
pub fn weights(config: &Config) -> anyhow::Result<Weights> {
    match &config.model.weights {
        Some(path) => Weights::read(path).with_context(|| format!("--weights {}", path.display())),
        None => Ok(Weights::embedded()?),
    }
}
