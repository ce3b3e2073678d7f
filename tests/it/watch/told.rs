//! The metrics of a running `mnistq`, as Prometheus would read them.

use reqwest::StatusCode;
use serde_json::Value;

use crate::harness::client::http;
use crate::harness::mnistq::Mnistq;
use crate::harness::{eventually, within};

/// One answer of `/metrics`.
pub struct Told(pub String);

impl Told {
    /// Asks for it.
    pub async fn at(url: &str) -> Self {
        let response = within("metrics", http().get(url).send()).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(
            response.headers()["content-type"],
            "text/plain; version=0.0.4; charset=utf-8"
        );
        Self(response.text().await.unwrap())
    }

    /// The value of a series, written as it is there: `name{label="value"}`.
    pub fn value(&self, series: &str) -> Option<f64> {
        let line = self
            .0
            .lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?;
        Some(line.parse().unwrap())
    }

    /// The sum of all series of a name.
    pub fn sum(&self, name: &str) -> f64 {
        let values = self.0.lines().filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            let (labels, value) = rest.rsplit_once(' ')?;
            (labels.is_empty() || labels.starts_with('{')).then(|| value.parse::<f64>().unwrap())
        });
        values.sum()
    }
}

/// Asks again until a series has a value that fits.
pub async fn comes_to(url: &str, series: &str, fits: impl Fn(f64) -> bool) {
    eventually(&format!("{series} at {url}"), async || {
        Told::at(url).await.value(series).is_some_and(&fits)
    })
    .await;
}

/// Where a role says that it tells its metrics, once it does.
pub async fn address(role: &mut Mnistq) -> String {
    role.logs("tells its metrics").await;
    let log = role.log();
    let line = log
        .lines()
        .find(|line| line.contains("tells its metrics"))
        .unwrap();
    let line: Value = serde_json::from_str(line).unwrap();
    line["url"].as_str().unwrap().to_owned()
}
