//! The real executable, run as a person would, in a home of its own.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::eventually;
use super::process::{Process, command, folder};

/// A person's home: own directories for state, configuration and cache, and no settings inherited.
pub struct Home {
    folder: TempDir,
    variables: Vec<(String, String)>,
}

/// What a command that has ended left.
#[derive(Debug)]
pub struct Output {
    /// Its exit code, or none if a signal ended it.
    pub code: Option<i32>,
    /// Its answer.
    pub stdout: String,
    /// Its log and its complaints.
    pub stderr: String,
}

impl Home {
    /// An empty home.
    pub fn new() -> Self {
        Self {
            folder: folder(),
            variables: Vec::new(),
        }
    }

    /// The same with a variable in the environment of every command.
    pub fn with_variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Where it is: also the working directory of every command.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Where embedded queue and store are by default.
    pub fn database(&self) -> PathBuf {
        self.path().join("state/mnistq/mnistq.db")
    }

    /// Writes a file below it.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let file = self.path().join(name);
        std::fs::create_dir_all(file.parent().expect("it is below the home")).expect("a folder");
        std::fs::write(&file, content).expect("a file");
        file
    }

    /// Starts `mnistq ARGUMENTS`.
    pub fn start(&self, arguments: &[&str]) -> Mnistq {
        self.start_with(arguments, &[], Path::new("/dev/null"))
    }

    /// Starts `mnistq serve --bind 127.0.0.1:0 ARGUMENTS`, and waits until it says where it listens.
    pub async fn serve(&self, arguments: &[&str]) -> Mnistq {
        self.serve_on(0, arguments).await
    }

    /// As [`Home::serve`], on a certain port.
    pub async fn serve_on(&self, port: u16, arguments: &[&str]) -> Mnistq {
        let bind = format!("127.0.0.1:{port}");
        let mut front_end = self.start(&[&["serve", "--bind", &bind], arguments].concat());
        front_end.listen().await;
        front_end
    }

    /// Runs `mnistq ARGUMENTS` to its end.
    pub async fn run(&self, arguments: &[&str]) -> Output {
        self.start(arguments).output().await
    }

    /// Starts a line of a shell, in which `mnistq` is the real executable.
    pub fn start_shell(&self, line: &str) -> Mnistq {
        let mut command = command(Path::new("/bin/sh"), Path::new("/dev/null"));
        self.settle(command.args(["-c", line]), &[]);
        let programs = executable();
        let mut path = programs
            .parent()
            .expect("it is in a folder")
            .as_os_str()
            .to_owned();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        command.env("PATH", path);
        spawn(command, line)
    }

    /// Runs `mnistq ARGUMENTS` to its end, with further variables of the environment.
    pub async fn run_with(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
        self.start_with(arguments, variables, Path::new("/dev/null"))
            .output()
            .await
    }

    /// Runs `mnistq ARGUMENTS` to its end, with a file as its standard input.
    pub async fn run_reading(&self, arguments: &[&str], input: &Path) -> Output {
        self.start_with(arguments, &[], input).output().await
    }

    fn start_with(&self, arguments: &[&str], variables: &[(&str, &str)], input: &Path) -> Mnistq {
        let mut command = command(&executable(), input);
        self.settle(command.args(arguments), variables);
        spawn(command, &arguments.join(" "))
    }

    fn settle(&self, command: &mut Command, variables: &[(&str, &str)]) {
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("MNISTQ_") {
                command.env_remove(name);
            }
        }
        command
            .current_dir(self.path())
            .env("HOME", self.path())
            .env("XDG_STATE_HOME", self.path().join("state"))
            .env("XDG_CONFIG_HOME", self.path().join("config"))
            .env("XDG_CACHE_HOME", self.path().join("cache"))
            .env("XDG_DATA_HOME", self.path().join("data"))
            .env_remove("RUST_LOG")
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .envs(variables.iter().copied());
    }
}

fn spawn(command: Command, line: &str) -> Mnistq {
    let output = folder();
    Mnistq {
        process: Process::spawn(command, output.path(), "mnistq"),
        _output: output,
        command: line.to_owned(),
        address: None,
    }
}

/// What `cargo` built: for an example it does not say where.
fn executable() -> PathBuf {
    match option_env!("CARGO_BIN_EXE_mnistq") {
        Some(path) => PathBuf::from(path),
        None => {
            let example = std::env::current_exe().expect("this program has a path");
            let built = example.parent().and_then(Path::parent);
            built
                .expect("examples are built in a folder of their own")
                .join("mnistq")
        }
    }
}

/// A running `mnistq`. If the test fails, what it wrote is shown.
pub struct Mnistq {
    process: Process,
    _output: TempDir,
    command: String,
    address: Option<String>,
}

impl Mnistq {
    /// Where a front end listens: `http://127.0.0.1:PORT`, or https.
    pub fn url(&self) -> &str {
        self.address.as_deref().expect("only `serve` listens")
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        self.process.stderr()
    }

    /// What it has answered so far.
    pub fn printed(&self) -> String {
        self.process.stdout()
    }

    /// Asks it to stop (SIGTERM) and waits until it has.
    pub async fn stop(mut self) -> Output {
        self.process.signal("TERM");
        self.ended().await
    }

    /// Sends a signal, such as `INT`, `STOP` or `CONT`.
    pub fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    /// Kills it as a crash would (SIGKILL).
    pub fn kill(mut self) {
        self.process.kill();
    }

    /// Waits until it ends by itself.
    pub async fn output(mut self) -> Output {
        self.ended().await
    }

    /// Waits until it logs `text`.
    pub async fn logs(&mut self, text: &str) {
        let what = format!("`mnistq {}` logs {text:?}", self.command);
        eventually(&what, async || {
            let found = self.log().contains(text);
            assert!(
                found || self.process.ended().is_none(),
                "it ended before {what}: {}",
                self.process.output()
            );
            found
        })
        .await;
    }

    async fn ended(&mut self) -> Output {
        let code = self.process.end().await.code();
        Output {
            code,
            stdout: self.process.stdout(),
            stderr: self.process.stderr(),
        }
    }

    /// Waits until a front end says where it listens.
    pub async fn listen(&mut self) {
        let mut address = None;
        eventually("`mnistq serve` says where it listens", async || {
            address = address_in(&self.process.stdout()).or_else(|| address_in(&self.process.stderr()));
            assert!(
                address.is_some() || self.process.ended().is_none(),
                "`mnistq serve` ended: {}",
                self.process.output()
            );
            address.is_some()
        })
        .await;
        self.address = address;
    }
}

impl Drop for Mnistq {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- mnistq {}\n{}", self.command, self.process.output());
        }
    }
}

/// The address in a whole line that says "listening on http://…", or https.
fn address_in(text: &str) -> Option<String> {
    let (whole, _) = text.rsplit_once('\n')?;
    let (_, rest) = whole.split_once("listening on ")?;
    let address = rest.split_whitespace().next()?;
    ["http://", "https://"]
        .iter()
        .any(|scheme| address.starts_with(scheme))
        .then(|| address.to_owned())
}
