//! What all requests share: the seams, the limits, and whether the front end is stopping.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::access::Access;
use super::body::Limits;
use super::decode::Decoder;
use super::health::Readiness;
use super::pace::Pace;
use super::request_id::RequestIds;
use super::seen::Seen;
use super::{Courier, FrontEnd, Offer, Settings};
use crate::broker::Broker;
use crate::job::JobId;
use crate::metrics::{Metrics, Serving};
use crate::store::{Entry, First, ResultStore, StoreError};
use crate::tls::Identity;
use crate::traces::Traces;

/// How often files of keys and certificates are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// What all requests share.
pub struct State {
    /// Where jobs go.
    pub broker: Arc<dyn Broker>,
    /// Where outcomes are.
    pub store: Arc<dyn ResultStore>,
    /// What turns uploads into pictures.
    pub decoder: Decoder,
    /// One permit for each byte of unread uploads that may be in memory.
    pub room: Arc<Semaphore>,
    /// Who makes callbacks; none: they are off.
    pub courier: Option<Arc<Courier>>,
    /// Whom it lets ask.
    pub access: Access,
    /// By which certificate it is known, if it speaks TLS.
    pub identity: Option<Arc<Identity>>,
    /// What clients of the Open Inference Protocol find.
    pub offer: Offer,
    /// What is counted.
    pub serving: Serving,
    /// What is told of requests.
    pub traces: Traces,
    /// Names for requests that have none.
    pub request_ids: RequestIds,
    /// What `/metrics` tells, if it does.
    pub metrics: Option<Metrics>,
    /// Limits.
    pub settings: Settings,
    /// The last word on whether work can be taken.
    pub readiness: Readiness,
    /// How fast the queue drains.
    pub pace: Pace,
    /// What was seen of workers.
    pub seen: Seen,
    /// Cancelled once the front end is told to stop.
    pub shutdown: CancellationToken,
}

impl State {
    /// The state of a front end that decodes as many uploads at once as there are `cores`.
    pub fn new(front_end: FrontEnd, cores: usize, shutdown: CancellationToken) -> Self {
        let FrontEnd {
            broker,
            store,
            reader,
            offer,
            courier,
            access,
            identity,
            serving,
            traces,
            metrics,
            settings,
        } = front_end;
        let room = settings.max_buffered_bytes.min(Semaphore::MAX_PERMITS);
        Self {
            broker,
            store,
            decoder: Decoder::new(reader, cores, serving.clone()),
            courier,
            access,
            identity,
            room: Arc::new(Semaphore::new(room)),
            offer,
            serving,
            traces,
            request_ids: RequestIds::default(),
            metrics,
            settings,
            readiness: Readiness::default(),
            pace: Pace::default(),
            seen: Seen::default(),
            shutdown,
        }
    }

    /// Takes over changes of keys and certificate. Does not end.
    pub async fn follow_files(&self) {
        loop {
            sleep(LOOK).await;
            self.access.follow();
            if let Some(identity) = &self.identity {
                identity.follow();
            }
        }
    }

    /// What a body of at most `max_bytes` may be.
    pub fn limits(&self, max_bytes: usize) -> Limits {
        Limits {
            max_bytes,
            timeout_ms: self.settings.body_timeout_ms,
            room: self.room.clone(),
        }
    }

    /// What is known of a job once it is finished, or after `limit`, or when the front end stops.
    pub async fn wait(&self, id: JobId, limit: Duration, first: First) -> Result<Option<Entry>, StoreError> {
        tokio::select! {
            known = self.store.wait(id, limit, first) => known,
            () = self.shutdown.cancelled() => self.store.fetch(id).await,
        }
    }
}
