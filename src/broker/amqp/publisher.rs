//! Puts jobs on the queue, over a connection of its own.
//!
//! In come jobs, out go the broker's confirmations: amqprs's own `Ok` means nothing. One task owns the channel and
//! keeps many publishes on their way at once, within bounds; while the link is lost it refuses at once and
//! rebuilds it. Knows nothing of consumers: RabbitMQ stops reading from connections that publish when it is short
//! of memory or disk, and acknowledgements must not be stuck in one.

mod session;

use std::sync::Arc;
use std::time::Duration;

use amqprs::channel::ConfirmSelectArguments;
use futures_util::future::Fuse;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::super::{BrokerError, PublishError};
use super::endpoint::Endpoint;
use super::link::{Event, Link, LinkError, within_opening};
use super::reconnect::{Backoff, Rebuilt, open_patiently};
use super::topology::Topology;
use super::unconfirmed::{Unconfirmed, Waiter};
use crate::job::{JobId, TraceParent};
use session::Session;

/// How long a publisher waits for its confirmation.
const CONFIRM: Duration = Duration::from_secs(2);
/// Most publishes on their way.
const IN_FLIGHT: usize = 1024;
/// Bytes of jobs on their way.
const IN_FLIGHT_BYTES: u32 = 8 * 1024 * 1024;
/// How long the broker may take to count the queue.
const COUNT: Duration = Duration::from_secs(1);

/// The end that publishers hold.
pub struct Publisher {
    endpoint: Endpoint,
    server: String,
    requests: mpsc::UnboundedSender<Request>,
    slots: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    stop: CancellationToken,
}

/// What goes to one of our queues.
#[derive(Debug, Clone)]
pub struct Parcel {
    /// Which queue.
    pub queue: String,
    /// The job's id.
    pub id: JobId,
    /// The job's wire form, or what was in its place.
    pub body: Vec<u8>,
    /// After how long RabbitMQ takes it out of the queue, if it is still there.
    pub deadline: Option<Duration>,
    /// Why it is there, for the operator.
    pub reason: Option<String>,
    /// Where in a trace the job was published.
    pub trace: Option<TraceParent>,
}

enum Request {
    Publish(Parcel, Waiter),
    Count(oneshot::Sender<Result<u64, BrokerError>>),
}

impl Publisher {
    /// Connects, trying for some seconds, and makes the queues.
    pub async fn connect(
        endpoint: Endpoint,
        topology: Topology,
        rebuilt: Rebuilt,
    ) -> Result<Self, BrokerError> {
        let link = open_patiently(&endpoint, || PublishLink::open(&endpoint, &topology)).await?;
        let server = link.link.server();
        let (requests, received) = mpsc::unbounded_channel();
        let stop = CancellationToken::new();
        // RabbitMQ takes all that is on its way when the queue becomes full, so that is no more than once its limit.
        let slots = usize::try_from(topology.queue_limit)
            .unwrap_or(IN_FLIGHT)
            .clamp(1, IN_FLIGHT);
        let actor = Actor {
            endpoint: endpoint.clone(),
            topology,
            requests: received,
            rebuilt,
            stop: stop.clone(),
        };
        tokio::spawn(actor.run(link));
        Ok(Self {
            endpoint,
            server,
            requests,
            slots: Arc::new(Semaphore::new(slots)),
            bytes: Arc::new(Semaphore::new(IN_FLIGHT_BYTES as usize)),
            stop,
        })
    }

    /// Name and version of the broker, as it gave them at first.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Publishes, and waits for the broker's confirmation.
    pub async fn publish(&self, parcel: Parcel) -> Result<(), PublishError> {
        let deadline = Instant::now() + CONFIRM;
        let room = timeout_at(deadline, self.take_room(parcel.body.len()))
            .await
            .map_err(|_| self.error(LinkError::Crowded))?;
        let (answer, answered) = oneshot::channel();
        let waiter = Waiter::new(parcel.id, answer, room);
        self.ask(Request::Publish(parcel, waiter))?;
        match timeout_at(deadline, answered).await {
            Ok(Ok(answer)) => answer,
            _ => Err(PublishError::Unconfirmed),
        }
    }

    /// Asks the broker how many jobs wait, in bounded time.
    pub async fn count(&self) -> Result<u64, BrokerError> {
        let (answer, answered) = oneshot::channel();
        self.ask(Request::Count(answer))?;
        match timeout(COUNT, answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(self.error(LinkError::Lost)),
            Err(_) => Err(self.error(LinkError::Silent(COUNT))),
        }
    }

