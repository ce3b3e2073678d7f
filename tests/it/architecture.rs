//! The map in `src/lib.rs` and the code agree: who imports whom, which crate has which owner, where `unsafe` is.
//!
//! Reads the sources as text; a breach names file, line and rule. Code under `#[cfg(test)]` may import what it
//! likes.

use std::path::{Path, PathBuf};

/// What each module may import of ours. `main.rs` and `roles` know everything.
const IMPORTS: &[(&str, &[&str])] = &[
    ("address", &[]),
    ("broker", &["address", "database", "job", "tls"]),
    ("cli", &[]),
    (
        "config",
        &[
            "address",
            "broker",
            // The flags are its last layer.
            "cli",
            "digit",
            "http",
            "model",
            "store",
            "telemetry",
            "tls",
            "train",
            "worker",
        ],
    ),
    ("database", &[]),
    ("followed", &[]),
    ("digit", &["job"]),
    (
        "http",
        &[
            "broker", "digit", "followed", "job", "metrics", "store", "tls", "traces",
        ],
    ),
    ("job", &[]),
    ("metrics", &[]),
    ("model", &[]),
    ("shutdown", &[]),
    ("store", &["address", "database", "job", "tls"]),
    ("telemetry", &["terminal", "traces"]),
    ("terminal", &[]),
    ("tls", &["followed"]),
    ("traces", &["job"]),
    ("train", &["model"]),
    (
        "worker",
        &["broker", "job", "metrics", "model", "store", "traces"],
    ),
];

/// Where each foreign crate may be used: starts of paths below `src/`.
const OWNERS: &[(&str, &[&str])] = &[
    ("actix_cors", &["http"]),
    ("actix_http", &["http"]),
    ("actix_multipart", &["http"]),
    ("actix_rt", &["http"]),
    ("actix_web", &["http"]),
    ("amqprs", &["broker/amqp"]),
    ("anyhow", &["main.rs", "roles"]),
    ("candle_core", &["model", "train"]),
    ("candle_nn", &["model", "train"]),
    ("clap", &["cli"]),
    ("clap_complete", &["cli"]),
    ("fast_image_resize", &["digit"]),
    ("fred", &["store/redis"]),
    ("gemm", &["model", "train"]),
    ("governor", &["http"]),
    ("image", &["digit", "train/report/picture"]),
    ("imageproc", &["digit"]),
    ("opentelemetry", &["traces"]),
    ("opentelemetry_http", &["traces"]),
    ("opentelemetry_otlp", &["traces"]),
    ("opentelemetry_sdk", &["traces"]),
    ("prometheus", &["metrics"]),
    ("reqwest", &["http/callback", "roles", "traces", "train"]),
    ("rusqlite", &["broker/sqlite", "database", "store/sqlite"]),
    ("rustix", &["metrics/process", "roles"]),
    ("rustls_native_certs", &["tls"]),
    ("safetensors", &["model", "train"]),
    ("tokio_rustls", &["broker/amqp"]),
];

/// The one room whose instructions the compiler can't check.
const UNSAFE: &str = "model/kernels/";

#[test]
fn the_code_keeps_to_the_map() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    for file in sources(&root) {
        let path = file.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
        found.extend(breaches(&path, &std::fs::read_to_string(&file).unwrap()));
    }
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn a_breach_is_named_with_file_line_and_rule() {
    let cases = [
        (
            "http/upload.rs",
            "//! Uploads.\nuse crate::job::Job;\n\nuse crate::worker::Settings;\n",
            "src/http/upload.rs:4: `http` must not import `worker`",
        ),
        (
            "worker/mod.rs",
            "//! Works.\nuse crate::{\n    job::{Job, JobId},\n    http,\n};\n",
            "src/worker/mod.rs:4: `worker` must not import `http`",
        ),
        (
            "job.rs",
            "//! Jobs.\nuse super::broker::Broker;\n",
            "src/job.rs:2: `job` must not import `broker`",
        ),
        (
            "model/net.rs",
            "//! Net.\nfn pass() { super::super::job::JobId::issue(); }\n",
            "src/model/net.rs:2: `model` must not import `job`",
        ),
        (
            "train/mod.rs",
            "//! Trains.\npub use mnistq::worker;\n",
            "src/train/mod.rs:2: `train` must not import `worker`",
        ),
        (
            "worker/batch.rs",
            "//! Batches.\nfn run() -> anyhow::Result<()> {}\n",
            "src/worker/batch.rs:2: only main.rs, roles may use the crate `anyhow`",
        ),
        (
            "broker/sqlite.rs",
            "//! Queue.\nuse amqprs;\n",
            "src/broker/sqlite.rs:2: only broker/amqp may use the crate `amqprs`",
        ),
        (
            "store/sqlite.rs",
            "// A comment.\n",
            "src/store/sqlite.rs:1: a file opens with `//!`",
        ),
        (
            "digit/decode.rs",
            "//! Decodes.\nfn fast() { unsafe { go() } }\n",
            "src/digit/decode.rs:2: `unsafe` is for src/model/kernels/ alone",
        ),
        (
            "model/net.rs",
            "//! Net.\n#![allow(unsafe_code)]\n",
            "src/model/net.rs:2: `unsafe` is for src/model/kernels/ alone",
        ),
        (
            "utils.rs",
            "//! Odds and ends.\n",
            "src/utils.rs:1: `utils` has no row in the table of imports",
        ),
    ];
    for (path, source, breach) in cases {
        assert_eq!(breaches(path, source), [breach]);
    }
}

