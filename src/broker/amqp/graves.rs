//! The queue of what was buried, looked at over a connection of its own, which is closed at the end.
//!
//! In come ids to forget, out goes what there is. Whatever is not forgotten goes back as the connection closes.

use std::time::Duration;

use amqprs::channel::{BasicAckArguments, BasicConsumeArguments, BasicQosArguments, QueueDeclareArguments};
use tokio::time::timeout;

use super::super::Buried;
use super::endpoint::Endpoint;
use super::link::{Link, LinkError, within_opening};
use super::topology::{Topology, reason};
use crate::job::JobId;

/// How long the broker may take for a message that is there.
const NEXT: Duration = Duration::from_secs(2);
/// After so long a silence there is nothing more: what an earlier visitor had in hand may still be on its way back.
const SILENCE: Duration = Duration::from_millis(250);

/// All that is buried, oldest first; those with these ids are forgotten.
pub async fn visit(
    endpoint: &Endpoint,
    topology: &Topology,
    forget: &[JobId],
) -> Result<Vec<Buried>, LinkError> {
    // The receiver must live as long as the link.
    let (link, _events) = within_opening(Link::open(endpoint, "visitor")).await?;
    let visited = look(&link, topology, forget).await;
    link.close().await;
    visited
}

async fn look(link: &Link, topology: &Topology, forget: &[JobId]) -> Result<Vec<Buried>, LinkError> {
    let explained = |error| link.explain(error);
    let inspection = QueueDeclareArguments::new(&topology.buried)
        .passive(true)
        .finish();
    let count = link.declare(inspection).await?;
    // No limit: all of them are wanted at once.
    link.channel
        .basic_qos(BasicQosArguments::new(0, 0, false))
        .await
        .map_err(explained)?;
    let consume = BasicConsumeArguments::new(&topology.buried, "").finish();
    let (_, mut messages) = link.channel.basic_consume_rx(consume).await.map_err(explained)?;
    let mut buried = Vec::new();
    let mut seen = 0;
    loop {
        let patience = if seen < count { NEXT } else { SILENCE };
        let message = match timeout(patience, messages.recv()).await {
            Ok(message) => message.ok_or(LinkError::Unsubscribed)?,
            Err(_) if seen < count => return Err(LinkError::Silent(NEXT)),
            Err(_) => return Ok(buried),
        };
        seen += 1;
        let (Some(deliver), Some(properties), Some(body)) =
            (message.deliver, message.basic_properties, message.content)
        else {
            return Err(LinkError::Lost);
        };
        let Some(id) = properties.message_id().and_then(|id| id.parse().ok()) else {
            continue;
        };
        if forget.contains(&id) {
            let ack = BasicAckArguments::new(deliver.delivery_tag(), false);
            link.channel.basic_ack(ack).await.map_err(explained)?;
        }
        buried.push(Buried {
            id,
            body,
            reason: reason(&properties).unwrap_or_default(),
        });
    }
}
