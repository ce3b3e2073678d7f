//! The page, in a real browser: drawn on, uploaded to, and left alone by its server.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::harness::browser::Browser;
use crate::harness::client::picture_file;
use crate::harness::eventually;
use crate::harness::mnistq::Home;
use crate::harness::process::free_port;

const DESKTOP: (u32, u32) = (1100, 900);
const PHONE: (u32, u32) = (390, 844);

/// Lines as a pen draws them, in shares of the paper.
const THREE: &[(f64, f64)] = &[
    (0.32, 0.25),
    (0.42, 0.17),
    (0.58, 0.18),
    (0.66, 0.28),
    (0.60, 0.41),
    (0.46, 0.47),
    (0.60, 0.52),
    (0.69, 0.64),
    (0.62, 0.78),
    (0.46, 0.84),
    (0.31, 0.77),
];
const SEVEN: &[(f64, f64)] = &[
    (0.28, 0.22),
    (0.48, 0.21),
    (0.70, 0.20),
    (0.62, 0.38),
    (0.54, 0.58),
    (0.48, 0.82),
];

async fn answers(browser: &Browser, digit: &str) {
    eventually(&format!("the page answers {digit}"), async || {
        browser.text("#answer").await == digit
    })
    .await;
}

/// Keeps a picture of the page for a person to look at, below the tests' build folder.
async fn keep(browser: &Browser, name: &str) {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    std::fs::write(folder.join(name), browser.screenshot().await).unwrap();
}

