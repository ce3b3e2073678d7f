//! The Open Inference Protocol (KServe v2): a client of it, and nothing else, gets its answers.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use mnistq::http::Offer;
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};

use super::served::{Served, problem};
use crate::harness::client::http;
use crate::harness::mnistq::{Home, Mnistq};
use crate::harness::within;

/// The example of a request in the protocol's text ("Inference Request Examples"), but for its tensors.
fn example(datatype: &str, shape: &[usize], data: Value) -> Value {
    json!({
        "id": "42",
        "inputs": [{ "name": "image", "shape": shape, "datatype": datatype, "data": data }],
        "outputs": [{ "name": "class" }]
    })
}

/// A front end whose model takes pictures of one pixel.
fn one_pixel() -> Served {
    Served::with(|front_end| {
        front_end.offer = Offer {
            width: 1,
            height: 1,
            ..Offer::default()
        };
    })
}

async fn infer(served: &Served, request: &Value, prefer: &str) -> Response {
    let post = served.client.post(served.url("/v2/models/mnist/infer"));
    let sent = post.header("prefer", prefer).json(request).send();
    within("an answer to an inference request", sent).await.unwrap()
}

#[tokio::test]
async fn the_protocol_s_own_example_is_answered_in_its_form() {
    let served = one_pixel();
    served.work().await;
    let response = infer(&served, &example("UINT8", &[3, 1], json!([3, 1, 4])), "").await;
    assert_eq!(response.status(), StatusCode::OK);
    let expected = json!({
        "model_name": "mnist",
        "model_version": "00",
        "id": "42",
        "outputs": [{ "name": "class", "shape": [3], "datatype": "INT64", "data": [3, 1, 4] }]
    });
    assert_eq!(response.json::<Value>().await.unwrap(), expected);
}

#[tokio::test]
async fn tensors_may_be_nested_or_flat_and_of_several_shapes() {
    let served = one_pixel();
    served.work().await;
    for (shape, data) in [
        (vec![2, 1], json!([3, 4])),
        (vec![2, 1, 1], json!([[[3]], [[4]]])),
        (vec![2, 1, 1, 1], json!([[[[3]]], [[[4]]]])),
    ] {
        let mut request = example("UINT8", &shape, data);
        request.as_object_mut().unwrap().remove("outputs");
        let answer: Value = infer(&served, &request, "").await.json().await.unwrap();
        assert_eq!(answer["outputs"][0]["data"], json!([3, 4]), "{answer}");
        assert_eq!(answer["outputs"][1]["name"], "probabilities");
        assert_eq!(answer["outputs"][1]["shape"], json!([2, 10]));
    }
}

#[tokio::test]
async fn a_client_may_take_ids_instead_of_waiting() {
    let served = one_pixel();
    let response = infer(&served, &example("UINT8", &[1, 1], json!([3])), "respond-async").await;
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    assert_eq!(response.headers()["preference-applied"], "respond-async");
    let location = response.headers()["location"].to_str().unwrap().to_owned();
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["id"], "42");
    let id = body["parameters"]["inference_ids"][0].as_str().unwrap();
    assert_eq!(location, format!("/result/{id}"));
    served.work().await;
    let waited = served
        .client
        .get(served.url(&location))
        .header("prefer", "wait=30");
    let result: Value = waited.send().await.unwrap().json().await.unwrap();
    assert_eq!(result["predicted_class"], 3);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_in_the_protocol_s_form_and_leaves_nothing_behind() {
    let served = one_pixel();
    // The first is the protocol's own example, word for word: this model has other inputs.
    let foreign = json!({
        "id": "42",
        "inputs": [
            { "name": "input0", "shape": [2, 2], "datatype": "UINT32", "data": [1, 2, 3, 4] },
            { "name": "input1", "shape": [3], "datatype": "BOOL", "data": [true] }
        ],
        "outputs": [{ "name": "output0" }]
    });
    let mut other_output = example("UINT8", &[1, 1], json!([3]));
    other_output["outputs"][0]["name"] = "output0".into();
    let mut other_input = example("UINT8", &[1, 1], json!([3]));
    other_input["inputs"][0]["name"] = "input0".into();
    for request in [
        foreign,
        other_output,
        other_input,
        json!({}),
        json!([]),
        json!({ "inputs": [] }),
        example("UINT8", &[0, 1], json!([])),
        example("UINT8", &[2, 1], json!([3])),
        example("UINT8", &[1, 2], json!([3, 4])),
        example("UINT8", &[1], json!([3])),
        example("UINT8", &[1, 1], json!([256])),
        example("UINT8", &[1, 1], json!([-1])),
        example("FP32", &[1, 1], json!([1.01])),
        example("UINT8", &[1, 1], json!(["3"])),
        example("UINT8", &[1, 1], json!([null])),
        example("UINT8", &[usize::MAX, usize::MAX], json!([3])),
        example("BYTES", &[1], json!(["no base64!"])),
        example("BYTES", &[1], json!([3])),
        example("INT32", &[1, 1], json!([3])),
    ] {
        let refused = problem(infer(&served, &request, "").await, 400, "bad-inference-request").await;
        assert_eq!(refused["error"], refused["detail"], "{request}");
    }
    let damaged = example(
        "BYTES",
        &[2],
        json!([
            BASE64_STANDARD.encode("digit 3"),
            BASE64_STANDARD.encode("damaged")
        ]),
    );
    problem(infer(&served, &damaged, "").await, 400, "damaged-image").await;
    let other_model = served
        .client
        .post(served.url("/v2/models/resnet/infer"))
        .json(&json!({}));
    let refused = problem(other_model.send().await.unwrap(), 404, "unknown-model").await;
    assert!(
        refused["error"].as_str().unwrap().contains("`mnist`"),
        "{refused}"
    );
    // Of the request with one good picture, that one is cancelled.
    assert_eq!(served.held(), (1, 1));
}

