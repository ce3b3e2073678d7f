//! From deliveries to outcomes: one forward pass for a batch, and halves of it when the model rejects one. A job
//! that is suspected of killing workers is asked about alone.
//!
//! In come batches, out go settled pairs of delivery and outcome. What nobody waits for any more, since it was
//! cancelled or its deadline has passed, is not asked about. Knows the engine; stores nothing.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::mpsc;

use super::batch::Batch;
use super::current::CurrentEngine;
use super::engine::{Answer, EngineError};
use super::in_hand::{BatchInHand, InHand};
use crate::broker::{Delivery, Standing};
use crate::job::{Failure, FailureCode, Job, JobId, ModelName, Outcome, Prediction, Timings};
use crate::metrics::Working;
use crate::model::{ModelCard, ModelError};
use crate::store::{Entry, Finished, ResultStore};
use crate::traces::Traces;

/// How long an outcome is kept whose job can't be read, and so can't say.
const UNREADABLE_TTL: Duration = Duration::from_secs(3600);

/// A delivery and its outcome: to be stored, then acknowledged.
#[derive(Debug)]
pub struct Predicted {
    pub delivery: Delivery,
    pub finished: Finished,
    /// It is in hand, and its span goes on, until this is dropped.
    pub in_hand: InHand,
}

/// Predicts batches under a worker's name.
pub struct Predictor {
    pub name: String,
    pub engine: CurrentEngine,
    pub store: Arc<dyn ResultStore>,
    pub working: Working,
    pub traces: Traces,
    pub finished: mpsc::Sender<Vec<Predicted>>,
}

impl Predictor {
    /// Predicts a batch and hands it on to be stored. On an error, and if that receiver is gone, the
    /// deliveries go back to the queue.
    pub async fn predict(&self, batch: Batch) -> Result<(), EngineError> {
        let Batch {
            deliveries: batch,
            flushed_by,
        } = batch;
        // One engine for all of it, also when another takes its place meanwhile.
        let engine = self.engine.get();
        self.working.note_batch(batch.len(), flushed_by);
        let mut in_hand = BatchInHand::new(&batch, &self.working, &self.traces);
        in_hand.span.note_text("mnistq.device", &engine.card().device);
        let mut predicted = Vec::with_capacity(batch.len());
        let mut readable = Vec::with_capacity(batch.len());
        for delivery in batch {
            if delivery.redeliveries > 0 {
                self.working.note_redelivery();
            }
            match check(&delivery, engine.card()) {
                None => readable.push(delivery),
                Some(outcome) => {
                    let in_hand = in_hand.one(&delivery);
                    predicted.push(without_model(delivery, outcome, in_hand));
                }
            }
        }
        let awaited = self.drop_ended(readable).await;
        self.log(&awaited);
        // Suspects come first, from the end: if another kills this worker, it is not their death.
        let (suspects, clear): (Vec<_>, Vec<_>) = awaited
            .into_iter()
            .partition(|delivery| delivery.standing == Standing::Suspect);
        let mut parts = vec![clear];
        parts.extend(suspects.into_iter().map(|suspect| vec![suspect]));
        while let Some(mut part) = parts.pop() {
            if part.is_empty() {
                continue;
            }
            let (started, begun) = (SystemTime::now(), Instant::now());
            let answered = engine.predict(pixels(&part)).await;
            let elapsed = begun.elapsed();
            let (took, busy) = answered
                .as_ref()
                .map_or((elapsed, elapsed), |answer| (answer.duration, answer.busy));
            self.working.note_inference(&engine.card().device, took, busy);
            match answered {
                Ok(answer) => {
                    let answered = Answered {
                        card: engine.card(),
                        answer: &answer,
                        started,
                    };
                    predicted.extend(self.conclude(part, answered, &mut in_hand));
                }
                Err(EngineError::Model(ModelError::Rejected(detail))) => match part.len() {
                    1 => {
                        let failed = failed(FailureCode::Rejected, detail);
                        let part = part.into_iter();
                        predicted.extend(part.map(|delivery| {
                            let in_hand = in_hand.one(&delivery);
                            without_model(delivery, failed.clone(), in_hand)
                        }));
                    }
                    several => {
                        parts.push(part.split_off(several / 2));
                        parts.push(part);
                    }
                },
                Err(broken) => return Err(broken),
            }
        }
        drop(in_hand);
        // A finisher that is gone tells why itself; dropped deliveries return to the queue.
        let _ = self.finished.send(predicted).await;
        Ok(())
    }

