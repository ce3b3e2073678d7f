//! `mnistq dead`: what ended without a model's answer, for the operator.
//!
//! Opens both seams; knows nothing of how a broker keeps what is buried.

use std::io::{Write, stdout};
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::{Value, json};

use super::drawing::draw;
use super::seams::Seams;
use crate::broker::{Buried, Confirm};
use crate::cli::{Dead, DeadJobs};
use crate::config::Config;
use crate::job::{Job, JobId, Picture};
use crate::store::Reservation;
use crate::terminal;

/// Does what is asked, and closes.
pub async fn run(asked: &Dead, config: Config) -> anyhow::Result<()> {
    let seams = Seams::open(&config).await?;
    let done = match asked {
        Dead::List(flags) => list(&seams, flags.json).await,
        Dead::Show(jobs) => show(&seams, jobs).await,
        Dead::Replay(jobs) => replay(&seams, jobs, config.http.deadline()).await,
        Dead::Drop(jobs) => forget(&seams, jobs).await,
    };
    seams.close().await;
    done
}

async fn list(seams: &Seams, as_json: bool) -> anyhow::Result<()> {
    let buried = seams.broker.buried().await?;
    if buried.is_empty() && !as_json {
        eprintln!("no job ended without a model's answer");
    }
    let mut output = stdout();
    for Buried { id, body, reason } in &buried {
        if as_json {
            let line = json!({"inference_id": id, "reason": reason, "bytes": body.len()});
            writeln!(output, "{line}")?;
        } else {
            writeln!(output, "{id}  {reason}")?;
        }
    }
    Ok(())
}

async fn show(seams: &Seams, jobs: &DeadJobs) -> anyhow::Result<()> {
    let mut output = stdout();
    let colours = terminal::colours(&output);
    for Buried { id, body, reason } in chosen(seams, jobs).await? {
        let job = Job::decode(&body);
        if jobs.json {
            let picture = job.as_ref().ok().map(|job| pixels(&job.picture));
            let shown =
                json!({"inference_id": id, "reason": reason, "bytes": body.len(), "picture": picture});
            writeln!(output, "{shown}")?;
            continue;
        }
        writeln!(output, "{id}  {reason}")?;
        match job {
            Ok(job) => writeln!(output, "{}", draw(&job.picture, colours).join("\n"))?,
            Err(error) => writeln!(output, "{} bytes: {error}", body.len())?,
        }
    }
    Ok(())
}

async fn replay(seams: &Seams, jobs: &DeadJobs, deadline: Duration) -> anyhow::Result<()> {
    for Buried { id, body, .. } in chosen(seams, jobs).await? {
        let job = Job::decode(&body).with_context(|| format!("{id} can't be replayed: drop it"))?;
        let job = Job {
            id: JobId::issue(),
            ..job
        };
        // In this order a crash leaves the job in both places, and never in none.
        let reservation = Reservation {
            owner: seams.store.owner(id).await?,
            ..Reservation::new(job.id, deadline, job.result_ttl)
        };
        seams.store.reserve(&reservation).await?;
        if let Err(error) = seams.broker.publish(&job, deadline, Confirm::AtOnce).await {
            // A reservation that stays says nothing to anybody, and expires.
            let _ = seams.store.release(job.id).await;
            return Err(error).with_context(|| format!("{id} stays where it is"));
        }
        seams.broker.exhume(&[id]).await?;
        if jobs.json {
            println!("{}", json!({"inference_id": id, "replayed_as": job.id}));
        } else {
            println!("{id} replayed as {}", job.id);
        }
    }
    Ok(())
}

async fn forget(seams: &Seams, jobs: &DeadJobs) -> anyhow::Result<()> {
    let ids: Vec<JobId> = chosen(seams, jobs)
        .await?
        .iter()
        .map(|buried| buried.id)
        .collect();
    seams.broker.exhume(&ids).await?;
    for id in ids {
        if jobs.json {
            println!("{}", json!({"inference_id": id, "dropped": true}));
        } else {
            println!("{id} dropped");
        }
    }
    Ok(())
}

/// The jobs that were named, in that order; or all.
async fn chosen(seams: &Seams, jobs: &DeadJobs) -> anyhow::Result<Vec<Buried>> {
    let buried = seams.broker.buried().await?;
    if jobs.all {
        return Ok(buried);
    }
    let mut chosen = Vec::new();
    for name in &jobs.ids {
        let found = buried.iter().find(|buried| buried.id.to_string() == *name);
        match found {
            Some(found) => chosen.push(found.clone()),
            None => bail!("{name} is not among the dead: `mnistq dead list` shows them"),
        }
    }
    Ok(chosen)
}

fn pixels(picture: &Picture) -> Value {
    json!({"width": picture.width(), "height": picture.height(), "pixels": picture.pixels()})
}
