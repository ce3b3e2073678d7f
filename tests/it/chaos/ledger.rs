//! What clients were told, on disk before they go on: whatever dies, what was promised is known.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

/// Most attempts that share one write to the disk.
const AT_ONCE: usize = 256;

/// What a client means to do with its upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It waits for the outcome.
    Plain,
    /// It wants the outcome soon or not at all.
    Brief,
    /// It takes it back at once.
    Cancelled,
}

/// How an upload was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// 202 with this id.
    Accepted(String),
    /// Another status, and the id that may be answered all the same.
    Refused(u16, Option<String>),
    /// No answer.
    Broken(String),
}

/// One upload, and what its client saw of it.
#[derive(Debug, Clone)]
pub struct Attempt {
    pub kind: Kind,
    pub class: u64,
    pub began: Duration,
    pub answered: Duration,
    pub fate: Fate,
    /// The outcome, if it came while the client waited.
    pub outcome: Option<Value>,
    /// The longest that any of its calls took.
    pub longest: Duration,
}

type Line = (Vec<u8>, oneshot::Sender<()>);

/// All attempts, by their time since the ledger was opened.
pub struct Ledger {
    start: Instant,
    lines: mpsc::UnboundedSender<Line>,
}

impl Ledger {
    /// A new ledger in this file.
    pub fn open(path: &Path) -> Self {
        let mut file = File::create(path).expect("a file for the ledger");
        let (lines, mut written) = mpsc::unbounded_channel::<Line>();
        std::thread::spawn(move || {
            let mut batch = Vec::new();
            while written.blocking_recv_many(&mut batch, AT_ONCE) > 0 {
                let (bytes, waiting): (Vec<_>, Vec<_>) = batch.drain(..).unzip();
                file.write_all(&bytes.concat()).expect("room for the ledger");
                file.sync_data().expect("a disk for the ledger");
                for client in waiting {
                    let _ = client.send(());
                }
            }
        });
        Self {
            start: Instant::now(),
            lines,
        }
    }

    /// When it was opened.
    pub fn start(&self) -> Instant {
        self.start
    }

    /// The time since then.
    pub fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// Writes an answer down; ends once it is on the disk.
    pub async fn note(&self, attempt: &Attempt) {
        let (status, id) = match &attempt.fate {
            Fate::Accepted(id) => (202, Some(id)),
            Fate::Refused(status, id) => (*status, id.as_ref()),
            Fate::Broken(_) => (0, None),
        };
        let line = json!({
            "began": attempt.began.as_secs_f64(),
            "answered": attempt.answered.as_secs_f64(),
            "kind": format!("{:?}", attempt.kind),
            "class": attempt.class,
            "status": status,
            "id": id,
        });
        let (done, written) = oneshot::channel();
        let sent = self.lines.send((format!("{line}\n").into_bytes(), done));
        sent.expect("the ledger's thread lives as long as it");
        written.await.expect("the ledger is written");
    }
}
