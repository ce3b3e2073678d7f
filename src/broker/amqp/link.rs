//! One connection to RabbitMQ with one channel, and every way in which it ends.
//!
//! In comes an endpoint, out go a channel to use and the events that the broker sends by itself. amqprs neither
//! reconnects nor times out, and reports a loss in five different ways: here they become one [`LinkError`]. Knows
//! no job. A link that has failed once is never used again: amqprs may wait for ever on it.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use amqprs::callbacks::{ChannelCallback, ConnectionCallback};
use amqprs::channel::{Channel, QueueDeclareArguments};
use amqprs::connection::Connection;
use amqprs::error::Error;
use amqprs::{Ack, BasicProperties, Cancel, Close, CloseChannel, Nack, Return};
use async_trait::async_trait;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use super::endpoint::Endpoint;

/// How long opening a link may take: RabbitMQ is silent for 3 s before it ends a login that it refuses.
const OPEN: Duration = Duration::from_secs(5);
/// From this long a silence on, RabbitMQ has refused a login; a proxy without a broker is quicker.
const REFUSED_LOGIN: Duration = Duration::from_secs(2);
/// How long taking leave may take, for the channel and for the connection.
const LEAVE: Duration = Duration::from_secs(2);
/// How often a link is looked at, for the losses that amqprs does not report.
const LOOK: Duration = Duration::from_millis(250);
/// Reply codes of AMQP 0-9-1 that another try does not change: access refused, precondition failed, not allowed.
const REFUSALS: [u16; 3] = [403, 406, 530];

/// A connection and its one channel. A channel that the broker closes takes the connection with it: amqprs does
/// not give its number free.
pub struct Link {
    /// To use while the link lives.
    pub channel: Channel,
    connection: Connection,
    farewell: Farewell,
}

/// What the broker says by itself.
#[derive(Debug)]
pub enum Event {
    /// It has these messages.
    Confirmed(Tags),
    /// It does not take these messages.
    Rejected(Tags),
    /// It has no queue for the message with this id; its confirmation follows.
    Unroutable(Option<String>),
    /// It closes the channel or the connection.
    Closed,
}

/// Messages, by the numbers of their publishes.
#[derive(Debug, Clone, Copy)]
pub struct Tags {
    /// The last of them.
    pub last: u64,
    /// Whether all before it, too.
    pub multiple: bool,
}

/// Why there is no link, or no longer.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The broker ended it, and said why.
    #[error("{text} (code {code})")]
    Closed {
        /// AMQP's reply code.
        code: u16,
        /// What it said.
        text: String,
    },
    /// The broker has a queue of this name with other settings.
    #[error(
        "a queue of this name exists with other settings: set `queue_limit` as it was, choose another `queue`, \
         or delete the queue at the broker ({text})"
    )]
    Inequivalent {
        /// What it said.
        text: String,
    },
    /// The broker ended the login without a word.
    #[error("the broker hung up at the login: RabbitMQ does that for a wrong user or password")]
    Login,
    /// No answer in time.
    #[error("no answer within {0:?}")]
    Silent(Duration),
    /// The connection is gone.
    #[error("the connection is lost")]
    Lost,
    /// The broker ended the subscription: the queue was deleted, or has moved.
    #[error("the broker ended the subscription")]
    Unsubscribed,
    /// The broker has no queue for a message.
    #[error("the queue is gone")]
    Unroutable,
    /// More publishes wait for a confirmation than may.
    #[error("too many publishes wait for a confirmation")]
    Crowded,
    /// This end has closed it.
    #[error("it was closed at this end")]
    Ended,
    /// The library failed.
    #[error(transparent)]
    Library(#[from] Error),
}

impl LinkError {
    /// Whether another try will not help.
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Closed { code, .. } => REFUSALS.contains(code),
            Self::Inequivalent { .. } | Self::Login => true,
            _ => false,
        }
    }
}

/// Runs what opens a link, in bounded time.
pub async fn within_opening<T>(opening: impl Future<Output = Result<T, LinkError>>) -> Result<T, LinkError> {
    timeout(OPEN, opening)
        .await
        .unwrap_or(Err(LinkError::Silent(OPEN)))
}

impl Link {
    /// Connects, and opens the channel. To be run [`within_opening`].
    pub async fn open(
        endpoint: &Endpoint,
        name: &str,
    ) -> Result<(Self, mpsc::UnboundedReceiver<Event>), LinkError> {
        let name = format!("mnistq {name} {}", std::process::id());
        let begun = Instant::now();
        let connection = Connection::open(&endpoint.arguments(&name))
            .await
            .map_err(|error| refine(error, begun.elapsed()))?;
        let (events, received) = mpsc::unbounded_channel();
        let farewell = Farewell::default();
        let listener = Listener {
            events,
            farewell: farewell.clone(),
        };
        connection.register_callback(listener.clone()).await?;
        let channel = connection.open_channel(None).await?;
        channel.register_callback(listener).await?;
        let link = Self {
            channel,
            connection,
            farewell,
        };
        Ok((link, received))
    }

    /// Name and version of the broker.
    pub fn server(&self) -> String {
        let told = self.connection.server_properties();
        format!("{} {}", told.product(), told.version())
    }

