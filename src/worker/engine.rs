//! The engine: a model on a thread of its own, which makes it and never lets go of it.
//!
//! In come batches of pixels, out go log-probabilities. Knows no queue and no store. A thread of its own,
//! since a forward pass blocks, and since the work of a GPU must come from one thread.
//!
//! The model answers its canary before it is asked about anything else, and again whenever it is in doubt: after what
//! is no number, a panic, or an error of its device.

mod sound;

use std::collections::VecDeque;
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use crate::model::{Memory, Model, ModelCard, ModelError, Pass};
use sound::Sound;

/// Batches that wait for the thread: while one is in flight the next can be begun without asking anybody.
const WAITING: usize = 2;

/// A handle on a running engine. Dropping it ends the thread.
#[derive(Debug)]
pub struct Engine {
    card: ModelCard,
    depth: usize,
    requests: mpsc::Sender<Request>,
}

#[derive(Debug)]
enum Request {
    Predict(Vec<u8>, oneshot::Sender<Result<Answer, ModelError>>),
    Check(oneshot::Sender<Result<Option<Memory>, ModelError>>),
}

/// What a forward pass gave.
#[derive(Debug)]
pub struct Answer {
    /// For each picture, a log-probability a class.
    pub log_probabilities: Vec<f32>,
    /// How long it took.
    pub duration: Duration,
    /// For how much of that no other pass was in flight that began before.
    pub busy: Duration,
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

impl EngineError {
    /// Whether model or device have failed or answer wrongly: whoever starts them again will most likely see the same.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        matches!(self, Self::Model(ModelError::Broken { .. }))
    }
}

