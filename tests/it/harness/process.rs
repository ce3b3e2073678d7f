//! Child processes that can't be left behind.
//!
//! Each runs in a process group of its own, which is killed when its [`Process`] is dropped. If the test
//! process itself dies first, no `Drop` runs: then a small shell, which holds the other end of a pipe, sees
//! the end of file and kills every group that is left, and removes the tests' folder.

use std::io::Write;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Mutex, OnceLock};

use super::eventually;

/// Reads `+ GROUP` and `- GROUP` lines to the end of file, then cleans up; `$1` is the tests' folder.
const WATCH: &str = r#"
groups=' '
while read -r mark group; do
    case $mark in
    +) groups="$groups$group " ;;
    -) groups="${groups%% "$group" *} ${groups#* "$group" }" ;;
    esac
done
for group in $groups; do kill -s KILL -- "-$group"; done
rm -rf -- "$1"
"#;

struct Watcher {
    /// The shell; its standard input is the pipe.
    shell: Mutex<Child>,
    folder: PathBuf,
}

impl Watcher {
    fn tell(&self, mark: char, group: u32) {
        let mut shell = self.shell.lock().unwrap();
        let lines = shell.stdin.as_mut().expect("its input is piped");
        writeln!(lines, "{mark} {group}").expect("the watching shell lives as long as the tests");
    }
}

fn watcher() -> &'static Watcher {
    static WATCHER: OnceLock<Watcher> = OnceLock::new();
    WATCHER.get_or_init(|| {
        let folder = tempfile::Builder::new()
            .prefix("mnistq-tests-")
            .tempdir()
            .expect("a folder for temporary files")
            .keep();
        let shell = Command::new("sh")
            .args(["-c", WATCH, "sh"])
            .arg(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C ends the tests, and must not end the shell before it has cleaned up.
            .process_group(0)
            .spawn()
            .expect("a shell");
        Watcher {
            shell: Mutex::new(shell),
            folder,
        }
    })
}

/// A folder of one's own, gone when it is dropped, and at the latest when the tests end.
pub fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in(&watcher().folder).expect("a temporary folder")
}

/// A port on which nobody listens.
///
/// It lies below the ports that systems give to outgoing connections, so that it stays free while its server
/// is down, and a client that tries to reconnect can't connect to itself.
pub fn free_port() -> u16 {
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 10_000;
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    let start = std::process::id().wrapping_mul(7919) % u32::from(COUNT);
    loop {
        let offset = (start + u32::from(TAKEN.fetch_add(1, Ordering::Relaxed))) % u32::from(COUNT);
        let port = FIRST + u16::try_from(offset).expect("an offset below COUNT");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// A command for [`Process::spawn`] that will run `program` with the file `input` as its standard input.
///
/// The program starts only after the watching shell knows of it.
pub fn command(program: &Path, input: &Path) -> Command {
    let mut command = Command::new("sh");
    command
        .args(["-c", r#"read -r go && exec "$@" <"$0""#])
        .arg(input)
        .arg(program);
    command
}

/// A running program.
pub struct Process {
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Process {
    /// Starts a [`command`], whose output goes to `{name}.out` and `{name}.err` in `folder`.
    pub fn spawn(mut command: Command, folder: &Path, name: &str) -> Self {
        let stdout = folder.join(format!("{name}.out"));
        let stderr = folder.join(format!("{name}.err"));
        let open = |path: &Path| {
            std::fs::File::options()
                .append(true)
                .create(true)
                .open(path)
                .expect("a file for output")
        };
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(open(&stdout))
            .stderr(open(&stderr))
            .process_group(0)
            .spawn()
            .expect("a shell");
        watcher().tell('+', child.id());
        let mut go = child.stdin.take().expect("its input is piped");
        go.write_all(b"go\n").expect("the shell waits for a line");
        Self {
            child,
            stdout,
            stderr,
        }
    }

    /// Its number, which is also that of its group.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has written to its standard output so far.
    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.stdout).unwrap_or_default()).into_owned()
    }

    /// What it has written to its standard error so far.
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.stderr).unwrap_or_default()).into_owned()
    }

    /// Both, for the report of a failed test.
    pub fn output(&self) -> String {
        format!(
            "--- standard output\n{}--- standard error\n{}",
            self.stdout(),
            self.stderr()
        )
    }

    /// Sends a signal, such as `TERM` or `STOP`, to the process alone.
    pub fn signal(&self, name: &str) {
        kill(name, &self.child.id().to_string());
    }

    /// How it ended, or none if it runs.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child of ours")
    }

    /// Waits until it ends by itself.
    pub async fn end(&mut self) -> ExitStatus {
        let mut status = None;
        eventually("a process ends", async || {
            status = self.ended();
            status.is_some()
        })
        .await;
        status.expect("it ended")
    }

    /// Kills it and its children, at once.
    pub fn kill(&mut self) {
        if self.ended().is_none() {
            kill("KILL", &format!("-{}", self.child.id()));
        }
        self.child.wait().expect("a child of ours");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        watcher().tell('-', self.child.id());
    }
}

