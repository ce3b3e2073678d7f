//! The example of one's own model: all that users have with MNISTNet, they have with another network too.

use mnistq::config::Config;
use mnistq::http;
use mnistq::roles::serve;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::harness::client::{Client, picture};
use crate::harness::process::folder;

#[allow(dead_code)]
#[path = "../../examples/custom_model.rs"]
mod custom_model;

#[tokio::test]
async fn another_network_answers_over_the_same_queue_store_and_interface() {
    let folder = folder();
    let database = format!("sqlite:{}", folder.path().join("queue.db").display());
    let config = Config {
        broker: Some(database.parse().unwrap()),
        store: Some(database.parse().unwrap()),
        ..Config::default()
    };
    let listener = http::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    let serving =
        tokio::spawn(
            async move { serve(listener, &config, &custom_model::quarters(), shutdown.into()).await },
        );
    let client = Client::new(&url);
    client.ready().await;

    // Its 7 stands in the lower half.
    let answer = client.post_and_wait(picture("seven-bottom.webp")).await;
    assert_eq!(answer.body["status"], "succeeded", "{answer:?}");
    assert_eq!(answer.body["probabilities"].as_array().unwrap().len(), 4);
    assert_eq!(answer.body["model"]["name"], "quarters");
    let model = reqwest::get(format!("{url}/v2/models/quarters")).await.unwrap();
    let model: Value = model.json().await.unwrap();
    assert_eq!(model["inputs"][0]["shape"], json!([-1, 16, 16]));
    assert_eq!(model["outputs"][1]["shape"], json!([-1, 4]));

    stop.cancel();
    serving.await.unwrap().unwrap();
}
