//! Seam between front ends: calls that clients ordered, kept until they are made.
//!
//! In come orders, out come those whose time it is. Knows no HTTP and no outcome.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::StoreError;
use crate::job::JobId;

/// A call that a client ordered: a job's outcome goes to this address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Callback {
    /// Whose outcome.
    pub id: JobId,
    /// Where it goes.
    pub url: String,
    /// How often it was tried.
    pub attempts: u32,
    /// What is sent, once that is known: it outlives the outcome.
    pub body: Option<String>,
}

/// Calls that are to be made, each at its time, whichever front end is there.
///
/// Every implementation promises:
/// - What was put in is taken, again and again, until it is settled: no crash loses it.
/// - What was taken is not taken again before its lease is over.
/// - Every method may be repeated after an error.
#[async_trait]
pub trait Outbox: Send + Sync {
    /// Keeps a call, due at once. A second one for the same job changes nothing.
    async fn order(&self, callback: &Callback) -> Result<(), StoreError>;

    /// Takes up to `most` calls that are due, the longest due first; each is due again once `lease` is over.
    async fn take_due(&self, most: usize, lease: Duration) -> Result<Vec<Callback>, StoreError>;

    /// Puts back what was taken, as it is now, due after `pause`.
    async fn postpone(&self, callback: &Callback, pause: Duration) -> Result<(), StoreError>;

    /// Forgets a call.
    async fn settle(&self, id: JobId) -> Result<(), StoreError>;
}