fn kill(signal: &str, target: &str) {
    // The shell's own `kill`: not every system has the program. That it fails means that the process has just
    // ended by itself, which is as good.
    Command::new("sh")
        .args(["-c", r#"kill -s "$0" -- "$1""#, signal, target])
        .stderr(Stdio::null())
        .status()
        .expect("a shell");
}

mod tests {
    use std::fs::File;
    use std::io::Read;

    use super::super::within;
    use super::*;

    /// Runs a script that writes to a named pipe, and gives back its reading end, open: it reads to its end once
    /// nobody who holds the writing end is alive.
    async fn shell(script: &str, folder: &Path) -> (Process, File) {
        let pipe = folder.join("pipe");
        Command::new("mkfifo").arg(&pipe).status().unwrap();
        let mut command = command(Path::new("/bin/sh"), Path::new("/dev/null"));
        command.args(["-c", script]).arg(&pipe);
        let process = Process::spawn(command, folder, "shell");
        let pipe = tokio::task::spawn_blocking(|| File::open(pipe).unwrap());
        let pipe = within("the script opens the pipe", pipe).await.unwrap();
        (process, pipe)
    }

    async fn read_to_end(mut pipe: File) {
        let reading = tokio::task::spawn_blocking(move || pipe.read_to_end(&mut Vec::new()));
        within("all writers are gone", reading).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_process_is_killed_with_its_children() {
        let folder = folder();
        let (process, pipe) = shell(r#"sleep 600 >"$0" & wait"#, folder.path()).await;
        drop(process);
        read_to_end(pipe).await;
    }

    #[tokio::test]
    async fn what_a_dead_test_process_leaves_is_killed_and_its_folder_removed() {
        let folder = folder();
        let left = tempfile::tempdir().unwrap().keep();
        let (process, pipe) = shell(r#"exec sleep 600 >"$0""#, folder.path()).await;
        let mut shell = Command::new("sh")
            .args(["-c", WATCH, "sh"])
            .arg(&left)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = shell.stdin.take().unwrap();
        let group = process.child.id();
        write!(
            lines,
            "+ 999999998\n+ {group}\n+ 999999999\n- 999999998\n- 999999999\n"
        )
        .unwrap();
        drop(lines);
        shell.wait().unwrap();
        read_to_end(pipe).await;
        assert!(!left.exists(), "the folder stayed");
    }

    #[tokio::test]
    async fn a_program_reads_its_input_and_its_end_is_seen() {
        let folder = folder();
        let input = folder.path().join("input");
        std::fs::write(&input, "seven").unwrap();
        let mut command = command(Path::new("/bin/sh"), &input);
        command.args(["-c", "cat; echo no >&2; exit 7"]);
        let mut process = Process::spawn(command, folder.path(), "shell");
        assert_eq!(process.end().await.code(), Some(7));
        assert_eq!(
            (process.stdout().as_str(), process.stderr().as_str()),
            ("seven", "no\n")
        );
    }
}
