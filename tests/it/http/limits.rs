//! Bodies that are too large, too slow, cut off or no HTTP at all.

use reqwest::multipart::Form;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::served::{Served, file, problem, read_to_end, read_until};
use crate::harness::within;

const HEAD: &str = "POST /classify HTTP/1.1\r\nHost: x\r\n";

#[tokio::test]
async fn a_body_over_the_limit_is_refused_with_it() {
    let served = Served::with(|front_end| front_end.settings.max_upload_bytes = 100_000);
    let large = "digit 1".repeat(20_000);
    let refusal = problem(served.post(large.clone()).await, 413, "too-large").await;
    assert_eq!(refusal["limit_bytes"], 100_000);
    let stream = futures_util::stream::iter([Ok::<_, std::io::Error>(large)]);
    let chunked = reqwest::Body::wrap_stream(stream);
    problem(served.post(chunked).await, 413, "too-large").await;
    assert_eq!(served.held(), (0, 0));
}

#[tokio::test]
async fn a_form_over_the_limit_is_refused_with_it() {
    let served = Served::with(|front_end| {
        front_end.settings.max_upload_bytes = 10;
        front_end.settings.max_request_bytes = 1000;
    });
    let one = Form::new().part("file", file("1", "digit 1 and more"));
    let refusal = problem(served.post_form(one).await, 413, "too-large").await;
    assert_eq!(refusal["limit_bytes"], 10);
    let whole = Form::new()
        .part("file", file("1", "digit 1"))
        .text("comment", "long".repeat(1000));
    let refusal = problem(served.post_form(whole).await, 413, "too-large").await;
    assert_eq!(refusal["limit_bytes"], 1000);
    assert_eq!(served.held(), (0, 0));

    // In company, only the one that is too large is refused.
    let two = Form::new()
        .part("file", file("1", "digit 1 and more"))
        .part("file", file("2", "digit 2"));
    let response = served.post_form(two).await;
    let body: serde_json::Value = response.json().await.unwrap();
    assert_eq!(body["inferences"][0]["error"]["status"], 413);
    assert!(body["inferences"][1]["inference_id"].is_string());
    assert_eq!(served.held(), (1, 1));
}

#[tokio::test]
async fn a_form_with_too_many_files_is_refused() {
    let served = Served::with(|front_end| front_end.settings.max_files = 2);
    let form = |files: usize| (0..files).fold(Form::new(), |form, _| form.part("file", file("1", "digit 1")));
    problem(served.post_form(form(3)).await, 422, "too-many-files").await;
    assert_eq!(served.held(), (0, 0));
    assert_eq!(served.post_form(form(2)).await.status(), 202);
}

#[tokio::test]
async fn a_length_over_the_limit_is_refused_before_the_body_comes() {
    let served = Served::new();
    for expect in ["", "Expect: 100-continue\r\n"] {
        let head = format!("{HEAD}{expect}Content-Length: 99999999999\r\n\r\n");
        let mut stream = served.connect(head.as_bytes()).await;
        let answer = read_to_end(&mut stream).await;
        assert!(answer.contains("HTTP/1.1 413 "), "{answer}");
        assert!(answer.contains("connection: close"), "{answer}");
    }
}

#[tokio::test]
async fn a_chunked_body_without_end_is_cut_off() {
    let served = Served::with(|front_end| front_end.settings.max_upload_bytes = 10);
    let head = format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n");
    let stream = served.connect(head.as_bytes()).await;
    let (mut reading, mut writing) = stream.into_split();
    let endless = tokio::spawn(async move {
        while writing.write_all(b"10\r\n0123456789abcdef\r\n").await.is_ok() {
            tokio::task::yield_now().await;
        }
    });
    within("the server closes the connection", endless).await.unwrap();
    let mut answer = Vec::new();
    let _ = reading.read_to_end(&mut answer).await;
    assert!(answer.starts_with(b"HTTP/1.1 413 "));
}

#[tokio::test]
async fn a_body_that_comes_too_slowly_is_refused_and_cut_off() {
    let served = Served::with(|front_end| front_end.settings.body_timeout_ms = 100);
    for body in [
        "Content-Length: 7\r\n\r\ndigi",
        "Transfer-Encoding: chunked\r\n\r\n4\r\ndigi\r\n",
    ] {
        let mut stream = served.connect(format!("{HEAD}{body}").as_bytes()).await;
        let answer = read_to_end(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        assert!(answer.contains("connection: close"), "{answer}");
        assert!(answer.contains("/problems/too-slow"), "{answer}");
    }
    assert_eq!(served.held(), (0, 0));
}

#[tokio::test]
async fn an_upload_that_is_cut_off_leaves_nothing_behind() {
    let served = Served::new();
    for body in [
        "Content-Length: 70\r\n\r\ndigit 1",
        "Transfer-Encoding: chunked\r\n\r\n7\r\ndigit 1\r\n",
    ] {
        let mut stream = served.connect(format!("{HEAD}{body}").as_bytes()).await;
        stream.shutdown().await.unwrap();
        let answer = read_to_end(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    }
    assert_eq!(served.held(), (0, 0));
}

#[tokio::test]
async fn what_is_no_http_is_refused() {
    let served = Served::new();
    for garbage in [
        "\x16\x03\x01\x02\x00 hello TLS\r\n\r\n",
        "POST /classify HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\ndigit 1",
        "POST /classify HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\nContent-Length: 8\r\n\r\ndigit 1",
        "POST /classify HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nno length\r\ndigit 1",
    ] {
        let mut stream = served.connect(garbage.as_bytes()).await;
        let answer = read_to_end(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{garbage:?}: {answer}");
    }
    assert_eq!(served.held(), (0, 0));
}

#[tokio::test]
async fn a_client_that_asks_before_it_sends_is_told_to_go_on() {
    let served = Served::new();
    let head = format!("{HEAD}Expect: 100-continue\r\nContent-Length: 7\r\n\r\n");
    let mut stream = served.connect(head.as_bytes()).await;
    let go_on = read_until(&mut stream, "\r\n\r\n").await;
    assert!(go_on.starts_with("HTTP/1.1 100 "), "{go_on}");
    stream.write_all(b"digit 1").await.unwrap();
    let answer = read_until(&mut stream, "}").await;
    assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
}

#[tokio::test]
async fn uploads_that_fill_the_memory_for_them_are_told_to_come_back() {
    let served = Served::with(|front_end| front_end.settings.max_buffered_bytes = 300_000);
    let upload = |bytes: usize| format!("digit 1{}", " ".repeat(bytes));
    let response = served.post(upload(400_000)).await;
    assert_eq!(response.headers()["retry-after"], "1");
    problem(response, 503, "busy").await;
    // What was taken is given back, by those that were refused and by those that were not.
    for _ in 0..3 {
        assert_eq!(served.post(upload(200_000)).await.status(), 202);
        problem(served.post(upload(400_000)).await, 503, "busy").await;
    }
}
