//! `mnistq queue`: how much waits, and taking all of it back.

use std::num::NonZeroU16;
use std::time::Duration;

use serde_json::json;
use tokio::time::timeout;

use super::seams::Seams;
use crate::broker::Delivery;
use crate::cli::Queue;
use crate::config::Config;
use crate::job::Outcome;
use crate::store::Finished;

/// Jobs that are taken back at the same time.
const AT_ONCE: NonZeroU16 = NonZeroU16::new(256).unwrap();
/// A queue from which nothing comes for so long is empty.
const SILENCE: Duration = Duration::from_millis(500);

/// Does what is asked, and closes.
pub async fn run(asked: &Queue, config: Config) -> anyhow::Result<()> {
    let seams = Seams::open(&config).await?;
    let done = match asked {
        Queue::Stats(flags) => stats(&seams, config.queue.queue_limit, flags.json).await,
        Queue::Purge(flags) => purge(&seams, config.http.result_ttl(), flags.json).await,
    };
    seams.close().await;
    done
}

async fn stats(seams: &Seams, limit: u32, as_json: bool) -> anyhow::Result<()> {
    let waiting = seams.broker.backlog().await?;
    let dead = seams.broker.buried().await?.len();
    if as_json {
        println!("{}", json!({ "waiting": waiting, "limit": limit, "dead": dead }));
    } else {
        println!("{waiting} of {limit} wait; {dead} ended without a model's answer (mnistq dead list)");
    }
    Ok(())
}

/// Each job ends as cancelled before it is taken off: whoever has its id is told.
async fn purge(seams: &Seams, ttl: Duration, as_json: bool) -> anyhow::Result<()> {
    let mut consumer = seams.broker.consume(AT_ONCE).await?;
    let mut purged = 0;
    while let Ok(Some(first)) = timeout(SILENCE, consumer.receive()).await {
        let mut batch = vec![first];
        while batch.len() < usize::from(AT_ONCE.get())
            && let Some(next) = consumer.try_receive()
        {
            batch.push(next);
        }
        let cancelled: Vec<Finished> = batch
            .iter()
            .map(|delivery| Finished {
                id: delivery.id,
                outcome: Outcome::Cancelled,
                ttl: delivery.job.as_ref().map_or(ttl, |job| job.result_ttl),
            })
            .collect();
        // What is not stored goes back to the queue, with all that is still in hand.
        for stored in seams.store.finish(&cancelled).await {
            stored?;
        }
        purged += batch.len();
        batch.into_iter().for_each(Delivery::ack);
    }
    consumer.close().await?;
    if as_json {
        println!("{}", json!({ "purged": purged }));
    } else {
        println!("{purged} cancelled");
    }
    Ok(())
}
