//! `/openapi.json` says what is: every example in it is sent to a real server, and every answer is as described.

use boon::{Compiler, Schemas};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Map, Value, json};

use crate::harness::client::http;
use crate::harness::mnistq::{Home, Mnistq};
use crate::harness::within;

/// What the interface says of one method of one path.
struct Operation {
    path: String,
    method: String,
    what: Value,
}

fn operations(interface: &Value) -> Vec<Operation> {
    let mut found = Vec::new();
    for (path, methods) in interface["paths"].as_object().unwrap() {
        for (method, what) in methods.as_object().unwrap() {
            found.push(Operation {
                path: path.clone(),
                method: method.clone(),
                what: what.clone(),
            });
        }
    }
    found
}

async fn interface(front_end: &Mnistq) -> Value {
    let response = http()
        .get(format!("{}/openapi.json", front_end.url()))
        .send()
        .await
        .unwrap();
    assert_eq!(response.headers()["content-type"], "application/json");
    response.json().await.unwrap()
}

/// A request of this operation with all its parameters as their examples have them, but for `id`.
fn request(front_end: &Mnistq, operation: &Operation, id: &str) -> RequestBuilder {
    let mut path = operation.path.clone();
    let mut query = Vec::new();
    let mut headers = Vec::new();
    for parameter in operation.what["parameters"].as_array().into_iter().flatten() {
        let name = parameter["name"].as_str().unwrap();
        let example = match &parameter["example"] {
            Value::String(text) => text.clone(),
            Value::Null => continue,
            other => other.to_string(),
        };
        match parameter["in"].as_str().unwrap() {
            "path" => path = path.replace(&format!("{{{name}}}"), &example),
            "query" => query.push((name.to_owned(), example)),
            "header" => headers.push((name.to_owned(), example)),
            place => panic!("a parameter in {place}"),
        }
    }
    let path = path.replace("{id}", id);
    assert!(!path.contains('{'), "{path}: a parameter without an example");
    let method: Method = operation.method.to_uppercase().parse().unwrap();
    let request = http().request(method, format!("{}{path}", front_end.url()));
    headers
        .into_iter()
        .fold(request.query(&query), |request, (name, value)| {
            request.header(name, value)
        })
}

/// Each example of a body that an operation takes: its type, and its bytes.
async fn bodies(front_end: &Mnistq, operation: &Operation) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let content = operation.what["requestBody"]["content"].as_object();
    for (kind, media) in content.into_iter().flatten() {
        for example in media["examples"].as_object().into_iter().flat_map(Map::values) {
            let bytes = match example["externalValue"].as_str() {
                Some(path) => {
                    let file = http()
                        .get(format!("{}{path}", front_end.url()))
                        .send()
                        .await
                        .unwrap();
                    assert_eq!(file.status(), StatusCode::OK, "{path}");
                    file.bytes().await.unwrap().to_vec()
                }
                None => example["value"].to_string().into_bytes(),
            };
            found.push((kind.clone(), bytes));
        }
    }
    found
}

/// Checks that an answer is one that its operation describes; of texts and events, only that they are some.
async fn is_described(interface: &Value, operation: &Operation, response: Response) -> StatusCode {
    let name = format!("{} {}", operation.method, operation.path);
    let status = response.status();
    let described = &operation.what["responses"][status.as_str()];
    assert!(
        described.is_object(),
        "{name} answers {status}, and does not say so"
    );
    let kind = response
        .headers()
        .get(CONTENT_TYPE)
        .map(|kind| kind.to_str().unwrap().to_owned());
    let Some(kind) = kind else {
        assert!(described["content"].is_null(), "{name} {status} has no content");
        return status;
    };
    let media = &described["content"][&kind];
    assert!(
        media.is_object(),
        "{name} {status} is of type {kind}, and does not say so"
    );
    if kind.starts_with("text/") {
        return status;
    }
    let body: Value = within("the body of an answer", response.json()).await.unwrap();
    let mut schema = media["schema"].clone();
    schema["components"] = interface["components"].clone();
    let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
    compiler.add_resource("interface:/", schema).unwrap();
    let schema = compiler.compile("interface:/", &mut schemas).unwrap();
    if let Err(error) = schemas.validate(&body, schema) {
        panic!("{name} {status}: {body}: {error}");
    }
    if let Some(example) = media["example"].as_object() {
        let keys = |object: &Map<String, Value>| object.keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(body.as_object().unwrap()), keys(example), "{name} {status}");
    }
    status
}

