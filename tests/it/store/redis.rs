//! Redis as a store: a server holds the results of several systems, by prefix.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use mnistq::address::Address;
use mnistq::store::outbox::Outbox;
use mnistq::store::redis::RedisStore;
use mnistq::store::{ResultStore, Settings};
use mnistq::tls::Trust;

use super::Results;
use crate::harness::redis::Redis;

/// Results under a prefix of their own.
pub struct RedisResults {
    server: Arc<Redis>,
    prefix: String,
}

static PREFIXES: AtomicU32 = AtomicU32::new(0);

impl RedisResults {
    fn on(server: Arc<Redis>) -> Self {
        let prefix = format!("results-{}", PREFIXES.fetch_add(1, Ordering::Relaxed));
        Self { server, prefix }
    }
}

impl Results for RedisResults {
    async fn fresh() -> Self {
        Self::on(Arc::new(Redis::launch().await))
    }

    async fn beside(&self) -> Self {
        Self::on(Arc::clone(&self.server))
    }

    async fn open(&self) -> Arc<dyn ResultStore> {
        Arc::new(self.store().await)
    }

    async fn open_outbox(&self) -> Arc<dyn Outbox> {
        Arc::new(self.store().await)
    }
}

impl RedisResults {
    async fn store(&self) -> RedisStore {
        let Ok(Address::Redis(url)) = self.server.url().parse() else {
            panic!("{} is an address of Redis", self.server.url());
        };
        let settings = Settings {
            prefix: self.prefix.clone(),
        };
        RedisStore::connect(&url, &settings, &Trust::default())
            .await
            .unwrap()
    }
}
