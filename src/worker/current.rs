//! The engine in use: a worker asks it for each batch, and another can take its place meanwhile.
//!
//! In comes an engine whose model is loaded, out go batches to it from the next one on. Knows no file, no signal, and
//! not what makes a model good.

use std::sync::Arc;

use tokio::sync::watch;

use super::engine::Engine;

/// A handle on the place of a worker's engine; its clones are handles on the same place.
#[derive(Debug, Clone)]
pub struct CurrentEngine(watch::Sender<Arc<Engine>>);

impl CurrentEngine {
    /// The engine that is there. It answers what it is asked, also once another has taken its place.
    #[must_use]
    pub fn get(&self) -> Arc<Engine> {
        Arc::clone(&self.0.borrow())
    }

    /// Puts another engine in its place. A batch in hand is still answered by the old one, whose thread then ends.
    pub fn replace(&self, engine: Engine) {
        self.0.send_replace(Arc::new(engine));
    }
}

impl From<Engine> for CurrentEngine {
    fn from(engine: Engine) -> Self {
        Self(watch::Sender::new(Arc::new(engine)))
    }
}
