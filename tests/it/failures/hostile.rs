//! Bytes that mean harm, in great number: on the queue, and at the front end. Those of pictures are in `digit::hostile`.

use std::time::{Duration, SystemTime};

use mnistq::job::{Job, JobId, Picture, WireError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::client::{Client, picture};
use crate::harness::mnistq::Home;
use crate::harness::moments::Moments;
use crate::harness::within;

fn job() -> Job {
    Job {
        id: JobId::issue(),
        picture: Picture::new(28, 28, (0..784_u32).map(|number| number as u8).collect()).unwrap(),
        result_ttl: Duration::from_secs(3600),
        accepted_at: SystemTime::now(),
        reading: Duration::from_micros(300),
        trace: None,
    }
}

#[test]
fn a_job_that_was_changed_anywhere_is_none() {
    let wire = job().encode();
    for place in 0..wire.len() {
        for bit in 0..8 {
            let mut changed = wire.clone();
            changed[place] ^= 1 << bit;
            assert!(Job::decode(&changed).is_err(), "bit {bit} of byte {place}");
        }
    }
    for length in 0..wire.len() {
        assert!(Job::decode(&wire[..length]).is_err(), "cut to {length}");
    }
    assert!(Job::decode(&[&wire[..], &[0]].concat()).is_err());
}

#[test]
fn a_job_of_a_newer_version_says_so() {
    let mut wire = job().encode();
    wire[3] += 1;
    assert_eq!(Job::decode(&wire), Err(WireError::Version(wire[3])));
}

#[test]
fn a_job_of_version_1_is_still_read() {
    // As the first version wrote it.
    let hexadecimal = "4d4e5101018bcfe5688070008000a1b2c3d4e5f640222018240a060080ee360000000000\
                       020002000001feff72d150f1";
    let bytes = |place| u8::from_str_radix(&hexadecimal[place..place + 2], 16).unwrap();
    let wire: Vec<u8> = (0..hexadecimal.len()).step_by(2).map(bytes).collect();
    let job = Job::decode(&wire).unwrap();
    assert_eq!(job.id.to_string(), "018bcfe5-6880-7000-8000-a1b2c3d4e5f6");
    assert_eq!(job.picture, Picture::new(2, 2, vec![0, 1, 254, 255]).unwrap());
    assert_eq!(job.result_ttl, Duration::from_secs(3600));
    let accepted = Duration::from_micros(1_700_000_000_123_456);
    assert_eq!(job.accepted_at, SystemTime::UNIX_EPOCH + accepted);
    assert_eq!(job.reading, Duration::ZERO);
}

#[test]
fn random_bytes_are_no_job() {
    let mut moments = Moments::new(0x006a_6f62);
    for _ in 0..50_000 {
        let length = moments.next(900);
        let mut bytes: Vec<u8> = (0..length).map(|_| moments.next(256) as u8).collect();
        if moments.next(2) == 1 && length >= 4 {
            bytes[..4].copy_from_slice(b"MNQ\x01");
            bytes[3] += moments.next(2) as u8;
        }
        assert!(Job::decode(&bytes).is_err());
    }
}

#[tokio::test]
async fn a_front_end_that_is_sent_nonsense_refuses_it_and_serves_on() {
    let home = Home::new();
    let front_end = home.serve(&[]).await;
    let address = front_end.url().trim_start_matches("http://").to_owned();
    let digit = picture("three.jpg");
    let head = format!(
        "POST /classify HTTP/1.1\r\nhost: mnistq\r\nconnection: close\r\ncontent-type: multipart/form-data; \
         boundary=x\r\ncancel-after: 30s\r\nprefer: wait=1\r\ncontent-length: {}\r\n\r\n--x\r\ncontent-disposition: \
         form-data; name=\"file\"; filename=\"3.jpg\"\r\n\r\n",
        digit.len() + 87 + 9
    );
    let whole = [head.as_bytes(), &digit, b"\r\n--x--\r\n"].concat();
    let mut moments = Moments::new(0x6874_7470);
    for _ in 0..1_000 {
        let mut request = whole.clone();
        for _ in 0..moments.next(8) {
            // Most of it in the head, which is the smaller part.
            let within = if moments.next(4) == 1 {
                request.len()
            } else {
                head.len()
            };
            let place = moments.next(within) - 1;
            request[place] = moments.next(256) as u8;
        }
        let answer = within("the front end answers or hangs up", send(&address, &request)).await;
        let status = answer
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse::<u16>().ok());
        if let Some(status) = status {
            assert!(status < 500 || status == 503, "{answer}");
        }
    }
    let client = Client::new(front_end.url());
    let id = client.upload(picture("three.jpg")).await;
    assert_eq!(client.outcome(&id).await["predicted_class"], 3);
    let output = front_end.stop().await;
    assert_eq!(output.code, Some(0));
    assert!(!output.stderr.contains("panicked"), "{}", output.stderr);
}

/// Sends all, says that this was all, and reads what comes.
async fn send(address: &str, request: &[u8]) -> String {
    let mut connection = TcpStream::connect(address).await.unwrap();
    // A front end that has refused it may hang up before it has read all.
    let _ = connection.write_all(request).await;
    let _ = connection.shutdown().await;
    let mut answer = Vec::new();
    let _ = connection.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}
