//! Wakes those who wait for an outcome, with the message that a worker publishes once it is stored.
//!
//! A message is the ids of a batch, sixteen bytes each. Messages may be lost: whoever waits looks by itself too.

use std::sync::Arc;

use fred::clients::SubscriberClient;
use fred::interfaces::EventInterface;
use tokio::sync::broadcast::error::RecvError;

use super::super::waiters::Waiters;
use crate::job::JobId;

/// Runs until it is aborted or the client is gone.
pub async fn run(subscriber: SubscriberClient, waiters: Arc<Waiters>) {
    let mut messages = subscriber.message_rx();
    // Subscribes again after each reconnection.
    let _resubscribing = subscriber.manage_subscriptions();
    loop {
        match messages.recv().await {
            Ok(message) => {
                let ids = message.value.as_bytes().unwrap_or_default();
                waiters.wake(ids.chunks_exact(16).filter_map(JobId::from_bytes));
            }
            Err(RecvError::Lagged(_)) => waiters.wake_all(),
            Err(RecvError::Closed) => return,
        }
    }
}