/// Uploads a picture and waits for its result.
async fn answered(front_end: &Mnistq) -> String {
    let picture = http()
        .get(format!("{}/digits/3.png", front_end.url()))
        .send()
        .await
        .unwrap();
    let post = http().post(format!("{}/classify", front_end.url()));
    let sent = post
        .header("prefer", "wait=30")
        .body(picture.bytes().await.unwrap());
    let result: Value = sent.send().await.unwrap().json().await.unwrap();
    result["inference_id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn every_example_is_sent_and_answered_as_described() {
    let home = Home::new();
    home.write("config/mnistq/mnistq.toml", "[http]\nflood = 100\n");
    let front_end = home.serve(&[]).await;
    let interface = interface(&front_end).await;
    let example = interface["components"]["schemas"]["InferenceId"]["example"]
        .as_str()
        .unwrap();
    for operation in operations(&interface) {
        let name = format!("{} {}", operation.method, operation.path);
        let fresh = answered(&front_end).await;
        // The example of an id is too old for a result; a fresh one has one.
        for id in [example, &fresh] {
            let bodies = bodies(&front_end, &operation).await;
            assert_eq!(
                bodies.is_empty(),
                operation.what["requestBody"].is_null(),
                "{name}: a body without an example"
            );
            let mut requests: Vec<RequestBuilder> = bodies
                .into_iter()
                .map(|(kind, bytes)| {
                    request(&front_end, &operation, id)
                        .header(CONTENT_TYPE, kind)
                        .body(bytes)
                })
                .collect();
            if requests.is_empty() {
                requests.push(request(&front_end, &operation, id));
            }
            for request in requests {
                let response = within(&name, request.send()).await.unwrap();
                let status = is_described(&interface, &operation, response).await;
                let too_old = operation.path.contains("{id}") && id == example;
                assert_eq!(status == StatusCode::GONE, too_old, "{name}: {status}");
                assert_eq!(status.is_success(), !too_old, "{name}: {status}");
            }
        }
    }
}

#[tokio::test]
async fn refusals_are_as_described_too() {
    let home = Home::new();
    let front_end = home.serve(&[]).await;
    let interface = interface(&front_end).await;
    let unknown = uuid::Uuid::now_v7().to_string();
    for operation in operations(&interface) {
        let mut refused = vec![request(&front_end, &operation, &unknown)];
        if operation.what["requestBody"].is_object() {
            refused = vec![
                request(&front_end, &operation, &unknown),
                request(&front_end, &operation, &unknown).body("no picture"),
                request(&front_end, &operation, &unknown).json(&json!({ "inputs": [] })),
            ];
        }
        for request in refused {
            let response = within("an answer", request.send()).await.unwrap();
            is_described(&interface, &operation, response).await;
        }
    }
}

#[tokio::test]
async fn all_that_is_served_is_described_and_has_words() {
    let home = Home::new();
    let front_end = home.serve(&[]).await;
    let interface = interface(&front_end).await;
    assert_eq!(interface["openapi"], "3.1.0");
    let described: Vec<String> = operations(&interface)
        .into_iter()
        .map(|operation| {
            assert!(
                operation.what["summary"].is_string(),
                "{} has no summary",
                operation.path
            );
            let tag = &operation.what["tags"][0];
            let tags = interface["tags"].as_array().unwrap();
            assert!(
                tags.iter().any(|known| known["name"] == *tag),
                "{tag} has no words"
            );
            format!("{} {}", operation.method, operation.path)
        })
        .collect();
    // The paths as the source registers them, but for the files of the pages.
    let sources = [
        include_str!("../../src/http/routes.rs"),
        include_str!("../../src/http/kserve/mod.rs"),
    ];
    for source in sources {
        for (_, rest) in source
            .match_indices("resource(\"")
            .map(|(at, found)| (at, &source[at + found.len()..]))
        {
            let (path, rest) = rest.split_once('"').unwrap();
            let (_, methods) = rest.split_once('"').unwrap();
            let (methods, _) = methods.split_once('"').unwrap();
            for method in methods.split(", ").filter(|method| *method != "HEAD") {
                let operation = format!("{} {path}", method.to_lowercase());
                let known = path == "/openapi.json" || described.contains(&operation);
                assert!(known, "{operation} is not described");
            }
        }
    }
}