#[tokio::test]
async fn a_digit_is_answered_as_it_is_drawn_and_its_way_is_shown() {
    let home = Home::new();
    let front_end = home.serve(&[]).await;
    let browser = Browser::open(DESKTOP.0, DESKTOP.1).await;
    browser.go(front_end.url()).await;
    browser.draw("#paper", THREE).await;
    answers(&browser, "3").await;
    let way = browser.text(".way").await;
    for word in [
        "uploaded",
        "queued",
        "in a batch",
        "alone",
        "cpu",
        "ms from your stroke",
    ] {
        assert!(way.contains(word), "no {word:?} in {way}");
    }
    let best = browser.text("#bars .best").await;
    assert!(best.starts_with('3') && best.contains('%'), "{best}");
    let ink = browser
        .script("return document.getElementById('seen').getContext('2d').getImageData(0,0,28,28).data.some((v, i) => i % 4 == 0 && v > 200)")
        .await;
    assert_eq!(ink, true, "the picture that the model sees is empty");
    browser.click("#clear").await;
    assert_eq!(browser.text("#answer").await, "–");
    browser.draw("#paper", SEVEN).await;
    answers(&browser, "7").await;
    browser.draw("#paper", &[(0.1, 0.1), (0.9, 0.9)]).await;
    browser.click("#undo").await;
    answers(&browser, "7").await;
    assert_eq!(browser.complaints().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_phone_shows_the_page_whole_and_takes_files_and_examples() {
    let home = Home::new();
    let front_end = home.serve(&[]).await;
    let browser = Browser::open(PHONE.0, PHONE.1).await;
    browser.go(front_end.url()).await;
    browser
        .choose("#file", Path::new(&picture_file("photo.jpg")))
        .await;
    answers(&browser, "5").await;
    browser.click(".examples button:nth-child(9)").await;
    answers(&browser, "8").await;
    browser.draw("#paper", SEVEN).await;
    answers(&browser, "7").await;
    let too_wide = browser
        .script("return document.documentElement.scrollWidth > document.documentElement.clientWidth")
        .await;
    assert_eq!(too_wide, false, "it must be scrolled sideways");
    // At night.
    let dark = json!({"features": [{"name": "prefers-color-scheme", "value": "dark"}]});
    browser.command("Emulation.setEmulatedMedia", dark).await;
    keep(&browser, "page-phone.png").await;
    assert_eq!(browser.complaints().await, Vec::<String>::new());
}

#[tokio::test]
async fn what_is_no_picture_is_told_and_what_can_not_be_answered_too() {
    let home = Home::new();
    let front_end = home.serve(&[]).await;
    let browser = Browser::open(DESKTOP.0, DESKTOP.1).await;
    browser.go(front_end.url()).await;
    let text = home.write("notes.txt", "no picture at all");
    browser.choose("#file", &text).await;
    eventually("the page tells that it is no image", async || {
        browser.text("#trouble").await.contains("Not an image")
    })
    .await;
    // The next one is answered, and nothing is left of the trouble.
    browser.draw("#paper", THREE).await;
    answers(&browser, "3").await;
    assert_eq!(browser.text("#trouble").await, "");
}

#[tokio::test]
async fn a_flood_moves_the_queue_and_earns_a_retry_after() {
    let home = Home::new();
    home.write(
        "config/mnistq/mnistq.toml",
        "[http]\nflood = 500\n[queue]\nqueue_limit = 200\n",
    );
    let front_end = home.serve(&["--workers", "0"]).await;
    let browser = Browser::open(DESKTOP.0, DESKTOP.1).await;
    browser.go(front_end.url()).await;
    eventually("the flood is offered", async || {
        browser
            .script("return !document.getElementById('flood').hidden")
            .await
            == true
    })
    .await;
    browser
        .script("document.getElementById('flood-count').value = 300")
        .await;
    browser.click("#flood button").await;
    eventually("some are refused", async || {
        let flooded = browser.text("#flooded").await;
        flooded.contains("200 queued, 100 refused") && flooded.contains("Retry-After")
    })
    .await;
    eventually("the queue is seen to be full", async || {
        browser.text("#backlog").await == "200"
    })
    .await;
    let _worker = home.start(&["work"]);
    eventually("the queue is seen to be empty again", async || {
        browser.text("#backlog").await == "0"
    })
    .await;
    eventually("the worker is seen", async || {
        browser.text("#workers").await.contains("work-")
    })
    .await;
    browser.draw("#paper", THREE).await;
    answers(&browser, "3").await;
    keep(&browser, "page-desktop.png").await;
}

#[tokio::test]
async fn a_stopped_server_is_announced_and_its_return_too() {
    let (home, port) = (Home::new(), free_port());
    let front_end = home.serve_on(port, &[]).await;
    let browser = Browser::open(DESKTOP.0, DESKTOP.1).await;
    browser.go(front_end.url()).await;
    front_end.stop().await;
    eventually("the page tells that the server is gone", async || {
        browser.text("#trouble").await.contains("does not answer")
    })
    .await;
    browser.draw("#paper", THREE).await;
    let _front_end = home.serve_on(port, &[]).await;
    answers(&browser, "3").await;
    eventually("nothing is left of the trouble", async || {
        browser.text("#trouble").await.is_empty()
    })
    .await;
}

#[tokio::test]
async fn the_interface_is_shown_and_its_examples_can_be_sent() {
    let home = Home::new();
    let front_end = home.serve(&[]).await;
    let browser = Browser::open(DESKTOP.0, DESKTOP.1).await;
    browser.go(&format!("{}/docs", front_end.url())).await;
    eventually("the interface is shown", async || {
        browser.text("main").await.contains("/classify")
    })
    .await;
    let shown = browser.text("main").await;
    for path in ["/result/{id}/events", "/v2/models/{name}/infer", "/readyz"] {
        assert!(shown.contains(path), "{path} in {shown}");
    }
    browser.click("#classify summary").await;
    browser.click("#classify button").await;
    eventually("the example is queued", async || {
        browser
            .text("#classify pre[aria-live]")
            .await
            .contains("inference_id")
    })
    .await;
    // What was given out is what a result is asked for.
    browser.click("#result summary").await;
    browser.click("#result button").await;
    eventually("its result is shown", async || {
        browser
            .text("#result pre[aria-live]")
            .await
            .contains("\"inference_id\"")
    })
    .await;
    keep(&browser, "docs.png").await;
}