    /// Lets publishes on their way be confirmed, then disconnects, in bounded time.
    pub async fn close(&self) {
        self.stop.cancel();
        self.requests.closed().await;
    }

    fn ask(&self, request: Request) -> Result<(), BrokerError> {
        let asked = self.requests.send(request);
        asked.map_err(|_| self.error(LinkError::Ended))
    }

    async fn take_room(&self, bytes: usize) -> [OwnedSemaphorePermit; 2] {
        // A job larger than all room goes alone.
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).min(IN_FLIGHT_BYTES);
        let slot = Arc::clone(&self.slots).acquire_owned().await;
        let bytes = Arc::clone(&self.bytes).acquire_many_owned(bytes).await;
        [slot, bytes].map(|permit| permit.expect("these semaphores are never closed"))
    }

    fn error(&self, cause: LinkError) -> BrokerError {
        self.endpoint.error(&Arc::new(cause))
    }
}

/// A link on which the broker confirms.
struct PublishLink {
    link: Link,
    events: mpsc::UnboundedReceiver<Event>,
}

impl PublishLink {
    async fn open(endpoint: &Endpoint, topology: &Topology) -> Result<Self, LinkError> {
        within_opening(async {
            let (link, events) = Link::open(endpoint, "publisher").await?;
            topology.declare(&link).await?;
            let confirms = link.channel.confirm_select(ConfirmSelectArguments::default());
            confirms.await.map_err(|error| link.explain(error))?;
            Ok(Self { link, events })
        })
        .await
    }
}

/// The task that owns the link.
struct Actor {
    endpoint: Endpoint,
    topology: Topology,
    requests: mpsc::UnboundedReceiver<Request>,
    rebuilt: Rebuilt,
    stop: CancellationToken,
}

impl Actor {
    /// Runs until told to stop, or until no publisher is left.
    async fn run(mut self, mut opened: PublishLink) {
        let mut backoff = Backoff::default();
        loop {
            let PublishLink { link, events } = opened;
            let mut session = Session {
                link: &link,
                endpoint: &self.endpoint,
                topology: &self.topology,
                unconfirmed: Unconfirmed::default(),
                askers: Vec::new(),
                counting: Fuse::terminated(),
                backoff: &mut backoff,
            };
            let served = session.serve(events, &mut self.requests, &self.stop).await;
            drop(session);
            let Err(loss) = served else {
                return link.close().await;
            };
            tracing::warn!(
                broker = self.endpoint.address(),
                error = &loss as &dyn std::error::Error,
                "lost the connection that publishes: rebuilding it"
            );
            // A stuck link must not hold up its successor.
            tokio::spawn(link.close());
            opened = match self.reopen(loss, &mut backoff).await {
                Some(opened) => opened,
                None => return,
            };
            self.rebuilt.note();
            tracing::info!(
                broker = self.endpoint.address(),
                "the connection that publishes is back"
            );
        }
    }

    /// Tries without end, refusing all requests meanwhile. None once there is nobody to publish for.
    async fn reopen(&mut self, loss: LinkError, backoff: &mut Backoff) -> Option<PublishLink> {
        let mut cause = Arc::new(loss);
        loop {
            let pause = backoff.pause();
            let attempt = async {
                sleep(pause).await;
                PublishLink::open(&self.endpoint, &self.topology).await
            };
            tokio::pin!(attempt);
            let opened = loop {
                tokio::select! {
                    opened = &mut attempt => break opened,
                    request = self.requests.recv() => match request {
                        Some(Request::Publish(_, waiter)) => waiter.answer(Err(self.endpoint.error(&cause).into())),
                        Some(Request::Count(asker)) => drop(asker.send(Err(self.endpoint.error(&cause)))),
                        None => return None,
                    },
                    () = self.stop.cancelled() => return None,
                }
            };
            match opened {
                Ok(opened) => return Some(opened),
                Err(error) => {
                    let error = Arc::new(error);
                    if error.is_refusal() && !cause.is_refusal() {
                        tracing::error!(
                            broker = self.endpoint.address(),
                            error = &error as &dyn std::error::Error,
                            "the broker no longer wants us: still trying"
                        );
                    }
                    cause = error;
                }
            }
        }
    }
}
