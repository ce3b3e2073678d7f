//! Somebody's server, which is called back: it keeps what it gets, and answers as it is told to.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::eventually;

/// A call as it came.
#[derive(Debug, Clone)]
pub struct Call {
    /// By lower-case name.
    pub headers: HashMap<String, String>,
    /// As it came.
    pub body: String,
}

impl Call {
    /// The body, read.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("a call's body is JSON")
    }
}

/// The server.
pub struct Receiver {
    port: u16,
    calls: Arc<Mutex<Vec<Call>>>,
    answer: Arc<Mutex<String>>,
}

impl Receiver {
    /// Listens, and answers every call with 204.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let receiver = Self {
            port: listener.local_addr().expect("an address").port(),
            calls: Arc::default(),
            answer: Arc::new(Mutex::new("204 No Content\r\n".to_owned())),
        };
        let (calls, answer) = (Arc::clone(&receiver.calls), Arc::clone(&receiver.answer));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(take(stream, Arc::clone(&calls), Arc::clone(&answer)));
            }
        });
        receiver
    }

    /// Its port, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How it answers from now on: the status, and headers, each with its line's end.
    pub fn answers(&self, status_and_headers: &str) {
        *self.answer.lock().unwrap() = status_and_headers.to_owned();
    }

    /// What it got so far.
    pub fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    /// Waits until it got so many calls.
    pub async fn got(&self, count: usize) -> Vec<Call> {
        eventually(&format!("{count} calls come"), async || {
            self.calls().len() >= count
        })
        .await;
        self.calls()
    }
}

async fn take(mut stream: TcpStream, calls: Arc<Mutex<Vec<Call>>>, answer: Arc<Mutex<String>>) {
    let mut bytes = Vec::new();
    let call = loop {
        let mut more = [0; 4096];
        match stream.read(&mut more).await {
            Ok(count) if count > 0 => bytes.extend_from_slice(&more[..count]),
            _ => return,
        }
        if let Some(call) = whole(&String::from_utf8_lossy(&bytes)) {
            break call;
        }
    };
    calls.lock().unwrap().push(call);
    let answer = answer.lock().unwrap().clone();
    let answer = format!("HTTP/1.1 {answer}Content-Length: 0\r\nConnection: close\r\n\r\n");
    let _ = stream.write_all(answer.as_bytes()).await;
}

/// The call, once all of it is there.
fn whole(text: &str) -> Option<Call> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let headers: HashMap<String, String> = head
        .lines()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let length: usize = headers.get("content-length")?.parse().ok()?;
    (body.len() == length).then(|| Call {
        headers,
        body: body.to_owned(),
    })
}