    /// Takes off the queue what has an outcome already. A store that is away does not stop the work: what it does not
    /// take, the finisher holds.
    async fn drop_ended(&self, batch: Vec<Delivery>) -> Vec<Delivery> {
        let ids: Vec<JobId> = batch.iter().map(|delivery| delivery.id).collect();
        let entries = match self.store.fetch_all(&ids).await {
            Ok(entries) => entries,
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::debug!(error, "some of a batch may be cancelled or overdue");
                return batch;
            }
        };
        let mut awaited = Vec::with_capacity(batch.len());
        for (delivery, entry) in batch.into_iter().zip(entries) {
            match entry {
                Some(Entry::Finished(_)) => {
                    tracing::debug!(inference_id = %delivery.id, "has its outcome: not asked about");
                    delivery.ack();
                }
                Some(Entry::Queued) | None => awaited.push(delivery),
            }
        }
        awaited
    }

    fn log(&self, batch: &[Delivery]) {
        if tracing::enabled!(tracing::Level::INFO) && !batch.is_empty() {
            let ids: Vec<String> = batch.iter().map(|delivery| delivery.id.to_string()).collect();
            tracing::info!(
                worker = self.name,
                batch_size = batch.len(),
                inferences = ids.join(" "),
                "took"
            );
        }
    }

    fn conclude(
        &self,
        part: Vec<Delivery>,
        answered: Answered<'_>,
        in_hand: &mut BatchInHand<'_>,
    ) -> impl Iterator<Item = Predicted> {
        let Answered {
            card,
            answer,
            started,
        } = answered;
        let batch_size = part.len();
        part.into_iter()
            .zip(answer.log_probabilities.chunks(card.classes))
            .map(move |(delivery, row)| {
                let (accepted_at, reading) = delivery
                    .job
                    .as_ref()
                    .map_or((started, Duration::ZERO), |job| (job.accepted_at, job.reading));
                let before = started.duration_since(accepted_at).unwrap_or_default();
                let queued = before.saturating_sub(reading);
                self.working.note_wait(queued);
                let probabilities: Vec<f32> =
                    row.iter().map(|log_probability| log_probability.exp()).collect();
                let outcome = Outcome::Succeeded(Prediction {
                    predicted_class: most_likely(&probabilities),
                    probabilities,
                    model: ModelName {
                        name: card.name.clone(),
                        weights_sha256: card.weights_sha256.clone(),
                    },
                    worker: self.name.clone(),
                    device: card.device.clone(),
                    batch_size,
                    timings: Timings {
                        reading_ms: milliseconds(reading),
                        queued_ms: milliseconds(queued),
                        inference_ms: milliseconds(answer.duration),
                    },
                });
                let ttl = delivery.job.as_ref().map_or(UNREADABLE_TTL, |job| job.result_ttl);
                let mut in_hand = in_hand.one(&delivery);
                in_hand.span.note("mnistq.batch_size", batch_size as i64);
                Predicted {
                    finished: Finished {
                        id: delivery.id,
                        outcome,
                        ttl,
                    },
                    delivery,
                    in_hand,
                }
            })
    }
}

/// What the model said to a part of a batch, and when it was asked.
struct Answered<'a> {
    card: &'a ModelCard,
    answer: &'a Answer,
    started: SystemTime,
}

/// How a delivery ends that can't be asked about, if it can't.
fn check(delivery: &Delivery, card: &ModelCard) -> Option<Outcome> {
    match delivery.standing {
        Standing::Overdue => return Some(Outcome::Expired),
        Standing::Condemned => {
            let detail = "workers died each time they had this picture in hand, also when it was alone";
            return Some(failed(FailureCode::Poison, detail.to_owned()));
        }
        Standing::Clear | Standing::Suspect => {}
    }
    match &delivery.job {
        Err(error) => Some(failed(FailureCode::Unreadable, error.to_string())),
        Ok(Job { picture, .. }) if (picture.width(), picture.height()) != (card.width, card.height) => {
            let detail = format!(
                "the model takes pictures of {}×{} pixels, and this one has {}×{}",
                card.width,
                card.height,
                picture.width(),
                picture.height()
            );
            Some(failed(FailureCode::Rejected, detail))
        }
        Ok(_) => None,
    }
}

fn failed(code: FailureCode, detail: String) -> Outcome {
    Outcome::Failed {
        error: Failure { code, detail },
    }
}

fn without_model(delivery: Delivery, outcome: Outcome, in_hand: InHand) -> Predicted {
    if let Outcome::Failed { error } = &outcome {
        tracing::warn!(inference_id = %delivery.id, code = ?error.code, "failed: {}", error.detail);
    }
    let ttl = delivery.job.as_ref().map_or(UNREADABLE_TTL, |job| job.result_ttl);
    Predicted {
        finished: Finished {
            id: delivery.id,
            outcome,
            ttl,
        },
        delivery,
        in_hand,
    }
}

fn pixels(part: &[Delivery]) -> Vec<u8> {
    let jobs = part.iter().filter_map(|delivery| delivery.job.as_ref().ok());
    jobs.flat_map(|job| job.picture.pixels()).copied().collect()
}

/// The first of the largest; NaN is never larger.
fn most_likely(probabilities: &[f32]) -> u16 {
    let mut best = 0;
    for (class, probability) in probabilities.iter().enumerate() {
        if *probability > probabilities[best] {
            best = class;
        }
    }
    u16::try_from(best).unwrap_or(u16::MAX)
}

fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