#[test]
fn what_keeps_to_the_map_is_no_breach() {
    let cases = [
        (
            "roles/serve.rs",
            "//! Serves.\nuse crate::{http, worker};\nuse anyhow::Result;\n",
        ),
        (
            "main.rs",
            "//! Starts.\nuse mnistq::roles;\nfn main() -> anyhow::Result<()> {}\n",
        ),
        (
            "http/mod.rs",
            "//! See [`crate::worker`].\nuse actix_web::web;\nuse super::http::error;\n",
        ),
        (
            "job.rs",
            "//! Jobs.\nlet image = 3; // not image::open\nlet url = \"redis://fred\";\n",
        ),
        (
            "model/kernels/dispatch.rs",
            "//! Kernels.\n#![allow(unsafe_code)]\nunsafe { fast() }\n",
        ),
        (
            "job.rs",
            "//! Jobs.\nfn f() {}\n#[cfg(test)]\nmod tests {\n    use crate::broker;\n}\n",
        ),
        (
            "digit/mod.rs",
            "//! Digits.\nuse crate::job::Picture;\nimage::open();\n",
        ),
        (
            "worker/engine.rs",
            "//! Engine.\nlet card = crate::model::image::card;\n",
        ),
    ];
    for (path, source) in cases {
        assert_eq!(breaches(path, source), <[String; 0]>::default(), "{path}");
    }
}

/// What the file `path` below `src/` does that it must not.
fn breaches(path: &str, source: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut breach = |line: usize, rule: String| found.push(format!("src/{path}:{line}: {rule}"));
    if !source.starts_with("//!") {
        breach(1, "a file opens with `//!`".to_owned());
    }
    let code = product_code(source);
    let module = path.split('/').next().unwrap().trim_end_matches(".rs");
    if !["lib", "main", "roles"].contains(&module) {
        match IMPORTS.iter().find(|(name, _)| *name == module) {
            None => breach(1, format!("`{module}` has no row in the table of imports")),
            Some((_, allowed)) => {
                for (line, import) in imports(path, &code) {
                    if import != module && !allowed.contains(&import.as_str()) {
                        breach(line, format!("`{module}` must not import `{import}`"));
                    }
                }
            }
        }
    }
    for (line, text) in (1..).zip(code.lines()) {
        for (name, owners) in OWNERS {
            if uses_crate(text, name) && !owners.iter().any(|owner| path.starts_with(owner)) {
                let owners = owners.join(", ");
                breach(line, format!("only {owners} may use the crate `{name}`"));
            }
        }
        let checked = !path.starts_with(UNSAFE);
        if checked && (word(text, "unsafe").is_some() || word(text, "unsafe_code").is_some()) {
            breach(line, format!("`unsafe` is for src/{UNSAFE} alone"));
        }
    }
    found
}

/// The code without comments and without what follows `#[cfg(test)]`, line by line.
fn product_code(source: &str) -> String {
    let mut code = String::new();
    for line in source.lines().take_while(|line| line.trim() != "#[cfg(test)]") {
        let comment = line
            .match_indices("//")
            .map(|(at, _)| at)
            // A URL's.
            .find(|&at| !line[..at].ends_with(':'));
        code.push_str(&line[..comment.unwrap_or(line.len())]);
        code.push('\n');
    }
    code
}

/// The modules of ours that `code` names, and where.
fn imports(path: &str, code: &str) -> Vec<(usize, String)> {
    let depth = path.trim_end_matches("/mod.rs").split('/').count();
    let to_root = "super::".repeat(depth);
    let mut found = Vec::new();
    for root in ["crate::", "mnistq::", &to_root] {
        for (at, _) in code.match_indices(root) {
            let inside = code[..at].ends_with(|before: char| is_name(before) || before == ':');
            if inside {
                continue;
            }
            for (offset, name) in first_names(&code[at + root.len()..]) {
                let line = 1 + code[..at + root.len() + offset].matches('\n').count();
                let ours = IMPORTS.iter().any(|(module, _)| *module == name);
                if ours || (root != to_root && name == "roles") {
                    found.push((line, name));
                }
            }
        }
    }
    found
}

/// The name that a path begins with; of a group in braces, that of each of its paths.
fn first_names(rest: &str) -> Vec<(usize, String)> {
    let name_at =
        |start: usize| -> String { rest[start..].chars().take_while(|&one| is_name(one)).collect() };
    if !rest.starts_with('{') {
        return vec![(0, name_at(0))];
    }
    let mut names = Vec::new();
    let mut depth = 0;
    let mut expected = false;
    for (at, character) in rest.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            break;
        }
        if expected && is_name(character) {
            names.push((at, name_at(at)));
            expected = false;
        }
        if depth == 1 && (character == ',' || at == 0) {
            expected = true;
        }
    }
    names
}

/// Whether a line names a foreign crate: as the start of a path, or in `use`.
fn uses_crate(line: &str, name: &str) -> bool {
    let Some(at) = word(line, name) else {
        return false;
    };
    let (before, after) = (&line[..at], &line[at + name.len()..]);
    let imported = before.trim_start_matches("pub ").trim() == "use";
    !before.ends_with("::") && (after.starts_with("::") || imported)
}

/// Where `word` first stands as a whole word.
fn word(line: &str, word: &str) -> Option<usize> {
    line.match_indices(word)
        .map(|(at, _)| at)
        .find(|&at| !line[..at].ends_with(is_name) && !line[at + word.len()..].starts_with(is_name))
}

fn is_name(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}
