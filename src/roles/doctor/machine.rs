//! The looks at what is around: version, configuration, open files, the listening address, the MNIST files.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use serde_json::Value;

use super::finding::Finding;
use crate::config::{self, Config};
use crate::roles::mnist;
use crate::roles::open_files::OpenFiles;
use crate::roles::probe;
use crate::train::download::MNIST;
use crate::{cli, http};

/// How long whoever listens on our address may take to say whether it is ready.
const PATIENCE: Duration = Duration::from_secs(5);

/// Which mnistq this is.
pub fn version() -> Finding {
    Finding::well("version", concat!("mnistq ", env!("CARGO_PKG_VERSION")))
}

/// Where the settings come from. Names alone: values may hold passwords.
pub fn configuration(shared: &cli::Shared) -> Finding {
    let file = match config::file(shared) {
        Some(path) => path.display().to_string(),
        None => "no file: the defaults".to_owned(),
    };
    let mut variables: Vec<String> = std::env::vars_os()
        .filter_map(|(name, _)| name.into_string().ok())
        .filter(|name| name.starts_with("MNISTQ_"))
        .collect();
    variables.sort();
    let detail = match variables.is_empty() {
        true => file,
        false => format!("{file}, and {}", variables.join(", ")),
    };
    Finding::well("configuration", detail)
}

/// Whether as many connections can be open as are allowed.
pub fn open_files(config: &Config) -> Finding {
    let connections = config.http.max_connections;
    let files = OpenFiles::raised_for(connections);
    let detail = format!(
        "{} may be open, {} are needed for {connections} connections",
        files.allowed, files.needed
    );
    if files.suffice() {
        return Finding::well("open files", detail);
    }
    Finding::wrong("open files", detail).hint(format!(
        "raise the limit (`ulimit -Hn {}`, LimitNOFILE= of systemd), or set max_connections = {} in [http]",
        files.needed,
        files.connections()
    ))
}

/// Whether the address is free, or an mnistq serves there that can take work.
pub async fn address(config: &Config) -> Finding {
    let (check, bind) = ("address", config.http.bind);
    let error = match http::bind(bind) {
        Ok(_) if bind.port() == 0 => return Finding::well(check, format!("{bind}: any free port")),
        Ok(_) => return Finding::well(check, format!("{bind} is free")),
        Err(error) => anyhow::Error::new(error),
    };
    let Some(readiness) = readiness(config).await else {
        return Finding::wrong(check, format!("{error:#}"))
            .hint("take another address with --bind, or stop what listens there");
    };
    let state = |part: &str| readiness[part].as_str().unwrap_or("unknown").to_owned();
    match state("status").as_str() {
        "ready" => Finding::well(check, format!("an mnistq serves on {bind}, and is ready")),
        "stopping" => Finding::wrong(check, format!("the mnistq on {bind} is stopping"))
            .hint("wait until it has stopped"),
        _ => {
            let (broker, store) = (state("broker"), state("store"));
            let detail = format!("the mnistq on {bind} can't take work: broker {broker}, store {store}");
            Finding::wrong(check, detail).hint("its log says more")
        }
    }
}

/// What an mnistq says of itself there; none if nobody or somebody else answers.
async fn readiness(config: &Config) -> Option<Value> {
    let mut address = config.http.bind;
    match config.http.bind {
        SocketAddr::V4(any) if any.ip().is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        SocketAddr::V6(any) if any.ip().is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    let scheme = match config.http.tls_certificate {
        Some(_) => "https",
        None => "http",
    };
    let url = format!("{scheme}://{address}/readyz");
    let client = probe::client(&url, config).ok()?.no_proxy().timeout(PATIENCE);
    let asked = client.build().ok()?.get(&url).send();
    let answer: Value = asked.await.ok()?.json().await.ok()?;
    let known = ["ready", "unready", "stopping"];
    let status = answer["status"].as_str()?;
    known.contains(&status).then_some(answer)
}

/// Which MNIST files are here. Training fetches what is missing, so nothing is wrong either way.
pub fn mnist() -> Finding {
    let check = "mnist";
    let Some(folder) = mnist::cache() else {
        return Finding::well(check, "no home directory: `mnistq train` takes --data");
    };
    let here = |name: &str| folder.join(name).exists() || folder.join(format!("{name}.gz")).exists();
    let found = MNIST.iter().filter(|file| here(file.name)).count();
    let rest = if found == MNIST.len() {
        ""
    } else {
        "; `mnistq train` fetches what is missing"
    };
    let folder = folder.display();
    Finding::well(
        check,
        format!("{found} of {} files in {folder}{rest}", MNIST.len()),
    )
}
