//! The worker: takes what waits on the queue, asks the model once for all of it, stores the outcomes, and
//! only then acknowledges.
//!
//! In come deliveries, out go outcomes and acknowledgements; in between stands the engine, which owns the
//! model. Knows the two seams and the model, and nothing of HTTP or image formats.
//!
//! Three batches may be in hand at once: one is being stored, one is in the model, one waits. So receiving
//! and storing overlap with the forward pass. A model that can have several in flight, as on a GPU, is asked about
//! more.

mod batch;
pub mod canary;
mod current;
mod engine;
mod finish;
mod in_hand;
mod predict;

use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use current::CurrentEngine;
pub use engine::{Engine, EngineError};

use crate::broker::{Broker, BrokerError, Consumer};
use crate::metrics::Working;
use crate::store::{ResultStore, StoreError};
use crate::traces::Traces;
use batch::Batching;
use finish::Finisher;
use predict::Predictor;

/// How a worker forms its batches.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Most pictures in one forward pass.
    pub max_batch: NonZeroU16,
    /// How long a batch that is not full waits for more, once the model is free. At 0 a batch is what
    /// waited while the model was busy: no answer is later than it must be.
    pub max_wait_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_batch: NonZeroU16::MIN.saturating_add(63),
            max_wait_ms: 0,
        }
    }
}

/// Batches in hand beside those that the model is asked about: see the module's documentation. A smaller prefetch
/// would cap the batch.
const OTHERS_IN_HAND: u16 = 2;

/// A worker's parts.
pub struct Worker {
    /// Its name in logs and predictions.
    pub name: String,
    /// Where jobs come from.
    pub broker: Arc<dyn Broker>,
    /// Where outcomes go.
    pub store: Arc<dyn ResultStore>,
    /// The model on its thread. Another may take its place between two batches.
    pub engine: CurrentEngine,
    /// What it counts.
    pub working: Working,
    /// What it tells of each job.
    pub traces: Traces,
    /// How batches are formed.
    pub settings: Settings,
}

/// Why a worker ended by itself. What it had in hand is back on the queue.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The queue refuses to work with us.
    #[error("the worker lost its queue")]
    Broker(#[from] BrokerError),
    /// The store refuses to work with us.
    #[error("the worker can't store outcomes")]
    Store(#[from] StoreError),
    /// The model or its device can't go on.
    #[error("the worker's model can't go on")]
    Engine(#[from] EngineError),
}

impl Worker {
    /// Works until `shutdown` is cancelled: then finishes the batch in hand and gives the rest back.
    ///
    /// # Errors
    /// [`WorkerError`] if it ended before; nothing is lost.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), WorkerError> {
        let Self {
            name,
            broker,
            store,
            engine,
            working,
            traces,
            settings,
        } = self;
        let card = engine.get().card().clone();
        working.note_model(&[&card.name, &card.weights_sha256, &card.device], None);
        let appetite = engine.get().appetite();
        let batches = OTHERS_IN_HAND.saturating_add(u16::try_from(appetite).unwrap_or(u16::MAX));
        let prefetch = NonZeroU16::MIN
            .saturating_add(batches - 1)
            .saturating_mul(settings.max_batch);
        let mut consumer = broker.consume(prefetch).await?;
        tracing::info!(worker = name, device = card.device, "waiting for work");

        let (predicted, to_store) = mpsc::channel(1);
        let finisher = tokio::spawn(
            Finisher {
                store: Arc::clone(&store),
                working: working.clone(),
                shutdown: shutdown.clone(),
            }
            .run(to_store),
        );
        let watching = canary::watch(engine.clone(), working.clone());
        let predictor = Predictor {
            name,
            engine,
            store,
            working,
            traces,
            finished: predicted,
        };
        let batching = Batching {
            max_batch: settings.max_batch.get().into(),
            max_wait: Duration::from_millis(settings.max_wait_ms),
        };
        let predicting = tokio::select! {
            predicting = predict_until(&shutdown, &mut consumer, batching, (predictor, appetite)) => predicting,
            error = watching => Err(error.into()),
        };
        if let Err(WorkerError::Engine(error)) = &predicting {
            tracing::error!(
                device = card.device,
                error = error as &dyn std::error::Error,
                "takes no more work"
            );
        }
        let finishing = unwound(finisher.await).map_err(WorkerError::from);
        let closing = consumer.close().await.map_err(WorkerError::from);
        predicting.and(finishing).and(closing)
    }
}

/// Ends when told to, when the consumer or the finisher has ended (their results say why), or on an error. The
/// predictor is asked about so many batches at once.
async fn predict_until(
    shutdown: &CancellationToken,
    consumer: &mut Consumer,
    batching: Batching,
    (predictor, at_once): (Predictor, usize),
) -> Result<(), WorkerError> {
    let predictor = Arc::new(predictor);
    let room = Arc::new(Semaphore::new(at_once));
    let mut asked: JoinSet<Result<(), EngineError>> = JoinSet::new();
    loop {
        let next = async {
            // A batch is formed when it can be asked about: until then more may come.
            let space = Arc::clone(&room).acquire_owned().await.ok()?;
            Some((space, batching.next(consumer).await?))
        };
        let batch = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            () = predictor.finished.closed() => break,
            error = first_error(&mut asked) => return Err(error.into()),
            batch = next => batch,
        };
        let Some((space, batch)) = batch else { break };
        // Nothing else is in the model together with a suspect: it would be blamed for its death.
        let others = if batch.has_suspect() { at_once - 1 } else { 0 };
        let others = u32::try_from(others).unwrap_or(u32::MAX);
        let Ok(alone) = Arc::clone(&room).acquire_many_owned(others).await else {
            break;
        };
        let predictor = Arc::clone(&predictor);
        asked.spawn(async move {
            let predicted = predictor.predict(batch).await;
            drop((space, alone));
            predicted
        });
    }
    while let Some(ended) = asked.join_next().await {
        unwound(ended)?;
    }
    Ok(())
}

/// Waits until a batch ends with an error.
async fn first_error(asked: &mut JoinSet<Result<(), EngineError>>) -> EngineError {
    loop {
        match asked.join_next().await {
            Some(ended) => {
                if let Err(error) = unwound(ended) {
                    return error;
                }
            }
            None => std::future::pending().await,
        }
    }
}

/// What a task answered. A panic in it goes on here.
fn unwound<T>(ended: Result<T, tokio::task::JoinError>) -> T {
    match ended {
        Ok(answer) => answer,
        Err(failure) => std::panic::resume_unwind(failure.into_panic()),
    }
}
