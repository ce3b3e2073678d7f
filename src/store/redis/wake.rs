//! Wakes those who wait for an outcome, with the message that a worker publishes once it is stored.
//!
//! A message is the ids of a batch, sixteen bytes each; the outcomes that somebody waits for are looked up together.
//! Messages may be lost: whoever waits looks by itself too.

use std::sync::Arc;
use std::time::Duration;

use fred::clients::SubscriberClient;
use fred::interfaces::{EventInterface, PubsubInterface};
use fred::types::Message;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::time::interval;

use super::super::waiters::Waiters;
use super::look::Outcomes;
use crate::job::JobId;

/// How often the subscription is asked for anew, which changes nothing while it stands.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// Ids in one message.
const IDS: usize = 1024;

/// The messages that tell of these jobs.
pub fn messages(ids: &[JobId]) -> impl Iterator<Item = Vec<u8>> {
    ids.chunks(IDS)
        .map(|ids| ids.iter().flat_map(|id| *id.as_bytes()).collect())
}

/// Runs until it is aborted or the client takes leave.
pub async fn run(subscriber: SubscriberClient, channel: String, outcomes: Outcomes, waiters: Arc<Waiters>) {
    let (mut messages, mut returns) = (subscriber.message_rx(), subscriber.reconnect_rx());
    let mut heartbeat = interval(HEARTBEAT);
    loop {
        tokio::select! {
            message = messages.recv() => match message {
                Ok(message) => {
                    let mut told = ids(&message);
                    loop {
                        match messages.try_recv() {
                            Ok(message) => told.extend(ids(&message)),
                            Err(TryRecvError::Lagged(_)) => waiters.wake_all(),
                            Err(_) => break,
                        }
                    }
                    let told = waiters.among(told);
                    if !told.is_empty() {
                        waiters.wake(outcomes.of(told).await);
                    }
                }
                Err(RecvError::Lagged(_)) => waiters.wake_all(),
                Err(RecvError::Closed) => return,
            },
            Ok(_) = returns.recv() => {
                subscribe(&subscriber, &channel).await;
                // What was published in between is lost.
                waiters.wake_all();
            }
            _ = heartbeat.tick() => subscribe(&subscriber, &channel).await,
        }
    }
}

fn ids(message: &Message) -> Vec<JobId> {
    let ids = message.value.as_bytes().unwrap_or_default();
    ids.chunks_exact(16).filter_map(JobId::from_bytes).collect()
}

async fn subscribe(subscriber: &SubscriberClient, channel: &str) {
    if let Err(error) = subscriber.subscribe(channel).await {
        tracing::debug!(%error, "no subscription to finished jobs yet");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_batch_takes_several_messages() {
        let ids: Vec<JobId> = (0..=IDS).map(|_| JobId::issue()).collect();
        let messages: Vec<Vec<u8>> = messages(&ids).collect();
        assert_eq!(messages.len(), 2);
        let told = messages.concat();
        let told: Vec<JobId> = told.chunks_exact(16).filter_map(JobId::from_bytes).collect();
        assert_eq!(told, ids);
    }
}
