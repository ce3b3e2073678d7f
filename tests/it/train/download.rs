//! Files that come from mirrors: whole, in parts, from the next one, and none that is another.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::sync::{Arc, Mutex};

use mnistq::train::download::{MNIST, RemoteFile, fetch};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;

use super::packed;
use crate::harness::data::committed;
use crate::harness::mnistq::Home;

/// The thousand labels among the test data: `zcat tests/data/held_back/t10k-labels-idx1-ubyte.gz | sha256sum`.
const FILE: RemoteFile = RemoteFile {
    name: "t10k-labels-idx1-ubyte",
    sha256: "36a2921a2f1378c9f834c85856c7f19fc85e97636abd8dd0ae14fe1c056e3ed1",
};
const PACKED: &str = "t10k-labels-idx1-ubyte.gz";
const PART: &str = "t10k-labels-idx1-ubyte.gz.part";

#[tokio::test]
async fn a_file_is_fetched_whole_and_then_not_again() {
    let home = Home::new();
    let mirror = Mirror::start(Mood::Sound, labels()).await;
    let counted = fetched(&home, &[&mirror]).await.unwrap();
    assert_eq!(counted.last(), Some(&(labels().len() as u64)));
    assert_eq!(files(&home), [(PACKED.to_owned(), labels())].into());
    fetched(&home, &[&mirror]).await.unwrap();
    assert_eq!(mirror.asked(), [0]);
}

#[tokio::test]
async fn a_file_that_is_here_plain_is_not_fetched() {
    let home = Home::new();
    home.write(FILE.name, "whatever its owner put there");
    fetched(&home, &[]).await.unwrap();
}

#[tokio::test]
async fn a_broken_download_is_gone_on_with_where_it_broke_off() {
    let home = Home::new();
    let broken = Mirror::start(Mood::BreaksOffAfter(100), labels()).await;
    fetched(&home, &[&broken]).await.unwrap_err();
    assert_eq!(files(&home), [(PART.to_owned(), labels()[..100].to_vec())].into());
    let sound = Mirror::start(Mood::Sound, labels()).await;
    fetched(&home, &[&sound]).await.unwrap();
    assert_eq!(sound.asked(), [100]);
    assert_eq!(files(&home), [(PACKED.to_owned(), labels())].into());
}

#[tokio::test]
async fn what_is_here_whole_but_not_yet_under_its_name_is_taken() {
    let home = Home::new();
    home.write(PART, labels());
    let mirror = Mirror::start(Mood::Sound, labels()).await;
    fetched(&home, &[&mirror]).await.unwrap();
    assert_eq!(files(&home), [(PACKED.to_owned(), labels())].into());
}

#[tokio::test]
async fn a_part_that_the_mirror_packed_otherwise_is_begun_again() {
    let home = Home::new();
    home.write(PART, &packed(b"another packing of the same content")[..30]);
    let mirror = Mirror::start(Mood::Sound, labels()).await;
    fetched(&home, &[&mirror]).await.unwrap();
    assert_eq!(mirror.asked(), [30, 0]);
    assert_eq!(files(&home), [(PACKED.to_owned(), labels())].into());
}

#[tokio::test]
async fn the_next_mirror_is_asked_when_one_fails() {
    let home = Home::new();
    let empty = Mirror::start(Mood::Empty, labels()).await;
    let other = Mirror::start(Mood::Sound, packed(b"an advertisement")).await;
    let broken = Mirror::start(Mood::BreaksOffAfter(50), labels()).await;
    let sound = Mirror::start(Mood::Sound, labels()).await;
    fetched(&home, &[&empty, &other, &broken, &sound]).await.unwrap();
    assert_eq!([empty.asked(), other.asked(), broken.asked()], [[0]; 3]);
    assert_eq!(sound.asked(), [50]);
    assert_eq!(files(&home), [(PACKED.to_owned(), labels())].into());
}

#[tokio::test]
async fn another_content_is_refused_and_not_kept() {
    let home = Home::new();
    for content in [
        packed(b"an advertisement"),
        b"no gzip at all".to_vec(),
        Vec::new(),
    ] {
        let mirror = Mirror::start(Mood::Sound, content).await;
        fetched(&home, &[&mirror]).await.unwrap_err();
        assert_eq!(files(&home), BTreeMap::new());
    }
}

#[tokio::test]
async fn without_a_mirror_the_error_says_which_files_to_put_where() {
    let home = Home::new();
    let nobody = Mirror::start(Mood::Empty, Vec::new()).await;
    let error = fetched(&home, &[&nobody]).await.unwrap_err();
    assert!(error.contains(&home.path().display().to_string()), "{error}");
    for file in MNIST {
        assert!(error.contains(file.name), "{error}");
    }
}

fn labels() -> Vec<u8> {
    fs::read(committed("held_back/t10k-labels-idx1-ubyte.gz")).unwrap()
}

/// An HTTP server of files that understands `Range: bytes=N-`.
struct Mirror {
    address: String,
    /// First byte asked for, of each request.
    asked: Arc<Mutex<Vec<usize>>>,
    _task: AbortOnDropHandle<()>,
}

/// How a mirror behaves.
#[derive(Clone, Copy)]
enum Mood {
    Sound,
    /// Closes the connection after so many bytes of a body.
    BreaksOffAfter(usize),
    /// Does not know the file.
    Empty,
}

impl Mirror {
    async fn start(mood: Mood, file: Vec<u8>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}/mnist/", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // A client that leaves is no fault of the mirror's.
                let _ = answer(stream, mood, &file, &log).await;
            }
        });
        Self {
            address,
            asked,
            _task: AbortOnDropHandle::new(task),
        }
    }

    fn asked(&self) -> Vec<usize> {
        self.asked.lock().unwrap().clone()
    }
}

async fn answer(stream: TcpStream, mood: Mood, file: &[u8], log: &Mutex<Vec<usize>>) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut from = None;
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    assert!(line.starts_with(&format!("GET /mnist/{PACKED} ")), "{line}");
    while line != "\r\n" {
        line.clear();
        stream.read_line(&mut line).await?;
        if let Some(range) = line.to_lowercase().trim_end().strip_prefix("range: bytes=") {
            from = range.trim_end_matches('-').parse().ok();
        }
    }
    log.lock().unwrap().push(from.unwrap_or(0));
    let (status, body) = match from {
        _ if matches!(mood, Mood::Empty) => ("404 Not Found", &file[..0]),
        None => ("200 OK", file),
        Some(from) if from < file.len() => ("206 Partial Content", &file[from..]),
        Some(_) => ("416 Range Not Satisfiable", &file[..0]),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    let sent = match mood {
        Mood::BreaksOffAfter(bytes) => &body[..bytes.min(body.len())],
        Mood::Sound | Mood::Empty => body,
    };
    stream.write_all(sent).await?;
    stream.shutdown().await
}

async fn fetched(home: &Home, mirrors: &[&Mirror]) -> Result<Vec<u64>, String> {
    let mirrors: Vec<String> = mirrors.iter().map(|mirror| mirror.address.clone()).collect();
    let mut counted = Vec::new();
    fetch(home.path(), &[FILE], &mirrors, |fetched| {
        counted.push(fetched.bytes)
    })
    .await
    .map(|()| counted)
    .map_err(|error| error.to_string())
}

fn files(home: &Home) -> BTreeMap<String, Vec<u8>> {
    fs::read_dir(home.path())
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            (name, fs::read(entry.path()).unwrap())
        })
        .collect()
}
