//! `POST /classify`: what is taken, how it is answered, and that a refusal leaves nothing behind.

use std::collections::HashSet;

use futures_util::future::join_all;
use mnistq::job::JobId;
use reqwest::StatusCode;
use reqwest::multipart::Form;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use super::served::{Served, file, problem, read_until};

#[tokio::test]
async fn a_form_with_one_file_gets_its_id_and_nothing_else() {
    let served = Served::new();
    let response = served
        .post_form(Form::new().part("file", file("3.png", "digit 3")))
        .await;
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    let location = response.headers()["location"].clone();
    assert_eq!(response.headers()["retry-after"], "1");
    let body: Value = response.json().await.unwrap();
    let id = body["inference_id"].as_str().unwrap();
    assert_eq!(body, json!({ "inference_id": id }));
    assert_eq!(location, format!("/result/{id}"));
    assert!(id.parse::<JobId>().is_ok());
    assert_eq!(served.held(), (1, 1));
}

#[tokio::test]
async fn an_image_may_be_the_body_whatever_it_calls_itself() {
    let served = Served::new();
    for content_type in [
        None,
        Some("image/png"),
        Some("application/x-www-form-urlencoded"),
        Some("multipart/mixed; boundary=x"),
        Some("nonsense"),
    ] {
        let mut request = served.client.post(served.url("/classify")).body("digit 3");
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        assert_eq!(request.send().await.unwrap().status(), 202, "{content_type:?}");
    }
    assert_eq!(served.held(), (5, 5));
}

#[tokio::test]
async fn large_uploads_arrive_whole_with_and_without_a_length() {
    let served = Served::new();
    served.work().await;
    let large = format!("digit 7{}", " ".repeat(5 << 20));
    let pieces: Vec<Result<_, std::io::Error>> = large
        .as_bytes()
        .chunks(70_000)
        .map(|piece| Ok(bytes::Bytes::copy_from_slice(piece)))
        .collect();
    let chunked = reqwest::Body::wrap_stream(futures_util::stream::iter(pieces));
    for body in [reqwest::Body::from(large), chunked] {
        let request = served.client.post(served.url("/classify")).body(body);
        let response = request.header("prefer", "wait=30").send().await.unwrap();
        assert_eq!(response.json::<Value>().await.unwrap()["predicted_class"], 7);
    }
}

#[tokio::test]
async fn whoever_would_rather_wait_gets_the_result_at_once() {
    let served = Served::new();
    served.work().await;
    for prefer in ["wait=20", "respond-async, wait=20"] {
        let request = served.client.post(served.url("/classify")).body("digit 3");
        let response = request.header("prefer", prefer).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["preference-applied"], "wait=20");
        let body: Value = response.json().await.unwrap();
        assert_eq!(
            (&body["predicted_class"], &body["status"]),
            (&json!(3), &json!("succeeded"))
        );
    }
}

#[tokio::test]
async fn whoever_waits_in_vain_gets_the_id() {
    let served = Served::with(|front_end| front_end.settings.max_wait_s = 0);
    let request = served.client.post(served.url("/classify")).body("digit 3");
    let response = request.header("prefer", "wait=20").send().await.unwrap();
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    assert!(!response.headers().contains_key("preference-applied"));
    assert!(response.json::<Value>().await.unwrap()["inference_id"].is_string());
}

#[tokio::test]
async fn of_several_files_each_is_answered_on_its_own_and_in_order() {
    let served = Served::new();
    let form = Form::new()
        .part("file", file("1.png", "digit 1"))
        .text("comment", "not a picture")
        .part("file", file("notes.txt", "notes"))
        .part("file", file("2.png", "digit 2"));
    let response = served.post_form(form).await;
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    let body: Value = response.json().await.unwrap();
    let inferences = body["inferences"].as_array().unwrap();
    let names: Vec<_> = inferences
        .iter()
        .map(|inference| &inference["filename"])
        .collect();
    assert_eq!(names, ["1.png", "notes.txt", "2.png"]);
    assert!(inferences[0]["inference_id"].is_string() && inferences[2]["inference_id"].is_string());
    assert_eq!(inferences[1]["error"]["status"], 415);
    assert_eq!(inferences[1]["inference_id"], Value::Null);
    assert_eq!(served.held(), (2, 2));
}

#[tokio::test]
async fn several_files_of_which_none_can_be_taken_are_refused() {
    let served = Served::new();
    let form = Form::new()
        .part("file", file("a", "damaged"))
        .part("file", file("b", "blank"));
    let refusal = problem(served.post_form(form).await, 422, "unusable-image").await;
    assert_eq!(
        refusal["inferences"][0]["error"]["type"],
        "/problems/damaged-image"
    );
    assert_eq!(
        refusal["inferences"][1]["error"]["type"],
        "/problems/unusable-image"
    );
    assert_eq!(served.held(), (0, 0));
}

