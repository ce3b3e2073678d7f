//! A private Prometheus server.

use std::path::Path;

use reqwest::StatusCode;
use serde_json::Value;
use tempfile::TempDir;

use super::client::http;
use super::process::{Process, command, folder, free_port};
use super::{eventually, installed, within};

/// A Prometheus server on its own port, with its own data.
pub struct Prometheus {
    port: u16,
    process: Process,
    _folder: TempDir,
}

impl Prometheus {
    /// Starts one with this configuration file, and waits until it answers queries.
    pub async fn launch(configuration: &Path) -> Self {
        let (folder, port) = (folder(), free_port());
        let mut command = command(&installed(&["prometheus"], &[]), Path::new("/dev/null"));
        command
            .current_dir(folder.path())
            .arg("--config.file")
            .arg(configuration)
            .arg("--storage.tsdb.path")
            .arg(folder.path().join("data"))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"));
        let mut prometheus = Self {
            port,
            process: Process::spawn(command, folder.path(), "prometheus"),
            _folder: folder,
        };
        prometheus.answers().await;
        prometheus
    }

    async fn answers(&mut self) {
        let ready = format!("http://127.0.0.1:{}/-/ready", self.port);
        eventually("prometheus answers queries", async || {
            let output = self.process.output();
            assert!(self.process.ended().is_none(), "prometheus: {output}");
            let answer = http().get(&ready).send().await;
            answer.is_ok_and(|answer| answer.status() == StatusCode::OK)
        })
        .await;
    }

    /// All rules, with what came of them.
    pub async fn rules(&self) -> Vec<Value> {
        let answer = self.ask("rules", &[]).await;
        let groups = answer["data"]["groups"].as_array().expect("groups");
        let rules = groups
            .iter()
            .flat_map(|group| group["rules"].as_array().expect("rules"));
        rules.cloned().collect()
    }

    /// The series, each with its value, that a query has now; or what is wrong with it.
    pub async fn query(&self, expression: &str) -> Result<Vec<Value>, String> {
        let answer = self.ask("query", &[("query", expression)]).await;
        if answer["status"] != "success" {
            return Err(answer["error"].to_string());
        }
        let result = &answer["data"]["result"];
        Ok(result.as_array().expect("a vector").clone())
    }

    async fn ask(&self, what: &str, query: &[(&str, &str)]) -> Value {
        let url = format!("http://127.0.0.1:{}/api/v1/{what}", self.port);
        let asked = http().get(url).query(query).send();
        let answer = within("an answer of prometheus", asked).await.unwrap();
        answer.json().await.unwrap()
    }
}
