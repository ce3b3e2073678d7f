//! A front end that is killed at any moment, and clients that send again under their key.

use std::collections::HashSet;
use std::sync::Mutex;

use futures_util::future::join_all;

use crate::harness::client::{Client, picture};
use crate::harness::eventually;
use crate::harness::mnistq::Home;
use crate::harness::moments::Moments;
use crate::harness::process::free_port;

const CLIENTS: usize = 8;
const UPLOADS: usize = 30;

#[tokio::test]
async fn an_upload_that_is_sent_again_under_its_key_is_one_inference() {
    let (home, port) = (Home::new(), free_port());
    let mut moments = Moments::new(0x006b_6579);
    let mut front_end = home.serve_on(port, &[]).await;
    let client = Client::new(front_end.url());
    let ids: Mutex<Vec<String>> = Mutex::default();
    let sending = join_all((0..CLIENTS).map(|number| {
        let (client, ids) = (&client, &ids);
        async move {
            for upload in 0..UPLOADS {
                let key = format!("{number}-{upload}");
                let (first, again) = (taken(client, &key).await, taken(client, &key).await);
                assert_eq!(first, again, "two ids under one key");
                ids.lock().unwrap().push(first);
            }
        }
    }));
    let killing = async {
        let mut log = String::new();
        for round in 0..6 {
            let enough = round * 30 + moments.next(30);
            eventually("some uploads are taken", async || {
                ids.lock().unwrap().len() >= enough
            })
            .await;
            log.push_str(&front_end.log());
            front_end.kill();
            front_end = home.serve_on(port, &[]).await;
        }
        (front_end, log)
    };
    let (_, (front_end, mut log)) = tokio::join!(sending, killing);
    let ids = ids.into_inner().unwrap();
    for id in &ids {
        assert_eq!(client.outcome(id).await["predicted_class"], 3);
    }
    log.push_str(&front_end.stop().await.stderr);
    let known: HashSet<&str> = ids.iter().map(String::as_str).collect();
    assert_eq!(known.len(), CLIENTS * UPLOADS);
    for line in log.lines().filter(|line| line.contains("took")) {
        let inferences = line
            .split('"')
            .filter(|text| text.len() >= 36 && text.contains('-'));
        for id in inferences
            .flat_map(str::split_whitespace)
            .filter(|id| id.len() == 36)
        {
            assert!(known.contains(id), "{id} is an inference that nobody knows of");
        }
    }
}

/// Sends until the front end takes it.
async fn taken(client: &Client, key: &str) -> String {
    let mut id = None;
    eventually("the front end takes an upload", async || {
        id = client.try_upload_as(key, picture("three.jpg")).await;
        id.is_some()
    })
    .await;
    id.unwrap()
}
