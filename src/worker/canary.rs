//! The canary: whether a model may take another's place, asked before it has answered anybody; and whether the one in
//! use still answers as it should.
//!
//! In come engines and pictures whose class is known, out goes why they had better not work. Knows no file, and stores
//! nothing.

use std::pin::pin;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::current::CurrentEngine;
use super::engine::{Engine, EngineError};
use crate::job::Picture;
use crate::metrics::Working;
use crate::model::{Memory, ModelCard, ModelError};

/// A picture that every good model of a service takes for the same.
#[derive(Debug, Clone)]
pub struct KnownPicture {
    /// What is asked.
    pub picture: Picture,
    /// What should be answered.
    pub class: usize,
}

/// Why a model had better not take another's place.
#[derive(Debug, thiserror::Error)]
pub enum CanaryError {
    /// What is queued for the old one would not fit, or clients would not understand its answers.
    #[error("it takes {new}, and the model in use takes {old}")]
    Shape {
        /// What the new one takes and tells.
        new: String,
        /// What the old one takes and tells.
        old: String,
    },
    /// Its answers are no numbers, or none whose probabilities sum to one.
    #[error("it answers with what are no log-probabilities")]
    Numbers,
    /// It has not learned this, or is damaged.
    #[error("it takes {wrong} of {asked} well-known pictures for something else")]
    Wrong {
        /// How many.
        wrong: usize,
        /// Of how many.
        asked: usize,
    },
    /// It can't be asked.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// How far a picture's probabilities may sum to something else than one: what half-precision arithmetic leaves.
const SLACK: f32 = 1e-2;
/// A good model may be wrong about one in so many.
const MAY_BE_WRONG: usize = 5;

/// How long a device may be out of order before somebody sees it, work or no work.
const PAUSE: Duration = Duration::from_secs(60);

/// How long an answer may take, with all that was asked before.
const PATIENCE: Duration = Duration::from_secs(30);

/// Has the engine in use answer its canary now and every minute, and tells what memory of its device is taken. Ends with
/// what is wrong, once something is.
pub(super) async fn watch(engine: CurrentEngine, working: Working) -> EngineError {
    watch_every(PAUSE, engine, working).await
}

async fn watch_every(pause: Duration, engine: CurrentEngine, working: Working) -> EngineError {
    loop {
        let engine = engine.get();
        match check_in_time(&engine).await {
            Ok(None) => {}
            Ok(Some(memory)) => working.note_memory(&engine.card().device, memory.used, memory.total),
            Err(error) => return error,
        }
        drop(engine);
        sleep(pause).await;
    }
}

/// A device that hangs is out of order, too.
async fn check_in_time(engine: &Engine) -> Result<Option<Memory>, EngineError> {
    let mut check = pin!(engine.check());
    // Twice: it may be the whole process that stood still for a while.
    for _ in 0..2 {
        if let Ok(checked) = timeout(PATIENCE, &mut check).await {
            return checked;
        }
    }
    Err(EngineError::Model(ModelError::Broken {
        device: engine.card().device.clone(),
        source: "it has not answered a well-known digit for a minute".into(),
    }))
}

/// Asks the new engine about a blank picture and all that is known.
///
/// # Errors
/// [`CanaryError`] says why it had better not take the old one's place.
pub async fn check(new: &Engine, old: &Engine, known: &[KnownPicture]) -> Result<(), CanaryError> {
    let card = new.card();
    let (width, height) = (card.width, card.height);
    if (width, height, card.classes) != (old.card().width, old.card().height, old.card().classes) {
        return Err(CanaryError::Shape {
            new: shape(card),
            old: shape(old.card()),
        });
    }
    let known: Vec<&KnownPicture> = known
        .iter()
        .filter(|known| (known.picture.width(), known.picture.height()) == (width, height))
        .collect();
    let mut pixels = vec![0; usize::from(width) * usize::from(height)];
    pixels.extend(known.iter().flat_map(|known| known.picture.pixels()));
    let answer = new.predict(pixels).await?.log_probabilities;
    let rows: Vec<&[f32]> = answer.chunks(card.classes.max(1)).collect();
    if rows.len() != known.len() + 1 || !rows.iter().all(|row| sums_to_one(row)) {
        return Err(CanaryError::Numbers);
    }
    let answers = rows[1..].iter().map(|row| surest(row));
    let wrong = answers
        .zip(&known)
        .filter(|(class, known)| *class != Some(known.class));
    let (wrong, asked) = (wrong.count(), known.len());
    if wrong * MAY_BE_WRONG > asked {
        return Err(CanaryError::Wrong { wrong, asked });
    }
    Ok(())
}

fn shape(card: &ModelCard) -> String {
    format!(
        "{}×{} pixels for {} classes",
        card.width, card.height, card.classes
    )
}

/// False also for what is no number.
fn sums_to_one(row: &[f32]) -> bool {
    let sum: f32 = row.iter().map(|log_probability| log_probability.exp()).sum();
    (sum - 1.0).abs() <= SLACK
}

fn surest(row: &[f32]) -> Option<usize> {
    (0..row.len()).max_by(|a, b| row[*a].total_cmp(&row[*b]))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::metrics::Metrics;
    use crate::model::Model;

    /// Answers what the first pixel of a picture says.
    struct Says(ModelCard, fn(u8) -> [f32; 2]);

    impl Model for Says {
        fn card(&self) -> &ModelCard {
            &self.0
        }

        fn predict(&mut self, pixels: &[u8]) -> Result<Vec<f32>, ModelError> {
            Ok(pixels
                .chunks(4)
                .flat_map(|picture| (self.1)(picture[0]))
                .collect())
        }
    }

    async fn engine(height: u16, answer: fn(u8) -> [f32; 2]) -> Engine {
        let card = ModelCard {
            name: "says".to_owned(),
            weights_sha256: String::new(),
            device: "cpu".to_owned(),
            width: 2,
            height,
            classes: 2,
        };
        Engine::start(move || Ok(Box::new(Says(card, answer))), 1)
            .await
            .unwrap()
    }

    fn bright(first: u8) -> [f32; 2] {
        let light = f32::from(first) / 256.0;
        [(1.0 - light).ln(), light.ln()]
    }

    fn known(count: usize) -> Vec<KnownPicture> {
        let known = |index: usize| KnownPicture {
            picture: Picture::new(2, 2, vec![if index % 2 == 1 { 200 } else { 50 }; 4]).unwrap(),
            class: index % 2,
        };
        (0..count).map(known).collect()
    }

    async fn told(new: Engine, known: &[KnownPicture]) -> String {
        let old = engine(2, bright).await;
        match check(&new, &old, known).await {
            Ok(()) => String::new(),
            Err(error) => error.to_string(),
        }
    }

    #[tokio::test]
    async fn a_good_model_passes_also_where_nothing_is_known() {
        assert_eq!(told(engine(2, bright).await, &known(10)).await, "");
        assert_eq!(told(engine(2, bright).await, &[]).await, "");
    }

    #[tokio::test]
    async fn a_model_may_be_wrong_about_a_few() {
        let mut known = known(10);
        known[0].class = 1;
        known[1].class = 0;
        assert_eq!(told(engine(2, bright).await, &known).await, "");
        known[2].class = 1;
        assert_eq!(
            told(engine(2, bright).await, &known).await,
            "it takes 3 of 10 well-known pictures for something else"
        );
    }

    #[tokio::test]
    async fn what_are_no_log_probabilities_are_known() {
        let numbers: [fn(u8) -> [f32; 2]; 3] =
            [|_| [f32::NAN, 0.0], |_| [0.0, 0.0], |_| [f32::INFINITY, 0.0]];
        for answer in numbers {
            let told = told(engine(2, answer).await, &[]).await;
            assert_eq!(told, "it answers with what are no log-probabilities");
        }
    }

    #[tokio::test]
    async fn another_input_is_refused() {
        let told = told(engine(3, |_| [0.0, f32::NEG_INFINITY]).await, &[]).await;
        assert_eq!(
            told,
            "it takes 2×3 pixels for 2 classes, and the model in use takes 2×2 pixels for 2 classes"
        );
    }

    /// What a device does once it has answered so often: counts on, answers otherwise, or never again.
    struct Ages(ModelCard, &'static AtomicU32, fn(u32) -> [f32; 2]);

    impl Model for Ages {
        fn card(&self) -> &ModelCard {
            &self.0
        }

        fn predict(&mut self, _pixels: &[u8]) -> Result<Vec<f32>, ModelError> {
            Ok((self.2)(self.1.fetch_add(1, Ordering::Relaxed)).to_vec())
        }
    }

    /// How a device that is asked about nothing but its canary is found to be out of order.
    async fn found(asked: &'static AtomicU32, answer: fn(u32) -> [f32; 2]) -> String {
        let card = engine(1, bright).await.card().clone();
        let make = move || Ok(Box::new(Ages(card, asked, answer)) as Box<dyn Model>);
        let engine = Engine::start(make, 1).await.unwrap();
        let pause = Duration::from_millis(1);
        let error = watch_every(pause, engine.into(), Metrics::new().working()).await;
        assert!(error.is_broken());
        std::error::Error::source(&error).unwrap().to_string()
    }

    #[tokio::test]
    async fn a_device_is_asked_again_and_again_until_it_answers_otherwise() {
        static ASKED: AtomicU32 = AtomicU32::new(0);
        let told = found(&ASKED, |asked| [if asked < 9 { -0.5 } else { -0.6 }, -1.0]).await;
        assert_eq!(
            told,
            "it answers a well-known digit with [-0.6000, -1.0000] instead of [-0.5000, -1.0000]"
        );
        assert_eq!(ASKED.load(Ordering::Relaxed), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_device_that_hangs_is_out_of_order() {
        static ASKED: AtomicU32 = AtomicU32::new(0);
        let told = found(&ASKED, |asked| {
            if asked < 3 {
                return [-0.5, -1.0];
            }
            loop {
                std::thread::park();
            }
        })
        .await;
        assert_eq!(told, "it has not answered a well-known digit for a minute");
    }
}
