//! Who may ask, and how often: keys, owners, limits, and what browsers are told. Through the real executable.

use std::path::Path;

use reqwest::{Method, Response, StatusCode};
use serde_json::Value;

use crate::harness::browser::Browser;
use crate::harness::client::{http, id_in, picture};
use crate::harness::mnistq::{Home, Mnistq};
use crate::harness::redis::Redis;
use crate::harness::{eventually, within};

/// A new key of this name, in the file `keys` of the home.
async fn make_key(home: &Home, name: &str) -> String {
    let made = home.run(&["keys", "add", name, "--api-keys", "keys"]).await;
    assert_eq!(made.code, Some(0), "{made:?}");
    made.stdout.trim().to_owned()
}

async fn ask(front_end: &Mnistq, method: Method, path: &str, key: Option<&str>) -> Response {
    let mut request = http().request(method, format!("{}{path}", front_end.url()));
    if path.starts_with("/classify") {
        request = request.body(picture("three.jpg"));
    }
    if let Some(key) = key {
        request = request.bearer_auth(key);
    }
    within("an answer", request.send()).await.unwrap()
}

async fn upload(front_end: &Mnistq, key: &str) -> String {
    let response = ask(front_end, Method::POST, "/classify", Some(key)).await;
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    id_in(&response.json().await.unwrap())
}

async fn status(front_end: &Mnistq, method: Method, path: &str, key: &str) -> u16 {
    ask(front_end, method, path, Some(key)).await.status().as_u16()
}

#[tokio::test]
async fn without_a_key_nothing_is_told_but_signs_of_life() {
    let home = Home::new();
    let key = make_key(&home, "alice").await;
    let front_end = home
        .serve(&["--api-keys", "keys", "--log", "info,mnistq::http=debug"])
        .await;
    let guarded = [
        (Method::POST, "/classify"),
        (Method::POST, "/normalize"),
        (Method::POST, "/flood?n=1"),
        (Method::GET, "/live"),
        (Method::GET, "/metrics"),
        (Method::GET, "/result/01a21109-c184-76b9-81af-64d38aef900c"),
        (Method::GET, "/result/01a21109-c184-76b9-81af-64d38aef900c/events"),
        (Method::DELETE, "/result/01a21109-c184-76b9-81af-64d38aef900c"),
        (Method::POST, "/v2/models/mnist/infer"),
        (Method::GET, "/no/such/path"),
    ];
    let wrong = format!("{}x", &key[..key.len() - 1]);
    for (method, path) in guarded {
        for key in [None, Some(wrong.as_str()), Some("")] {
            let response = ask(&front_end, method.clone(), path, key).await;
            assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{path}");
            assert_eq!(response.headers()["www-authenticate"], "Bearer");
            let problem: Value = response.json().await.unwrap();
            assert_eq!(problem["type"], "/problems/no-access");
        }
    }
    // Not in the address, where logs would have it.
    let in_query = ask(&front_end, Method::POST, &format!("/classify?key={key}"), None).await;
    assert_eq!(in_query.status(), StatusCode::UNAUTHORIZED);
    for open in [
        "/livez",
        "/readyz",
        "/",
        "/docs",
        "/openapi.json",
        "/v2/health/live",
        "/v2/health/ready",
    ] {
        let response = ask(&front_end, Method::GET, open, None).await;
        assert_eq!(response.status(), StatusCode::OK, "{open}");
    }
    assert!(!front_end.log().contains("\"client\":\"alice\""));
    assert_eq!(status(&front_end, Method::POST, "/classify", &key).await, 202);
    eventually("the log says who asked", async || {
        front_end.log().contains("\"client\":\"alice\"")
    })
    .await;
}