    /// Declares a queue; gives back how many messages wait in it.
    pub async fn declare(&self, arguments: QueueDeclareArguments) -> Result<u64, LinkError> {
        match self.channel.queue_declare(arguments).await {
            Ok(answer) => Ok(answer.map_or(0, |(_, waiting, _)| waiting.into())),
            Err(error) => Err(match self.explain(error) {
                LinkError::Closed { code: 406, text } => LinkError::Inequivalent { text },
                error => error,
            }),
        }
    }

    /// What lies behind an error of a call: what the broker said, if it said something.
    pub fn explain(&self, error: Error) -> LinkError {
        self.farewell.spoken().unwrap_or(LinkError::Library(error))
    }

    /// Ends when the link is lost, however amqprs shows it. What is lost after a panic within amqprs it can't
    /// see; the users of a link must mistrust one that is silent.
    pub async fn lost(&self) -> LinkError {
        // A failure while nobody listens is never reported, and a channel's end not at all: hence the looks.
        let gone = async {
            while self.connection.is_open() && self.channel.is_open() {
                sleep(LOOK).await;
            }
        };
        tokio::select! {
            // True for a broken socket, false for a broker that closes: both are the end.
            _ = self.connection.listen_network_io_failure() => {}
            () = gone => {}
        }
        self.loss()
    }

    /// Why a link that has ended did.
    pub fn loss(&self) -> LinkError {
        self.farewell.spoken().unwrap_or(LinkError::Lost)
    }

    /// Takes leave: what was sent before has reached the broker's channel. In bounded time.
    pub async fn close(self) {
        let Self {
            channel, connection, ..
        } = self;
        let _ = timeout(LEAVE, channel.close()).await;
        let _ = timeout(LEAVE, connection.close()).await;
    }
}

/// amqprs does not ask RabbitMQ for the reason of a refused login, and gives that of a refused virtual host as a
/// text only.
fn refine(error: Error, elapsed: Duration) -> LinkError {
    let hung_up = ["peer shutdown", "reset by peer"];
    match error {
        Error::NetworkError(text)
            if elapsed >= REFUSED_LOGIN && hung_up.iter().any(|sign| text.contains(sign)) =>
        {
            LinkError::Login
        }
        Error::ConnectionOpenError(text) => {
            let code = REFUSALS
                .into_iter()
                .find(|code| text.contains(&format!("reply_code: {code}")));
            match code {
                Some(code) => LinkError::Closed { code, text },
                None => LinkError::Library(Error::ConnectionOpenError(text)),
            }
        }
        error => LinkError::Library(error),
    }
}

/// What the broker said when it closed the link.
#[derive(Debug, Clone, Default)]
struct Farewell(Arc<OnceLock<(u16, String)>>);

impl Farewell {
    fn spoken(&self) -> Option<LinkError> {
        let (code, text) = self.0.get()?.clone();
        Some(LinkError::Closed { code, text })
    }
}

/// Hears what the broker says by itself. Runs within amqprs's tasks, so it only passes on.
#[derive(Clone)]
struct Listener {
    events: mpsc::UnboundedSender<Event>,
    farewell: Farewell,
}

impl Listener {
    fn pass_on(&self, event: Event) {
        // Nobody listens on a link that is being discarded.
        let _ = self.events.send(event);
    }

    fn hear_farewell(&self, code: u16, text: &str) {
        // The first one is the cause.
        let _ = self.farewell.0.set((code, text.to_owned()));
        self.pass_on(Event::Closed);
    }
}

#[async_trait]
impl ConnectionCallback for Listener {
    async fn close(&mut self, _: &Connection, close: Close) -> Result<(), Error> {
        self.hear_farewell(close.reply_code(), close.reply_text());
        Ok(())
    }

    async fn blocked(&mut self, _: &Connection, _: String) {}

    async fn unblocked(&mut self, _: &Connection) {}

    async fn secret_updated(&mut self, _: &Connection) {}
}

#[async_trait]
impl ChannelCallback for Listener {
    async fn close(&mut self, _: &Channel, close: CloseChannel) -> Result<(), Error> {
        self.hear_farewell(close.reply_code(), close.reply_text());
        Ok(())
    }

    async fn cancel(&mut self, _: &Channel, _: Cancel) -> Result<(), Error> {
        // amqprs ends the stream of messages, which its reader sees.
        Ok(())
    }

    async fn flow(&mut self, _: &Channel, active: bool) -> Result<bool, Error> {
        Ok(active)
    }

    async fn publish_ack(&mut self, _: &Channel, ack: Ack) {
        self.pass_on(Event::Confirmed(Tags {
            last: ack.delivery_tag(),
            multiple: ack.mutiple(),
        }));
    }

    async fn publish_nack(&mut self, _: &Channel, nack: Nack) {
        self.pass_on(Event::Rejected(Tags {
            last: nack.delivery_tag(),
            multiple: nack.multiple(),
        }));
    }

    async fn publish_return(&mut self, _: &Channel, _: Return, properties: BasicProperties, _: Vec<u8>) {
        self.pass_on(Event::Unroutable(properties.message_id().cloned()));
    }
}
