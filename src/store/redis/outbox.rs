//! Ordered calls in Redis: a sorted set of ids by the time when each is due, a key for each call, and a key for each
//! that is taken.
//!
//! Times are those of the front ends' clocks: if they disagree, a call is made that much earlier or later, and only
//! the keys of those that are taken, which Redis ends, decide who makes it.

use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use fred::interfaces::{KeysInterface, SortedSetsInterface};
use fred::types::{SetOptions, Value};

use super::{MARK, RedisStore, expiration, milliseconds};
use crate::job::JobId;
use crate::store::StoreError;
use crate::store::outbox::{Callback, Outbox};

/// Longer than any call is tried: what is left then was left by mistake.
const KEPT: Duration = Duration::from_secs(14 * 24 * 3600);

#[async_trait]
impl Outbox for RedisStore {
    async fn order(&self, callback: &Callback) -> Result<(), StoreError> {
        let order = async {
            let both = self.links.client.pipeline();
            let if_new = || Some(SetOptions::NX);
            let key = self.call(callback.id);
            let () = both
                .set(key, encode(callback), expiration(KEPT), if_new(), false)
                .await?;
            let due = (due(Duration::ZERO), callback.id.to_string());
            let () = both.zadd(self.calls(), if_new(), None, false, false, due).await?;
            both.all::<Value>().await
        };
        self.exchange(order).await.map(drop)
    }

    async fn take_due(&self, most: usize, lease: Duration) -> Result<Vec<Callback>, StoreError> {
        let client = &self.links.client;
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let look = client.zrangebyscore(
            self.calls(),
            f64::NEG_INFINITY,
            due(Duration::ZERO),
            false,
            Some((0, most)),
        );
        let found: Vec<String> = self.exchange(look).await?;
        let found: Vec<JobId> = found.iter().filter_map(|id| id.parse().ok()).collect();
        if found.is_empty() {
            return Ok(Vec::new());
        }
        let take = async {
            let all = client.pipeline();
            for id in &found {
                let if_new = Some(SetOptions::NX);
                let () = all
                    .set(self.taken(*id), MARK, expiration(lease), if_new, false)
                    .await?;
            }
            all.all::<Vec<Option<String>>>().await
        };
        let taken = self.exchange(take).await?;
        let ours = found.into_iter().zip(taken).filter(|(_, taken)| taken.is_some());
        let ours: Vec<JobId> = ours.map(|(id, _)| id).collect();
        if ours.is_empty() {
            return Ok(Vec::new());
        }
        let read = async {
            let keys: Vec<String> = ours.iter().map(|id| self.call(*id)).collect();
            let later: Vec<_> = ours.iter().map(|id| (due(lease), id.to_string())).collect();
            let if_there = Some(SetOptions::XX);
            let () = client
                .zadd(self.calls(), if_there, None, false, false, later)
                .await?;
            client.mget::<Vec<Option<String>>, _>(keys).await
        };
        let stored = self.exchange(read).await?;
        let mut callbacks = Vec::with_capacity(ours.len());
        for (id, stored) in ours.into_iter().zip(stored) {
            match stored.and_then(|stored| serde_json::from_str(&stored).ok()) {
                Some(callback) => callbacks.push(callback),
                // Settled in between, or left without its key.
                None => self.settle(id).await?,
            }
        }
        Ok(callbacks)
    }

    async fn postpone(&self, callback: &Callback, pause: Duration) -> Result<(), StoreError> {
        let postpone = async {
            let all = self.links.client.pipeline();
            let id = callback.id;
            // Only what is still there: it may have been settled.
            let if_there = || Some(SetOptions::XX);
            let call = encode(callback);
            let () = all
                .set(self.call(id), call, expiration(KEPT), if_there(), false)
                .await?;
            let later = (due(pause), id.to_string());
            let () = all
                .zadd(self.calls(), if_there(), None, false, false, later)
                .await?;
            let () = all.del(self.taken(id)).await?;
            all.all::<Value>().await
        };
        self.exchange(postpone).await.map(drop)
    }

    async fn settle(&self, id: JobId) -> Result<(), StoreError> {
        let settle = async {
            let all = self.links.client.pipeline();
            let () = all.zrem(self.calls(), id.to_string()).await?;
            let () = all.del(vec![self.call(id), self.taken(id)]).await?;
            all.all::<Value>().await
        };
        self.exchange(settle).await.map(drop)
    }
}

impl RedisStore {
    fn calls(&self) -> String {
        format!("{}:calls", self.prefix)
    }

    fn call(&self, id: JobId) -> String {
        format!("{}:c:{id}", self.prefix)
    }

    fn taken(&self, id: JobId) -> String {
        format!("{}:t:{id}", self.prefix)
    }
}

/// When a call is due that is due after `pause`, in Unix milliseconds.
fn due(pause: Duration) -> f64 {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    milliseconds(now.saturating_add(pause)) as f64
}

fn encode(callback: &Callback) -> String {
    // Only a map with keys that are no texts could fail.
    serde_json::to_string(callback).unwrap_or_default()
}