#[tokio::test]
async fn whoever_waits_in_vain_is_told_and_nobody_works_for_them_later() {
    let served = one_pixel();
    let refused = infer(&served, &example("UINT8", &[1, 1], json!([3])), "wait=0").await;
    assert!(refused.headers().contains_key("retry-after"));
    problem(refused, 504, "late").await;
}

async fn ask(front_end: &Mnistq, path: &str) -> Value {
    let response = http()
        .get(format!("{}{path}", front_end.url()))
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::OK, "{path}");
    response.json().await.unwrap()
}

#[tokio::test]
async fn a_real_digit_gets_the_same_answer_as_a_file_as_bytes_and_as_numbers() {
    let home = Home::new();
    let front_end = home.serve(&[]).await;
    assert_eq!(ask(&front_end, "/v2/health/live").await, json!({ "live": true }));
    assert_eq!(
        ask(&front_end, "/v2/health/ready").await,
        json!({ "ready": true })
    );
    assert_eq!(ask(&front_end, "/v2").await["name"], "mnistq");
    assert_eq!(
        ask(&front_end, "/v2/models/mnist/ready").await,
        json!({ "name": "mnist", "ready": true })
    );
    let model = ask(&front_end, "/v2/models/mnist").await;
    assert_eq!(
        model["inputs"],
        json!([{ "name": "image", "datatype": "UINT8", "shape": [-1, 28, 28] }])
    );

    let client = http();
    let file = client
        .get(format!("{}/digits/7.png", front_end.url()))
        .send()
        .await
        .unwrap();
    let file = file.bytes().await.unwrap();
    let normalize = client
        .post(format!("{}/normalize", front_end.url()))
        .body(file.clone());
    let seen: Value = normalize.send().await.unwrap().json().await.unwrap();
    let pixels: Vec<f64> = seen["pixels"]
        .as_array()
        .unwrap()
        .iter()
        .map(|pixel| pixel.as_f64().unwrap())
        .collect();
    let shares: Vec<f64> = pixels.iter().map(|pixel| pixel / 255.0).collect();
    let mut answers = Vec::new();
    for (datatype, shape, data) in [
        ("BYTES", vec![1], json!([BASE64_STANDARD.encode(&file)])),
        ("UINT8", vec![1, 28, 28], json!(pixels)),
        ("FP32", vec![1, 784], json!(shares)),
    ] {
        let input = json!({ "name": "image", "shape": shape, "datatype": datatype, "data": data });
        let post = client.post(format!("{}/v2/models/mnist/infer", front_end.url()));
        let response = post.json(&json!({ "inputs": [input] })).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{datatype}");
        let answer: Value = response.json().await.unwrap();
        assert_eq!(answer["outputs"][0]["data"], json!([7]), "{datatype}");
        assert_eq!(answer["model_version"].as_str().unwrap().len(), 64);
        answers.push(answer["outputs"][1]["data"].clone());
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0], answers[2]);
}
