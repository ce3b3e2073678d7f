//! A client in Rust: uploads a picture, gets an id at once, comes back for the digit.
//!
//! ```text
//! mnistq serve &
//! cargo run --release --example client -- examples/pictures/three.jpg
//! ```

use std::time::Duration;

use anyhow::Context;
use reqwest::multipart::{Form, Part};
use serde_json::Value;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let picture = arguments.next().context("usage: client PICTURE [SERVER]")?;
    let server = arguments
        .next()
        .unwrap_or_else(|| "http://127.0.0.1:8000".to_owned());
    // The project builds reqwest without a default cryptography provider.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::new();

    let part = Part::bytes(std::fs::read(&picture)?).file_name(picture);
    let form = Form::new().part("file", part);
    let accepted = client
        .post(format!("{server}/classify"))
        .multipart(form)
        .send()
        .await?;
    let accepted: Value = accepted.error_for_status()?.json().await?;
    let id = accepted["inference_id"].as_str().context("no id in the answer")?;
    println!("accepted as {id}");

    loop {
        // The server holds the request until the result is there, at most ten seconds.
        let result = client
            .get(format!("{server}/result/{id}"))
            .header("Prefer", "wait=10")
            .send()
            .await?;
        let result: Value = result.error_for_status()?.json().await?;
        match result["status"].as_str() {
            Some("queued") => tokio::time::sleep(Duration::from_millis(100)).await,
            _ => {
                println!("{result:#}");
                return Ok(());
            }
        }
    }
}