/// Two clients of a front end, which know nothing of each other.
async fn keep_to_themselves(store: Option<&str>) {
    let home = Home::new();
    let (alice, bob) = (make_key(&home, "alice").await, make_key(&home, "bob").await);
    let second = make_key(&home, "alice").await;
    let mut flags = vec!["--api-keys", "keys"];
    flags.extend(store.into_iter().flat_map(|url| ["--store", url]));
    let front_end = home.serve(&flags).await;
    let id = upload(&front_end, &alice).await;
    let (result, events) = (format!("/result/{id}"), format!("/result/{id}/events"));
    eventually("the owner has the result", async || {
        let answer = ask(&front_end, Method::GET, &result, Some(&alice)).await;
        answer.json::<Value>().await.unwrap()["predicted_class"] == 3
    })
    .await;
    for (method, path) in [
        (Method::GET, &result),
        (Method::GET, &events),
        (Method::DELETE, &result),
    ] {
        assert_eq!(status(&front_end, method, path, &bob).await, 404, "{path}");
    }
    // Another key of the same name is the same client.
    assert_eq!(status(&front_end, Method::GET, &result, &second).await, 200);
    assert_eq!(status(&front_end, Method::GET, &events, &alice).await, 200);
    // A name for an upload is its client's own.
    let named = async |key: &str| {
        let post = http().post(format!("{}/classify", front_end.url()));
        let sent = post
            .bearer_auth(key)
            .header("Idempotency-Key", "mine")
            .body(picture("three.jpg"));
        id_in(&sent.send().await.unwrap().json().await.unwrap())
    };
    let (first, other) = (named(&alice).await, named(&bob).await);
    assert_eq!(first, named(&second).await);
    assert_ne!(first, other);
    assert_eq!(status(&front_end, Method::DELETE, &result, &second).await, 204);
    assert_eq!(status(&front_end, Method::GET, &result, &alice).await, 404);
}

#[tokio::test]
async fn a_result_is_for_the_client_that_submitted_it() {
    keep_to_themselves(None).await;
}

#[tokio::test]
async fn a_result_in_redis_is_for_the_client_that_submitted_it() {
    let redis = Redis::launch().await;
    keep_to_themselves(Some(&redis.url())).await;
}

#[tokio::test]
async fn keys_come_and_go_without_a_restart() {
    let home = Home::new();
    let old = make_key(&home, "alice").await;
    let front_end = home.serve(&["--api-keys", "keys"]).await;
    let new = make_key(&home, "alice").await;
    eventually("the new key is let in", async || {
        status(&front_end, Method::POST, "/classify", &new).await == 202
    })
    .await;
    assert_eq!(status(&front_end, Method::POST, "/classify", &old).await, 202);
    let listed = home.run(&["keys", "list", "--api-keys", "keys"]).await.stdout;
    let fingerprint = listed.split_whitespace().next().unwrap();
    let removed = home
        .run(&["keys", "remove", fingerprint, "--api-keys", "keys"])
        .await;
    assert_eq!(removed.stdout, "1 revoked\n");
    eventually("the old key is not let in any more", async || {
        status(&front_end, Method::POST, "/classify", &old).await == 401
    })
    .await;
    assert_eq!(status(&front_end, Method::POST, "/classify", &new).await, 202);
    // A file that is no list of keys opens no door, and closes none.
    home.write("keys", "alice and bob\n");
    eventually("the fault is told", async || {
        front_end.log().contains("the API keys stay as they were")
    })
    .await;
    assert_eq!(status(&front_end, Method::POST, "/classify", &new).await, 202);
    assert_eq!(status(&front_end, Method::POST, "/classify", &old).await, 401);
}

#[tokio::test]
async fn the_file_of_keys_holds_no_key_and_is_its_owners_alone() {
    let home = Home::new();
    home.write("keys", "# ours\n");
    let key = make_key(&home, "alice").await;
    let file = home.path().join("keys");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(
        text.starts_with("# ours\nalice ") && !text.contains(&key),
        "{text}"
    );
    assert!(is_private(&file));
    let nobody = home.run(&["keys", "remove", "bob", "--api-keys", "keys"]).await;
    assert_eq!(nobody.code, Some(1));
    assert!(nobody.stderr.contains("there is no key bob"), "{nobody:?}");
    let nameless = home.run(&["keys", "add", "a b", "--api-keys", "keys"]).await;
    assert!(nameless.stderr.contains("a key's name has"), "{nameless:?}");
    let nowhere = home.run(&["keys", "list"]).await;
    assert!(nowhere.stderr.contains("--api-keys"), "{nowhere:?}");
}

