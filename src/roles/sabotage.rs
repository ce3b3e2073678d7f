//! Breaks one promise on purpose, for the tests that prove that such a break is found. Not in release builds.
//!
//! In comes what `MNISTQ_SABOTAGE` names, out go seams and models that do as it says.

mod model;

use std::num::NonZeroU16;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::sleep;

use super::Opening;
use super::seams::Seams;
use crate::broker::{Broker, BrokerError, Buried, Confirm, Consumer, PublishError};
use crate::job::{Job, JobId};
use crate::store::{Claim, Entry, Finished, First, Reservation, ResultStore, StoreError};
use model::Fault;

/// The variable that names a sabotage.
pub const VARIABLE: &str = "MNISTQ_SABOTAGE";
/// How late the broken order does what it should have done before.
const LATE: Duration = Duration::from_millis(100);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sabotage {
    /// Jobs are acknowledged before their outcome is stored.
    AckBeforeStore,
    /// Uploads are answered before the broker has confirmed them.
    AnswerBeforeConfirm,
    /// The last outcome wins.
    LastOutcomeWins,
    /// A connection that the broker closes in an orderly manner is not rebuilt.
    NoReturnAfterClose,
    /// What happens to the model and its device.
    Model(Fault),
}

/// The sabotage that the environment names.
fn named() -> anyhow::Result<Option<Sabotage>> {
    let Ok(name) = std::env::var(VARIABLE) else {
        return Ok(None);
    };
    let sabotage = match name.as_str() {
        "ack-before-store" => Sabotage::AckBeforeStore,
        "answer-before-confirm" => Sabotage::AnswerBeforeConfirm,
        "last-outcome-wins" => Sabotage::LastOutcomeWins,
        "no-return-after-close" => Sabotage::NoReturnAfterClose,
        _ => match Fault::named(&name) {
            Some(fault) => Sabotage::Model(fault),
            None => anyhow::bail!("{VARIABLE}: there is no sabotage {name:?}"),
        },
    };
    tracing::warn!(name, "SABOTAGED: this process breaks a promise on purpose");
    Ok(Some(sabotage))
}

/// The same model, sabotaged if the environment says so.
pub fn sabotaged_model(opening: Opening) -> anyhow::Result<Opening> {
    Ok(match named()? {
        Some(Sabotage::Model(fault)) => fault.befall(opening),
        _ => opening,
    })
}

/// The same seams, sabotaged if the environment says so.
pub fn sabotaged(seams: Seams) -> anyhow::Result<Seams> {
    let Some(sabotage) = named()?.filter(|sabotage| !matches!(sabotage, Sabotage::Model(_))) else {
        return Ok(seams);
    };
    Ok(Seams {
        broker: Arc::new(SabotagedBroker {
            inner: seams.broker,
            sabotage,
            gone: AtomicBool::new(false),
        }),
        store: Arc::new(SabotagedStore {
            inner: seams.store,
            sabotage,
        }),
        outbox: seams.outbox,
        embedded: seams.embedded,
    })
}

struct SabotagedBroker {
    inner: Arc<dyn Broker>,
    sabotage: Sabotage,
    gone: AtomicBool,
}

#[async_trait]
impl Broker for SabotagedBroker {
    async fn publish(&self, job: &Job, deadline: Duration, confirm: Confirm) -> Result<(), PublishError> {
        match self.sabotage {
            Sabotage::AnswerBeforeConfirm => {
                let (inner, job) = (Arc::clone(&self.inner), job.clone());
                tokio::spawn(async move {
                    sleep(LATE).await;
                    let _ = inner.publish(&job, deadline, confirm).await;
                });
                Ok(())
            }
            Sabotage::NoReturnAfterClose if self.gone.load(Ordering::Relaxed) => {
                Err(PublishError::Broker(BrokerError::Unavailable {
                    address: "the broker that it has left".to_owned(),
                    source: "sabotaged".into(),
                }))
            }
            _ => {
                let published = self.inner.publish(job, deadline, confirm).await;
                if let Err(
                    PublishError::Broker(BrokerError::Unavailable { .. }) | PublishError::Unconfirmed,
                ) = published
                {
                    self.gone.store(true, Ordering::Relaxed);
                }
                published
            }
        }
    }

    async fn consume(&self, prefetch: NonZeroU16) -> Result<Consumer, BrokerError> {
        self.inner.consume(prefetch).await
    }

    async fn backlog(&self) -> Result<u64, BrokerError> {
        self.inner.backlog().await
    }

    async fn check(&self) -> Result<(), BrokerError> {
        self.inner.check().await
    }

    async fn buried(&self) -> Result<Vec<Buried>, BrokerError> {
        self.inner.buried().await
    }

    async fn exhume(&self, ids: &[JobId]) -> Result<bool, BrokerError> {
        self.inner.exhume(ids).await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

struct SabotagedStore {
    inner: Arc<dyn ResultStore>,
    sabotage: Sabotage,
}

#[async_trait]
impl ResultStore for SabotagedStore {
    async fn reserve(&self, reservation: &Reservation) -> Result<(), StoreError> {
        self.inner.reserve(reservation).await
    }

    async fn owner(&self, id: JobId) -> Result<Option<String>, StoreError> {
        self.inner.owner(id).await
    }

    async fn claim(&self, key: &str, claim: Claim, ttl: Duration) -> Result<Claim, StoreError> {
        self.inner.claim(key, claim, ttl).await
    }

    async fn release(&self, id: JobId) -> Result<(), StoreError> {
        self.inner.release(id).await
    }

    async fn finish(&self, finished: &[Finished]) -> Vec<Result<(), StoreError>> {
        match self.sabotage {
            Sabotage::AckBeforeStore => {
                let (inner, late) = (Arc::clone(&self.inner), finished.to_vec());
                tokio::spawn(async move {
                    sleep(LATE).await;
                    inner.finish(&late).await
                });
                finished.iter().map(|_| Ok(())).collect()
            }
            Sabotage::LastOutcomeWins => {
                sleep(LATE).await;
                for Finished { id, .. } in finished {
                    let _ = self.inner.erase(*id).await;
                }
                self.inner.finish(finished).await
            }
            _ => self.inner.finish(finished).await,
        }
    }

    async fn fetch_all(&self, ids: &[JobId]) -> Result<Vec<Option<Entry>>, StoreError> {
        self.inner.fetch_all(ids).await
    }

    async fn wait(&self, id: JobId, limit: Duration, first: First) -> Result<Option<Entry>, StoreError> {
        self.inner.wait(id, limit, first).await
    }

    async fn erase(&self, id: JobId) -> Result<bool, StoreError> {
        self.inner.erase(id).await
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.inner.check().await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}
