//! Looks several jobs up, in one exchange.
//!
//! In come ids, out go what their keys say. Changes nothing.

use std::time::Duration;

use fred::clients::Client;
use fred::interfaces::KeysInterface;
use tokio::time::timeout;

use super::super::{Entry, StoreError};
use super::{RedisStore, TURN, result};
use crate::job::{JobId, Outcome};

/// What the keys of a job say.
pub enum Found {
    Nothing,
    Queued,
    /// Issued, no longer queued, and without an outcome: its deadline has passed.
    Overdue {
        /// For how long that is told.
        told_for: Duration,
    },
    Finished(Outcome),
}

impl Found {
    /// The same for whoever asked the store.
    pub fn entry(self) -> Option<Entry> {
        match self {
            Self::Nothing => None,
            Self::Queued | Self::Overdue { .. } => Some(Entry::Queued),
            Self::Finished(outcome) => Some(Entry::Finished(outcome)),
        }
    }
}

/// Looks up outcomes alone, for those who only listen.
pub struct Outcomes {
    pub client: Client,
    pub prefix: String,
}

impl Outcomes {
    /// Those of these jobs, as far as they can be had now.
    pub async fn of(&self, ids: Vec<JobId>) -> Vec<(JobId, Option<Outcome>)> {
        let keys: Vec<String> = ids.iter().map(|id| result(&self.prefix, *id)).collect();
        let fetch = self.client.mget::<Vec<Option<Vec<u8>>>, _>(keys);
        let stored = timeout(TURN, fetch).await.ok().and_then(Result::ok);
        let mut stored = stored.unwrap_or_default().into_iter();
        let outcomes = ids.into_iter().map(|id| {
            let stored = stored.next().flatten();
            (id, stored.and_then(|stored| Outcome::decode(&stored).ok()))
        });
        outcomes.collect()
    }
}

impl RedisStore {
    /// What is known of these jobs, at one moment.
    pub(super) async fn look(&self, ids: &[JobId]) -> Result<Vec<Found>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let keys: Vec<String> = ids
            .iter()
            .flat_map(|id| [self.result(*id), self.queued(*id), self.issued(*id)])
            .collect();
        let fetch = self.links.client.mget::<Vec<Option<Vec<u8>>>, _>(keys);
        let values = self.exchange(fetch).await?;
        values.chunks(3).map(|values| self.read(values)).collect()
    }

    fn read(&self, values: &[Option<Vec<u8>>]) -> Result<Found, StoreError> {
        match values {
            [Some(stored), ..] => match Outcome::decode(stored) {
                Ok(outcome) => Ok(Found::Finished(outcome)),
                Err(error) => Err(StoreError::Refused {
                    address: self.address.clone(),
                    source: Box::new(error),
                }),
            },
            [_, Some(_), ..] => Ok(Found::Queued),
            [_, _, Some(told_ms)] => {
                let told_ms = std::str::from_utf8(told_ms)
                    .ok()
                    .and_then(|text| text.parse().ok());
                let told_for = Duration::from_millis(told_ms.unwrap_or_default());
                Ok(Found::Overdue { told_for })
            }
            _ => Ok(Found::Nothing),
        }
    }
}
