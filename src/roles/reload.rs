//! New weights while workers work: on SIGHUP, and when the weight file has changed.
//!
//! In come notices and the look of a file, out go engines that have passed the canary, for all workers or for none. What
//! is in use stays in use until then, and whatever goes wrong.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::Service;
use super::work::start_engine;
use crate::config::Config;
use crate::metrics::Working;
use crate::model::ModelCard;
use crate::model::device::DeviceName;
use crate::worker::canary::{self, KnownPicture};
use crate::worker::{CurrentEngine, Engine, Worker};

/// How often to look at the file. A change is taken once it looks the same twice, so that nobody reads along while it is
/// being written.
const PAUSE: Duration = Duration::from_secs(2);

/// Brings new weights to the workers of a process.
pub struct Reloading {
    config: Config,
    service: Service,
    told: Arc<Notify>,
    /// Each with the device that it was started for.
    engines: Vec<(CurrentEngine, DeviceName)>,
    counted: Option<Working>,
    /// The file as it was when it was last read, or when it was to be.
    read: Option<Look>,
}

/// What changes when a file does; none of a file that is not there. A link is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Look {
    length: u64,
    changed: Option<SystemTime>,
    /// Another file under the same name may have the same length and time.
    inode: u64,
}

impl Reloading {
    /// For workers that are still to be started, so that no change of their file is missed.
    pub fn new(config: &Config, service: &Service, told: Arc<Notify>) -> Self {
        Self {
            read: config.model.weights.as_deref().and_then(look),
            config: config.clone(),
            service: service.clone(),
            told,
            engines: Vec::new(),
            counted: None,
        }
    }

    /// Also brings them to this one, on this device.
    pub fn add(&mut self, worker: &Worker, device: DeviceName) {
        self.engines.push((worker.engine.clone(), device));
        self.counted = Some(worker.working.clone());
    }

    /// Goes on until `stop`.
    pub async fn run(mut self, stop: CancellationToken) -> anyhow::Result<()> {
        stop.run_until_cancelled(async {
            let mut last = self.read;
            loop {
                tokio::select! {
                    () = self.told.notified() => self.on_hangup().await,
                    () = sleep(PAUSE) => {}
                }
                let file = self
                    .config
                    .model
                    .weights
                    .as_deref()
                    .filter(|_| !self.engines.is_empty());
                let now = file.and_then(look);
                if now != self.read && now == last {
                    self.reload("the weight file has changed").await;
                }
                last = now;
            }
        })
        .await;
        Ok(())
    }

    async fn on_hangup(&mut self) {
        if self.engines.is_empty() {
            tracing::info!("SIGHUP: no worker is in this process, so there is nothing to reload");
        } else if self.config.model.weights.is_none() {
            tracing::info!(
                "SIGHUP: the weights are those in the executable (no --weights), so there is nothing to reload"
            );
        } else {
            self.reload("SIGHUP").await;
        }
    }

    async fn reload(&mut self, why: &str) {
        // Before it is read: what changes meanwhile is seen at the next look.
        self.read = self.config.model.weights.as_deref().and_then(look);
        match self.replace_all().await {
            Ok((new, old)) if new == old => tracing::info!("{why}: the weights are the same, {new}"),
            Ok((new, old)) => tracing::info!("{why}: the weights {new} are in use now, no longer {old}"),
            Err(error) => {
                tracing::warn!("{why}: the new weights are not taken, the old ones stay in use: {error:#}")
            }
        }
    }

    /// Replaces every engine or none. Answers the SHA-256 of the new weights and of the old ones.
    async fn replace_all(&self) -> anyhow::Result<(String, String)> {
        let known = (self.service.known)();
        let mut made = Vec::new();
        for (place, device) in &self.engines {
            made.push(self.make(&place.get(), *device, &known).await?);
        }
        let sha256 = |engine: &Engine| engine.card().weights_sha256.clone();
        let old = self.engines.first().map(|(place, _)| sha256(&place.get()));
        let new = made.first().map(sha256);
        for ((place, _), engine) in self.engines.iter().zip(made) {
            let (card, old) = (engine.card().clone(), place.get().card().clone());
            place.replace(engine);
            if let Some(counted) = &self.counted {
                counted.note_model(&labels(&card), Some(&labels(&old)));
            }
        }
        Ok((new.unwrap_or_default(), old.unwrap_or_default()))
    }

    /// An engine with what is in the file now, beside the old one: for a while there are two models.
    async fn make(&self, old: &Engine, device: DeviceName, known: &[KnownPicture]) -> anyhow::Result<Engine> {
        let engine = start_engine(&self.config, &self.service, device).await?;
        canary::check(&engine, old, known).await?;
        Ok(engine)
    }
}

fn labels(card: &ModelCard) -> [&str; 3] {
    [&card.name, &card.weights_sha256, &card.device]
}

fn look(file: &Path) -> Option<Look> {
    let metadata = std::fs::metadata(file).ok()?;
    #[cfg(unix)]
    let inode = std::os::unix::fs::MetadataExt::ino(&metadata);
    #[cfg(not(unix))]
    let inode = 0;
    Some(Look {
        length: metadata.len(),
        changed: metadata.modified().ok(),
        inode,
    })
}