impl Engine {
    /// Makes a model on a new thread, readies it for batches of up to `largest` pictures, so that no job pays for
    /// a first call, has it answer its canary, and waits until all that is done.
    ///
    /// # Errors
    /// What `make` or those first calls answered, or [`EngineError::Thread`].
    pub async fn start<F>(make: F, largest: usize) -> Result<Self, EngineError>
    where
        F: FnOnce() -> Result<Box<dyn Model>, ModelError> + Send + 'static,
    {
        let (requests, waiting) = mpsc::channel(WAITING);
        let (ready, started) = oneshot::channel();
        let serve = move || {
            let model = make().and_then(|mut model| {
                model.warm_up(largest)?;
                Sound::new(model)
            });
            match model {
                Ok(model) => {
                    let _ = ready.send(Ok((model.card().clone(), model.depth())));
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
        let (card, depth) = started.await.map_err(|_| EngineError::Gone)??;
        Ok(Self {
            card,
            depth,
            requests,
        })
    }

    /// What the model is.
    #[must_use]
    pub fn card(&self) -> &ModelCard {
        &self.card
    }

    /// How many batches it should be asked about at once, so that the device never waits for one.
    #[must_use]
    pub fn appetite(&self) -> usize {
        match self.depth {
            1 => 1,
            // And one that waits.
            depth => depth + 1,
        }
    }

    /// One forward pass, after those asked for before.
    ///
    /// # Errors
    /// [`ModelError::Rejected`] within [`EngineError::Model`] if a picture can't be classified, also when the
    /// model panics on it; anything else means that the engine can't go on.
    pub async fn predict(&self, pixels: Vec<u8>) -> Result<Answer, EngineError> {
        let (answer, answered) = oneshot::channel();
        self.ask(Request::Predict(pixels, answer)).await?;
        Ok(answered.await.map_err(|_| EngineError::Gone)??)
    }

    /// Has the model answer its canary, after what was asked before; tells what memory of its device is taken, if that is known.
    ///
    /// # Errors
    /// [`ModelError::Broken`] within [`EngineError::Model`] if it answers wrongly or not at all.
    pub async fn check(&self) -> Result<Option<Memory>, EngineError> {
        let (answer, answered) = oneshot::channel();
        self.ask(Request::Check(answer)).await?;
        Ok(answered.await.map_err(|_| EngineError::Gone)??)
    }

    async fn ask(&self, request: Request) -> Result<(), EngineError> {
        let sent = self.requests.send(request).await;
        sent.map_err(|_| EngineError::Gone)
    }
}

/// A batch that the model has begun.
struct Flight {
    pass: Result<Pass, ModelError>,
    begun: Instant,
    answer: oneshot::Sender<Result<Answer, ModelError>>,
}

fn answer_all(mut model: Sound, mut requests: mpsc::Receiver<Request>) {
    let mut flying: VecDeque<Flight> = VecDeque::new();
    let mut landed = Instant::now();
    loop {
        let next = match flying.len() {
            0 => requests.blocking_recv(),
            // What waits can come to the device while it computes; for what does not wait yet, nobody waits.
            count if count < model.depth() => requests.try_recv().ok(),
            _ => None,
        };
        match next {
            Some(Request::Predict(pixels, answer)) => flying.push_back(Flight {
                begun: Instant::now(),
                pass: model.begin(&pixels),
                answer,
            }),
            Some(Request::Check(answer)) => {
                while let Some(flight) = flying.pop_front() {
                    land(&mut model, flight, &mut landed);
                }
                let _ = answer.send(model.check().map(|()| model.memory()));
            }
            None => match flying.pop_front() {
                Some(flight) => land(&mut model, flight, &mut landed),
                None => return,
            },
        }
    }
}

/// Ends a pass. `landed` is when the one before it ended.
fn land(model: &mut Sound, flight: Flight, landed: &mut Instant) {
    let Flight { pass, begun, answer } = flight;
    let answered = model.end(pass);
    let now = Instant::now();
    let busy = now - begun.max(*landed);
    *landed = now;
    // A worker that is gone no longer wants the answer; its jobs are back on the queue.
    let _ = answer.send(answered.map(|log_probabilities| Answer {
        log_probabilities,
        duration: now - begun,
        busy,
    }));
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::mpsc as blocking;

    use super::*;

    /// What a model of two places is asked, in order.
    #[derive(Debug, PartialEq)]
    enum Asked {
        Begin(u8),
        End(usize),
    }

    /// Has two places, tells what it is asked, and ends a pass when it may.
    struct Twofold {
        card: ModelCard,
        asked: mpsc::UnboundedSender<Asked>,
        may_end: blocking::Receiver<()>,
    }

    impl Model for Twofold {
        fn card(&self) -> &ModelCard {
            &self.card
        }

        fn predict(&mut self, pixels: &[u8]) -> Result<Vec<f32>, ModelError> {
            Ok(pixels.iter().map(|pixel| f32::from(*pixel)).collect())
        }

        fn depth(&self) -> usize {
            2
        }

        fn begin(&mut self, pixels: &[u8]) -> Result<Pass, ModelError> {
            self.asked.send(Asked::Begin(pixels[0])).unwrap();
            Ok(Pass::InFlight {
                bucket: 0,
                place: pixels[0].into(),
                pictures: 1,
            })
        }

        fn end(&mut self, pass: Pass) -> Result<Vec<f32>, ModelError> {
            let Pass::InFlight { place, .. } = pass else {
                panic!("nothing else was begun");
            };
            self.asked.send(Asked::End(place)).unwrap();
            self.may_end.recv().unwrap();
            Ok(vec![place as f32])
        }
    }

    fn card(device: &str) -> ModelCard {
        ModelCard {
            name: "twofold".to_owned(),
            weights_sha256: String::new(),
            device: device.to_owned(),
            width: 1,
            height: 1,
            classes: 1,
        }
    }

    #[tokio::test]
    async fn the_next_batch_is_begun_before_the_one_in_flight_is_waited_for() {
        let (asked, mut told) = mpsc::unbounded_channel();
        let (end, may_end) = blocking::channel();
        let make = move || {
            let card = card("gpu");
            let model: Box<dyn Model> = Box::new(Twofold { card, asked, may_end });
            Ok(model)
        };
        let engine = Engine::start(make, 1).await.unwrap();
        assert_eq!(engine.appetite(), 3);
        let predict = |number| engine.predict(vec![number]);
        let (one, (two, three)) = tokio::join!(predict(1), async {
            // Nothing else is there to begin: it waits for the only one in flight.
            assert_eq!(told.recv().await.unwrap(), Asked::Begin(1));
            assert_eq!(told.recv().await.unwrap(), Asked::End(1));
            let (two, three, ()) = tokio::join!(predict(2), predict(3), async {
                for _ in 0..3 {
                    end.send(()).unwrap();
                }
            });
            (two, three)
        });
        let answers = [one, two, three].map(|answer| answer.unwrap().log_probabilities[0]);
        assert_eq!(answers, [1.0, 2.0, 3.0]);
        for asked in [Asked::Begin(2), Asked::Begin(3), Asked::End(2), Asked::End(3)] {
            assert_eq!(told.recv().await.unwrap(), asked);
        }
    }
}
