//! Publishes on their way: what the broker has not answered yet, by number.
//!
//! In come publishes and the broker's answers, out go answers to the publishers. Does no I/O.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::Instant;

use super::super::PublishError;
use super::endpoint::Endpoint;
use super::link::{LinkError, Tags};
use crate::job::JobId;

/// Where a publisher waits for its answer.
pub struct Waiter {
    id: JobId,
    /// Dropped without an answer, it means that nobody knows.
    answer: oneshot::Sender<Result<(), PublishError>>,
    /// What its job takes of the room for publishes: given back with the answer.
    _room: [OwnedSemaphorePermit; 2],
}

impl Waiter {
    /// Of this job, which takes this room.
    pub fn new(
        id: JobId,
        answer: oneshot::Sender<Result<(), PublishError>>,
        room: [OwnedSemaphorePermit; 2],
    ) -> Self {
        Self {
            id,
            answer,
            _room: room,
        }
    }

    /// Whether its publisher no longer waits.
    pub fn is_gone(&self) -> bool {
        self.answer.is_closed()
    }

    /// Answers; a publisher that no longer waits is none the wiser.
    pub fn answer(self, answer: Result<(), PublishError>) {
        let _ = self.answer.send(answer);
    }
}

/// The publishes of one channel that are not answered.
#[derive(Default)]
pub struct Unconfirmed {
    waiters: BTreeMap<u64, (Instant, Waiter)>,
    unroutable: HashSet<JobId>,
    last: u64,
}

impl Unconfirmed {
    /// Counts a publish, which must be the next on the channel.
    pub fn add(&mut self, waiter: Waiter) {
        self.last += 1;
        self.waiters.insert(self.last, (Instant::now(), waiter));
    }

    /// Notes that the broker had no queue for a message, whose confirmation will follow.
    pub fn note_unroutable(&mut self, message_id: Option<&str>) {
        let id: Option<JobId> = message_id.and_then(|id| id.parse().ok());
        self.unroutable.extend(id);
    }

    /// The broker has these. False if it has in fact thrown one away: then the queue is gone.
    pub fn confirm(&mut self, tags: Tags, endpoint: &Endpoint) -> bool {
        let mut routed = true;
        for waiter in self.take(tags) {
            if self.unroutable.remove(&waiter.id) {
                routed = false;
                waiter.answer(Err(endpoint.error(&Arc::new(LinkError::Unroutable)).into()));
            } else {
                waiter.answer(Ok(()));
            }
        }
        routed
    }

    /// The broker does not take these: with its queue's overflow set to reject, since that is full.
    pub fn reject(&mut self, tags: Tags) {
        for waiter in self.take(tags) {
            waiter.answer(Err(PublishError::Full));
        }
    }

    /// Whether all are answered.
    pub fn is_empty(&self) -> bool {
        self.waiters.is_empty()
    }

    /// For how long the oldest has waited.
    pub fn longest_wait(&self) -> Duration {
        self.waiters
            .first_key_value()
            .map_or(Duration::ZERO, |(_, (since, _))| since.elapsed())
    }

    fn take(&mut self, tags: Tags) -> Vec<Waiter> {
        if !tags.multiple {
            return self
                .waiters
                .remove(&tags.last)
                .map(|(_, waiter)| waiter)
                .into_iter()
                .collect();
        }
        let later = self.waiters.split_off(&(tags.last + 1));
        std::mem::replace(&mut self.waiters, later)
            .into_values()
            .map(|(_, waiter)| waiter)
            .collect()
    }
}