#[tokio::test]
async fn what_is_no_picture_is_refused_and_leaves_nothing_behind() {
    let served = Served::new();
    let cases = [
        ("", 400, "empty-upload"),
        ("text", 415, "not-an-image"),
        ("damaged", 400, "damaged-image"),
        ("too large", 422, "too-many-pixels"),
        ("blank", 422, "unusable-image"),
        ("a mistake", 500, "internal"),
    ];
    for (upload, status, kind) in cases {
        problem(served.post(upload).await, status, kind).await;
        let form = Form::new().part("file", file("x", upload));
        problem(served.post_form(form).await, status, kind).await;
    }
    assert_eq!(served.held(), (0, 0));
}

#[tokio::test]
async fn what_is_no_form_with_a_file_is_refused_and_leaves_nothing_behind() {
    let served = Served::new();
    let form = |parameters: &str, body: &'static str| {
        let request = served.client.post(served.url("/classify")).body(body);
        request
            .header("content-type", format!("multipart/form-data{parameters}"))
            .send()
    };
    let field = "--x\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\ndigit 1";
    for (parameters, body) in [
        ("", "--x--\r\n"),
        ("; boundary=", "--x--\r\n"),
        ("; boundary=x", ""),
        ("; boundary=x", "no boundary"),
        ("; boundary=x", field),
        (
            "; boundary=x",
            "--x\r\nContent-Type: image/png\r\n\r\ndigit 1\r\n--x--\r\n",
        ),
    ] {
        problem(form(parameters, body).await.unwrap(), 400, "bad-form").await;
    }
    problem(form("; boundary=x", "--x--\r\n").await.unwrap(), 400, "no-file").await;
    let other = Form::new().part("picture", file("1.png", "digit 1"));
    problem(served.post_form(other).await, 400, "no-file").await;
    assert_eq!(served.held(), (0, 0));
}

#[tokio::test]
async fn many_uploads_at_once_each_get_their_own_id() {
    let served = Served::new();
    let ids = join_all((0..200).map(|_| served.submit("digit 4"))).await;
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 200);
    assert_eq!(served.held(), (200, 200));
}

#[tokio::test]
async fn a_connection_goes_on_after_a_refusal() {
    let served = Served::new();
    let mut stream = served.connect(b"").await;
    for (upload, status) in [("text", 415), ("digit 1", 202), ("blank", 422), ("digit 2", 202)] {
        let length = upload.len();
        let request =
            format!("POST /classify HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{upload}");
        stream.write_all(request.as_bytes()).await.unwrap();
        let answer = read_until(&mut stream, "}").await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    }
}

#[tokio::test]
async fn other_paths_and_methods_are_told_what_there_is() {
    let served = Served::new();
    problem(served.get("/nowhere").await, 404, "no-such-path").await;
    for (method, path, allowed) in [
        (reqwest::Method::GET, "/classify", "POST"),
        (reqwest::Method::PUT, "/classify", "POST"),
        (reqwest::Method::POST, "/result/x", "GET, HEAD, DELETE"),
        (reqwest::Method::DELETE, "/readyz", "GET, HEAD"),
    ] {
        let response = served
            .client
            .request(method, served.url(path))
            .send()
            .await
            .unwrap();
        assert_eq!(response.headers()["allow"], allowed);
        problem(response, 405, "wrong-method").await;
    }
}

#[tokio::test]
async fn the_picture_that_a_model_would_see_is_shown_and_not_queued() {
    let served = Served::new();
    for form in [false, true] {
        let request = served.client.post(served.url("/normalize"));
        let request = if form {
            request.multipart(Form::new().part("file", file("3.png", "digit 3")))
        } else {
            request.body("digit 3")
        };
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let body: Value = response.json().await.unwrap();
        assert_eq!(body, json!({ "width": 1, "height": 1, "pixels": [3] }));
    }
    let refused = served.client.post(served.url("/normalize")).body("text").send();
    problem(refused.await.unwrap(), 415, "not-an-image").await;
    let two = Form::new()
        .part("file", file("3.png", "digit 3"))
        .part("file", file("4.png", "digit 4"));
    let refused = served.client.post(served.url("/normalize")).multipart(two).send();
    problem(refused.await.unwrap(), 422, "too-many-files").await;
    assert_eq!(served.held(), (0, 0));
}

#[tokio::test]
async fn a_flood_is_off_unless_the_operator_allows_it_and_bounded() {
    let served = Served::new();
    let flood = async |served: &Served, n: u32| {
        let request = served.client.post(served.url(&format!("/flood?n={n}")));
        request.send().await.unwrap()
    };
    problem(flood(&served, 1).await, 403, "flood-off").await;
    let served = Served::with(|front_end| front_end.settings.flood = 20);
    problem(flood(&served, 21).await, 422, "flood-size").await;
    problem(flood(&served, 0).await, 422, "flood-size").await;
    let request = served.client.post(served.url("/flood?n=many")).send();
    problem(request.await.unwrap(), 400, "bad-query").await;
    assert_eq!(served.held(), (0, 0));
}
