//! The broker for many machines: a quorum queue at a RabbitMQ, through amqprs.
//!
//! A publisher and each consumer have a connection of their own, and a task that owns it, watches it and rebuilds
//! it. Jobs travel in their wire form, with their id as the message's id.

mod consumer;
mod endpoint;
mod graves;
mod hand;
mod link;
mod moves;
mod publisher;
mod reconnect;
mod subscriptions;
mod topology;
mod unconfirmed;

use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Broker, BrokerError, Buried, Cause, Confirm, Consumer, PublishError, Settings};
use crate::address::ServerUrl;
use crate::job::{Job, JobId};
use crate::tls::Trust;
use consumer::Pump;
use endpoint::Endpoint;
use publisher::{Parcel, Publisher};
use reconnect::Rebuilt;
use topology::Topology;

/// A queue at a RabbitMQ.
///
/// A publish that RabbitMQ rejects is taken for a full queue: it says no more. The limit is soft: RabbitMQ takes
/// what is on its way when the queue becomes full, for each front end at most 1,024 jobs, and at most the limit.
pub struct AmqpBroker {
    publisher: Arc<Publisher>,
    endpoint: Endpoint,
    topology: Topology,
    rebuilt: Rebuilt,
}

impl AmqpBroker {
    /// Connects, by TLS if the URL says so, trying for some seconds, and makes the queues: `{queue}.jobs.v1` and what stands behind it
    /// (see `topology`).
    ///
    /// # Errors
    /// [`BrokerError::Unavailable`] if it can't be reached, [`BrokerError::Refused`] if it does not want us, or
    /// has a queue of this name with another limit.
    pub async fn connect(url: &ServerUrl, settings: &Settings, trust: &Trust) -> Result<Self, BrokerError> {
        let refused = |source: Cause| BrokerError::Refused {
            address: url.to_string(),
            source,
        };
        let endpoint = Endpoint::parse(url, trust).map_err(|error| refused(error.into()))?;
        let topology = Topology::new(settings).map_err(|error| refused(error.into()))?;
        let rebuilt = Rebuilt::default();
        let publisher = Publisher::connect(endpoint.clone(), topology.clone(), rebuilt.clone()).await?;
        Ok(Self {
            publisher: Arc::new(publisher),
            endpoint,
            topology,
            rebuilt,
        })
    }
}

#[async_trait]
impl Broker for AmqpBroker {
    /// Confirmations come when RabbitMQ gives them, whatever was asked for.
    async fn publish(&self, job: &Job, deadline: Duration, _: Confirm) -> Result<(), PublishError> {
        let parcel = Parcel {
            queue: self.topology.jobs.clone(),
            id: job.id,
            body: job.encode(),
            deadline: Some(deadline),
            reason: None,
            trace: job.trace,
        };
        self.publisher.publish(parcel).await
    }

    async fn consume(&self, prefetch: NonZeroU16) -> Result<Consumer, BrokerError> {
        let (deliveries, received) = mpsc::channel(prefetch.get().into());
        let stop = CancellationToken::new();
        let pump = Pump {
            endpoint: self.endpoint.clone(),
            topology: self.topology.clone(),
            publisher: Arc::clone(&self.publisher),
            prefetch: prefetch.get(),
            deliveries,
            rebuilt: self.rebuilt.clone(),
            stop: stop.clone(),
        };
        let link = pump.subscribe().await?;
        let running = tokio::spawn(pump.run(link));
        Ok(Consumer::new(received, stop, running))
    }

    async fn backlog(&self) -> Result<u64, BrokerError> {
        self.publisher.count().await
    }

    async fn check(&self) -> Result<(), BrokerError> {
        self.backlog().await.map(drop)
    }

    fn reconnects(&self) -> u64 {
        self.rebuilt.times()
    }

    fn server(&self) -> Option<String> {
        Some(self.publisher.server().to_owned())
    }

    async fn buried(&self) -> Result<Vec<Buried>, BrokerError> {
        let visited = graves::visit(&self.endpoint, &self.topology, &[]).await;
        visited.map_err(|error| self.endpoint.error(&Arc::new(error)))
    }

    async fn exhume(&self, ids: &[JobId]) -> Result<bool, BrokerError> {
        let visited = graves::visit(&self.endpoint, &self.topology, ids).await;
        let buried = visited.map_err(|error| self.endpoint.error(&Arc::new(error)))?;
        Ok(ids.iter().all(|id| buried.iter().any(|buried| buried.id == *id)))
    }

    async fn close(&self) {
        self.publisher.close().await;
    }
}
