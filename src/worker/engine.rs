//! The engine: a model on a thread of its own, which makes it and never lets go of it.
//!
//! In come batches of pixels, out go log-probabilities. Knows no queue and no store. A thread of its own,
//! since a forward pass blocks, and since the work of a GPU must come from one thread.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use crate::model::{Model, ModelCard, ModelError};

/// A handle on a running engine. Dropping it ends the thread.
#[derive(Debug)]
pub struct Engine {
    card: ModelCard,
    requests: mpsc::Sender<Request>,
}

#[derive(Debug)]
struct Request {
    pixels: Vec<u8>,
    answer: oneshot::Sender<Result<Answer, ModelError>>,
}

/// What a forward pass gave.
#[derive(Debug)]
pub struct Answer {
    /// For each picture, a log-probability a class.
    pub log_probabilities: Vec<f32>,
    /// How long it took.
    pub duration: Duration,
}

/// Why an engine can't go on.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The model or its device failed.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The thread could not be started.
    #[error("the model's thread can't be started")]
    Thread(#[source] std::io::Error),
    /// The thread is gone.
    #[error("the model's thread has ended")]
    Gone,
}

impl Engine {
    /// Makes a model on a new thread, asks it once for a blank picture, so that no job pays for the first
    /// call, and waits until it is ready.
    ///
    /// # Errors
    /// What `make` or that first call answered, or [`EngineError::Thread`].
    pub async fn start<F>(make: F) -> Result<Self, EngineError>
    where
        F: FnOnce() -> Result<Box<dyn Model>, ModelError> + Send + 'static,
    {
        let (requests, waiting) = mpsc::channel(1);
        let (ready, started) = oneshot::channel();
        let serve = move || {
            let model = make().and_then(|mut model| {
                let card = model.card();
                let blank = vec![0; usize::from(card.width) * usize::from(card.height)];
                model.predict(&blank)?;
                Ok(model)
            });
            match model {
                Ok(model) => {
                    let _ = ready.send(Ok(model.card().clone()));
                    answer_all(model, waiting);
                }
                Err(error) => {
                    let _ = ready.send(Err(error));
                }
            }
        };
        thread::Builder::new()
            .name("model".to_owned())
            .spawn(serve)
            .map_err(EngineError::Thread)?;
        let card = started.await.map_err(|_| EngineError::Gone)??;
        Ok(Self { card, requests })
    }

    /// What the model is.
    #[must_use]
    pub fn card(&self) -> &ModelCard {
        &self.card
    }

    /// One forward pass, after those asked for before.
    ///
    /// # Errors
    /// [`ModelError::Rejected`] within [`EngineError::Model`] if a picture can't be classified, also when the
    /// model panics on it; anything else means that the engine can't go on.
    pub async fn predict(&self, pixels: Vec<u8>) -> Result<Answer, EngineError> {
        let (answer, answered) = oneshot::channel();
        self.requests
            .send(Request { pixels, answer })
            .await
            .map_err(|_| EngineError::Gone)?;
        Ok(answered.await.map_err(|_| EngineError::Gone)??)
    }
}

fn answer_all(mut model: Box<dyn Model>, mut requests: mpsc::Receiver<Request>) {
    while let Some(Request { pixels, answer }) = requests.blocking_recv() {
        let start = Instant::now();
        let predicted = catch_unwind(AssertUnwindSafe(|| model.predict(&pixels)))
            .unwrap_or_else(|panic| Err(ModelError::Rejected(message(panic.as_ref()))));
        let duration = start.elapsed();
        // A worker that is gone no longer wants the answer; its jobs are back on the queue.
        let _ = answer.send(predicted.map(|log_probabilities| Answer {
            log_probabilities,
            duration,
        }));
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or(panic.downcast_ref::<&str>().copied());
    format!("the model panicked: {}", text.unwrap_or("without a message"))
}