fn is_private(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(file).unwrap().permissions().mode() & 0o077 == 0
}

#[tokio::test]
async fn nobody_listens_to_other_machines_without_keys_unless_told_to() {
    let home = Home::new();
    let refused = home.run(&["serve", "--bind", "0.0.0.0:0"]).await;
    assert_eq!(refused.code, Some(2));
    for words in ["--bind", "--api-keys", "--public-without-keys"] {
        assert!(refused.stderr.contains(words), "{refused:?}");
    }
    let unreadable = home
        .run(&["serve", "--bind", "0.0.0.0:0", "--api-keys", "none"])
        .await;
    assert_eq!(unreadable.code, Some(1));
    assert!(unreadable.stderr.contains("can't be read"), "{unreadable:?}");
    let mut told = home.start(&["serve", "--bind", "0.0.0.0:0", "--public-without-keys"]);
    told.listen().await;
    make_key(&home, "alice").await;
    let mut keyed = home.start(&["serve", "--bind", "[::]:0", "--api-keys", "keys"]);
    keyed.listen().await;
}

#[tokio::test]
async fn a_client_that_asks_too_often_is_told_when_to_come_back() {
    let home = Home::new();
    let limits = "[access]\nrequests_per_second = 1\nburst = 3\n";
    home.write("config/mnistq/mnistq.toml", limits);
    let (alice, bob) = (make_key(&home, "alice").await, make_key(&home, "bob").await);
    let front_end = home.serve(&["--api-keys", "keys"]).await;
    let mut refused = None;
    eventually("a request too many is refused", async || {
        let response = ask(&front_end, Method::POST, "/classify", Some(&alice)).await;
        assert_eq!(response.headers()["ratelimit-policy"], "\"requests\";q=3;w=3");
        assert!(response.headers().contains_key("ratelimit"));
        if response.status() == StatusCode::ACCEPTED {
            return false;
        }
        refused = Some(response);
        true
    })
    .await;
    let refused = refused.unwrap();
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.headers()["retry-after"], "1");
    assert_eq!(refused.headers()["ratelimit"], "\"requests\";r=0;t=1");
    let problem: Value = refused.json().await.unwrap();
    assert_eq!(problem["type"], "/problems/too-often");
    // Others are not slower for it, and signs of life never.
    assert_eq!(status(&front_end, Method::POST, "/classify", &bob).await, 202);
    for _ in 0..10 {
        let alive = ask(&front_end, Method::GET, "/livez", None).await;
        assert_eq!(alive.status(), StatusCode::OK);
    }
    // Several pictures count as several requests: of three, one is spent.
    let form = reqwest::multipart::Form::new();
    let form = (0..4).fold(form, |form, _| {
        form.part(
            "file",
            reqwest::multipart::Part::bytes(picture("three.jpg")).file_name("a.jpg"),
        )
    });
    let post = http()
        .post(format!("{}/classify", front_end.url()))
        .bearer_auth(&bob);
    let several = post.multipart(form).send().await.unwrap();
    assert_eq!(several.status(), StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn each_address_has_its_own_limit_behind_a_proxy_too() {
    let home = Home::new();
    let limits = "[access]\nrequests_per_second = 1\nburst = 2\nbehind_proxy = true\n";
    home.write("config/mnistq/mnistq.toml", limits);
    let front_end = home.serve(&[]).await;
    let from = async |forwarded: &str| {
        let post = http().post(format!("{}/classify", front_end.url()));
        let sent = post
            .header("X-Forwarded-For", forwarded)
            .body(picture("three.jpg"));
        sent.send().await.unwrap().status().as_u16()
    };
    // What a client claims stands before what the proxy says; a network of IPv6 is one client.
    let mut claims = (0..).map(|claim| format!("10.0.0.{claim}, 2001:db8::{claim:x}"));
    eventually("one client is slowed down", async || {
        from(&claims.next().unwrap()).await == 429
    })
    .await;
    assert_eq!(from("10.0.0.1, 2001:db8:0:1::1").await, 202);
    assert_eq!(from("192.0.2.7").await, 202);
}

#[tokio::test]
async fn whoever_guesses_keys_is_slowed_down() {
    let home = Home::new();
    home.write(
        "config/mnistq/mnistq.toml",
        "[access]\nrequests_per_second = 1\nburst = 5\n",
    );
    let key = make_key(&home, "alice").await;
    let front_end = home.serve(&["--api-keys", "keys"]).await;
    eventually("guesses are refused as too many", async || {
        status(&front_end, Method::GET, "/live", "guess").await == 429
    })
    .await;
    assert_eq!(status(&front_end, Method::POST, "/classify", &key).await, 202);
}

#[tokio::test]
async fn browsers_are_told_to_let_no_other_site_ask_unless_it_is_named() {
    let home = Home::new();
    let front_end = home.serve(&[]).await;
    let asked = async |front_end: &Mnistq, method: Method| {
        let request = http().request(method, format!("{}/classify", front_end.url()));
        let request = request
            .header("Origin", "https://example.org")
            .header("Access-Control-Request-Method", "POST")
            .body(picture("three.jpg"));
        request.send().await.unwrap()
    };
    for method in [Method::OPTIONS, Method::POST] {
        let response = asked(&front_end, method).await;
        assert!(!response.headers().contains_key("access-control-allow-origin"));
        assert_eq!(response.headers()["x-content-type-options"], "nosniff");
        assert_eq!(response.headers()["referrer-policy"], "no-referrer");
        let policy = response.headers()["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("default-src 'none'"), "{policy}");
    }
    home.write(
        "config/mnistq/mnistq.toml",
        "[access]\norigins = [\"https://example.org\"]\n",
    );
    let open = home.serve(&[]).await;
    for method in [Method::OPTIONS, Method::POST] {
        let response = asked(&open, method).await;
        assert!(response.status().is_success(), "{response:?}");
        assert_eq!(
            response.headers()["access-control-allow-origin"],
            "https://example.org"
        );
    }
}

#[tokio::test]
async fn commands_and_the_page_ask_with_a_key() {
    let home = Home::new();
    let key = make_key(&home, "alice").await;
    let front_end = home.serve(&["--api-keys", "keys"]).await;
    home.write("three.jpg", picture("three.jpg"));
    let classify = ["classify", "three.jpg", "--wait", "--server", front_end.url()];
    let refused = home.run(&classify).await;
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("--api-key"), "{refused:?}");
    let variable = [("MNISTQ_API_KEY", key.as_str())];
    assert_eq!(home.run_with(&classify, &variable).await.stdout, "3\n");
    let bench = ["bench", "server", front_end.url(), "--seconds", "0.2", "--json"];
    let measured = home.run_with(&bench, &variable).await;
    assert_eq!(measured.code, Some(0), "{measured:?}");

    let browser = Browser::open(1100, 900).await;
    browser.go(front_end.url()).await;
    eventually("the page asks for a key", async || {
        browser
            .script("return !document.getElementById('key').hidden")
            .await
            == true
    })
    .await;
    let give = format!("document.getElementById('key-text').value = '{key}'");
    browser.script(&give).await;
    browser.click("#key button").await;
    eventually("the page is let in", async || {
        browser
            .script("return document.getElementById('key').hidden")
            .await
            == true
            && browser.text("#backlog").await == "0"
    })
    .await;
    browser.click(".examples button:nth-child(9)").await;
    eventually("the page has its answer", async || {
        browser.text("#answer").await == "8"
    })
    .await;
}
