//! TLS: of the front end, of the broker and of the store, each with certificates of an authority of our own.

use reqwest::tls::TlsInfo;
use reqwest::{Client, StatusCode};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::harness::authority::Authority;
use crate::harness::client::{Client as FrontEndClient, picture};
use crate::harness::mnistq::Home;
use crate::harness::process::free_port;
use crate::harness::rabbitmq::RabbitMq;
use crate::harness::redis::Redis;
use crate::harness::{eventually, within};

/// A client that knows servers of this authority alone.
fn client(authority: &Authority) -> Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let pem = std::fs::read(&authority.certificate).unwrap();
    Client::builder()
        .no_proxy()
        .tls_certs_only([reqwest::Certificate::from_pem(&pem).unwrap()])
        .tls_info(true)
        .build()
        .unwrap()
}

#[tokio::test]
async fn a_front_end_speaks_tls_and_takes_over_a_renewed_certificate() {
    let home = Home::new();
    let authority = Authority::found(home.path(), "authority");
    let (certificate, key, first) = authority.issue("server");
    let (certificate, key) = (certificate.to_str().unwrap(), key.to_str().unwrap());
    let flags = ["--tls-cert", certificate, "--tls-key", key];
    let front_end = home.serve(&flags).await;
    assert!(front_end.url().starts_with("https://"));
    // A client that came before would take its session up again, and be shown nothing.
    let shown = async || {
        let response = client(&authority)
            .get(format!("{}/livez", front_end.url()))
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert!(response.headers().contains_key("strict-transport-security"));
        let info: &TlsInfo = response.extensions().get().unwrap();
        info.peer_certificate().unwrap().to_vec()
    };
    assert_eq!(shown().await, first);

    home.write("three.jpg", picture("three.jpg"));
    let ask = [
        "classify",
        "three.jpg",
        "--wait",
        "--timeout",
        "9",
        "--server",
        front_end.url(),
    ];
    let known = [&ask[..], &["--tls-ca", authority.certificate.to_str().unwrap()]].concat();
    assert_eq!(home.run(&known).await.stdout, "3\n");
    let unknown = home.run(&ask).await;
    assert_eq!(unknown.code, Some(1));
    assert!(unknown.stderr.contains("--tls-ca"), "{unknown:?}");

    let (.., second) = authority.issue("server");
    eventually("the renewed certificate is shown", async || {
        shown().await == second
    })
    .await;
    home.write("server.key", "no key");
    eventually("the fault is told", async || {
        front_end.log().contains("certificate and key stay as they were")
    })
    .await;
    assert_eq!(shown().await, second);
}

#[tokio::test]
async fn whoever_does_not_shake_hands_is_cut() {
    let home = Home::new();
    let authority = Authority::found(home.path(), "authority");
    let (certificate, key, _) = authority.issue("server");
    let (certificate, key) = (certificate.to_str().unwrap(), key.to_str().unwrap());
    let front_end = home.serve(&["--tls-cert", certificate, "--tls-key", key]).await;
    let address = front_end.url().trim_start_matches("https://");
    let mut silent = TcpStream::connect(address).await.unwrap();
    let cut = within("a silent client is cut", silent.read_to_end(&mut Vec::new())).await;
    assert!(cut.is_ok_and(|bytes| bytes == 0));
}

#[tokio::test]
async fn what_is_no_certificate_is_refused_by_its_file() {
    let home = Home::new();
    let authority = Authority::found(home.path(), "authority");
    let (certificate, key, _) = authority.issue("server");
    let (other, other_key, _) = authority.issue("other");
    let (certificate, key) = (certificate.to_str().unwrap(), key.to_str().unwrap());
    let serve = async |certificate: &str, key: &str| {
        let flags = [
            "serve",
            "--bind",
            "127.0.0.1:0",
            "--tls-cert",
            certificate,
            "--tls-key",
            key,
        ];
        let output = home.run(&flags).await;
        assert_eq!(output.code, Some(1), "{output:?}");
        output.stderr
    };
    assert!(serve("none.pem", key).await.contains("none.pem can't be read"));
    assert!(serve(key, key).await.contains("no certificate in PEM form"));
    assert!(serve(certificate, certificate).await.contains("the key"));
    assert!(
        serve(certificate, other_key.to_str().unwrap())
            .await
            .contains("can't be used")
    );
    let lone = home.run(&["serve", "--tls-cert", other.to_str().unwrap()]).await;
    assert_eq!(lone.code, Some(2), "{lone:?}");
}

#[tokio::test]
async fn jobs_and_results_travel_by_tls() {
    let home = Home::new();
    let authority = Authority::found(home.path(), "authority");
    let stranger = Authority::found(home.path(), "stranger");
    let (certificate, key, _) = authority.issue("server");
    let (certificate, key) = (certificate.to_str().unwrap(), key.to_str().unwrap());
    let ca = authority.certificate.to_str().unwrap();
    let ports = (free_port(), free_port());
    let rabbitmq = RabbitMq::launch_with(&format!(
        "listeners.ssl.default = {}\nssl_options.cacertfile = {ca}\nssl_options.certfile = {certificate}\n\
         ssl_options.keyfile = {key}\nssl_options.verify = verify_none\nssl_options.fail_if_no_peer_cert = false\n",
        ports.0
    ))
    .await;
    let by_tls = ports.1.to_string();
    let redis = Redis::launch_with(&[
        "--tls-port",
        &by_tls,
        "--tls-cert-file",
        certificate,
        "--tls-key-file",
        key,
        "--tls-ca-cert-file",
        ca,
        "--tls-auth-clients",
        "no",
    ])
    .await;
    let broker = format!("amqps://guest:guest@127.0.0.1:{}", ports.0);
    let store = format!("rediss://127.0.0.1:{}/0", ports.1);
    let seams = ["--broker", &broker, "--store", &store];
    let front_end = home.serve(&[&seams[..], &["--tls-ca", ca]].concat()).await;
    let _worker = home.start(&[&["work"], &seams[..], &["--tls-ca", ca]].concat());
    let client = FrontEndClient::new(front_end.url());
    let answer = client.post_and_wait(picture("three.jpg")).await;
    assert_eq!(answer.body["predicted_class"], 3, "{answer:?}");
    // By TLS alone: nobody came by the other ports.
    let by_tls = format!("laddr=127.0.0.1:{}", ports.1);
    assert!(redis.ask("CLIENT LIST").contains(&by_tls));
    assert!(rabbitmq.ctl(&["list_connections", "ssl"]).await.contains("true"));
    assert!(!rabbitmq.ctl(&["list_connections", "ssl"]).await.contains("false"));

    let others = stranger.certificate.to_str().unwrap();
    for (flag, url, kind) in [("--broker", &broker, "broker"), ("--store", &store, "store")] {
        let refused = home.run(&["work", flag, url, "--tls-ca", others]).await;
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(refused.stderr.contains(kind), "{refused:?}");
        assert!(refused.stderr.contains("--tls-ca"), "{refused:?}");
        assert!(refused.stderr.contains("UnknownIssuer"), "{refused:?}");
    }
    let nothing = home
        .run(&["work", "--store", &store, "--tls-ca", "none.pem"])
        .await;
    assert!(nothing.stderr.contains("none.pem can't be read"), "{nothing:?}");
}
