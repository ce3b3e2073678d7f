//! A client of a front end, which asks as any program would.

use reqwest::header::HeaderMap;
use reqwest::multipart::{Form, Part};
use reqwest::{RequestBuilder, StatusCode};
use serde_json::Value;

use super::{eventually, within};

/// The pictures of the story, and the digits that they show.
pub const PICTURES: [(&str, u64); 4] = [
    ("three.jpg", 3),
    ("four-blurry.jpg", 4),
    ("seven-bottom.webp", 7),
    ("photo.jpg", 5),
];

/// Where a picture of the story is.
pub fn picture_file(name: &str) -> String {
    format!("{}/examples/pictures/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// The bytes of a picture of the story.
pub fn picture(name: &str) -> Vec<u8> {
    let file = picture_file(name);
    std::fs::read(&file).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// Asks one front end.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    url: String,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// The status line's number.
    pub status: StatusCode,
    /// All headers.
    pub headers: HeaderMap,
    /// The body, if it is JSON.
    pub body: Value,
}

impl Client {
    /// A client of the front end at `url`.
    pub fn new(url: &str) -> Self {
        Self {
            http: http(),
            url: url.to_owned(),
        }
    }

    /// Uploads a picture as the request's body.
    pub async fn post(&self, picture: Vec<u8>) -> Answer {
        ask(self.to_classify().body(picture)).await
    }

    /// Uploads a picture as the request's body, and waits for the answer.
    pub async fn post_and_wait(&self, picture: Vec<u8>) -> Answer {
        ask(self.to_classify().header("Prefer", "wait=30").body(picture)).await
    }

    /// Uploads files as a form does, each in a field `file`.
    pub async fn post_form(&self, files: &[(&str, Vec<u8>)]) -> Answer {
        let form = files.iter().fold(Form::new(), |form, (name, content)| {
            let part = Part::bytes(content.clone()).file_name((*name).to_owned());
            form.part("file", part)
        });
        ask(self.to_classify().multipart(form)).await
    }

    /// Uploads a picture, and gives its id if the front end took it. The front end may die meanwhile.
    pub async fn try_upload(&self, picture: Vec<u8>) -> Option<String> {
        id_if_taken(self.to_classify().body(picture)).await
    }

    /// As [`Client::try_upload`], under a key.
    pub async fn try_upload_as(&self, key: &str, picture: Vec<u8>) -> Option<String> {
        id_if_taken(self.to_classify().header("Idempotency-Key", key).body(picture)).await
    }

    /// Uploads a picture, and gives its id.
    pub async fn upload(&self, picture: Vec<u8>) -> String {
        let answer = self.post(picture).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
        id_in(&answer.body)
    }

    /// As [`Client::upload`], for an outcome that nobody wants after some time.
    pub async fn upload_for(&self, cancel_after: &str, picture: Vec<u8>) -> String {
        let answer = ask(self
            .to_classify()
            .header("Cancel-After", cancel_after)
            .body(picture))
        .await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
        id_in(&answer.body)
    }

    /// Cancels an id, or erases its result.
    pub async fn delete(&self, id: &str) {
        let answer = ask(self.http.delete(format!("{}/result/{id}", self.url))).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT, "{id}: {answer:?}");
    }

    /// What the front end knows of an id.
    pub async fn result(&self, id: &str) -> Answer {
        ask(self.http.get(format!("{}/result/{id}", self.url))).await
    }

    /// Comes back until the front end can take work.
    pub async fn ready(&self) {
        eventually("the front end is ready", async || {
            let ready = self.http.get(format!("{}/readyz", self.url));
            ask(ready).await.status == StatusCode::OK
        })
        .await;
    }

    /// Comes back until an id is answered.
    pub async fn outcome(&self, id: &str) -> Value {
        let mut outcome = Value::Null;
        eventually("an upload is answered", async || {
            let answer = self.result(id).await;
            assert_eq!(answer.status, StatusCode::OK, "{id}: {answer:?}");
            outcome = answer.body;
            outcome["status"] != "queued"
        })
        .await;
        outcome
    }

    fn to_classify(&self) -> RequestBuilder {
        self.http.post(format!("{}/classify", self.url))
    }
}

/// A client for what [`Client`] does not do.
pub fn http() -> reqwest::Client {
    // An error means that another test has installed it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().unwrap()
}

/// The id in an answer to an upload.
pub fn id_in(body: &Value) -> String {
    let id = body["inference_id"].as_str();
    id.unwrap_or_else(|| panic!("no id in {body}")).to_owned()
}

async fn id_if_taken(request: RequestBuilder) -> Option<String> {
    let response = request.send().await.ok()?;
    if response.status() != StatusCode::ACCEPTED {
        return None;
    }
    let body: Value = response.json().await.ok()?;
    Some(id_in(&body))
}

async fn ask(request: RequestBuilder) -> Answer {
    within("the front end answers", async {
        let response = request.send().await.expect("the front end is there");
        Answer {
            status: response.status(),
            headers: response.headers().clone(),
            body: response.json().await.unwrap_or_default(),
        }
    })
    .await
}
