//! `mnistq probe`: well only where the answer is 2xx.

use crate::harness::mnistq::Home;
use crate::harness::process::free_port;

#[tokio::test]
async fn the_exit_code_says_whether_an_address_is_well() {
    let home = Home::new();
    let front_end = home.serve(&["--workers", "0"]).await;
    let at = |path: &str| format!("{}{path}", front_end.url());
    for path in ["/livez", "/readyz"] {
        let output = home.run(&["probe", &at(path)]).await;
        assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""), "{output:?}");
    }
    let output = home.run(&["probe", &at("/nowhere")]).await;
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.stderr.contains("answers with 404"), "{output:?}");
    // As in an image that holds nothing else.
    let nowhere = [("SSL_CERT_FILE", "/nowhere"), ("SSL_CERT_DIR", "/nowhere")];
    let output = home.run_with(&["probe", &at("/livez")], &nowhere).await;
    assert_eq!(output.code, Some(0), "{output:?}");
    let nobody = format!("http://127.0.0.1:{}/livez", free_port());
    let output = home.run(&["probe", &nobody]).await;
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.stderr.contains("no answer"), "{output:?}");
}
