//! Where models run: the devices that `--device` names, the numbers that `--dtype` names, and what becomes of a worker
//! whose device is out of order.

mod in_flight;

use std::path::Path;

use serde_json::{Value, json};

use crate::harness::client::{Client, picture};
use crate::harness::data::committed;
use crate::harness::mnistq::{Home, Mnistq};
use crate::train::small_mnist;

/// The exit code of a worker whose model or device is broken.
const BROKEN: i32 = 3;

#[tokio::test]
async fn auto_says_what_it_took() {
    let home = Home::new();
    let mut worker = home.start(&["work", "--log", "info"]);
    worker.logs("--device auto: took c").await;
    worker.logs("waiting for work").await;
    assert_eq!(worker.stop().await.code, Some(0));
}

#[tokio::test]
async fn every_device_has_a_worker_of_its_own() {
    let home = Home::new();
    let id = |process: &Mnistq, number| format!("-{}-{number}\"", process.id());
    let mut worker = home.start(&["work", "--device", "cpu,auto"]);
    let mut front_end = home.serve(&["--device", "auto,cpu"]).await;
    for process in [&mut worker, &mut front_end] {
        for number in [1, 2] {
            let name = id(process, number);
            process.logs(&name).await;
        }
        let third = id(process, 3);
        assert!(!process.log().contains(&third), "{}", process.log());
    }
    let answer = Client::new(front_end.url())
        .post_and_wait(picture("three.jpg"))
        .await;
    assert_eq!(answer.body["predicted_class"], 3, "{answer:?}");
    for process in [worker, front_end] {
        assert_eq!(process.stop().await.code, Some(0));
    }
}

#[tokio::test]
async fn a_device_that_is_not_there_or_comes_twice_is_refused_with_advice() {
    let home = Home::new();
    small_mnist(&home);
    let cases: [(&[&str], i32, &str); 6] = [
        (&["work", "--device", "cuda:0,cuda"], 2, "cuda:0 is there twice"),
        (
            &["work", "--device", "gpu"],
            2,
            "expected auto, cpu, cuda or cuda:N",
        ),
        (&["work", "--dtype", "f64"], 2, "expected f32, bf16 or f16"),
        (
            &["train", "--data", "mnist", "--device", "cpu,auto"],
            2,
            "one device is wanted here",
        ),
        (
            &["evaluate", "--data", "mnist", "--device", "cpu,auto"],
            2,
            "one device is wanted here",
        ),
        (
            &["bench", "model", "--device", "cpu,auto"],
            2,
            "one device is wanted here",
        ),
    ];
    for (arguments, code, told) in cases {
        let output = home.run(arguments).await;
        assert_eq!(output.code, Some(code), "{arguments:?}: {output:?}");
        assert!(output.stderr.contains(told), "{arguments:?}: {output:?}");
    }
}

#[cfg(not(feature = "cuda"))]
#[tokio::test]
async fn a_build_without_cuda_says_how_to_get_one_that_has_it() {
    let home = Home::new();
    small_mnist(&home);
    for role in [
        &["work"][..],
        &["serve", "--bind", "127.0.0.1:0"],
        &["train", "--data", "mnist"],
        &["bench", "model"],
    ] {
        let output = home.run(&[role, &["--device", "cuda:0"]].concat()).await;
        assert_eq!(output.code, Some(1), "{role:?}: {output:?}");
        for told in ["cuda:0", "built without CUDA", "make cuda"] {
            assert!(output.stderr.contains(told), "{role:?}: {output:?}");
        }
    }
}

#[tokio::test]
async fn sixteen_bits_are_enough_to_read_digits() {
    let home = Home::new();
    small_mnist(&home);
    for dtype in ["bf16", "f16"] {
        let front_end = home.serve(&["--device", "cpu", "--dtype", dtype]).await;
        let answer = Client::new(front_end.url())
            .post_and_wait(picture("three.jpg"))
            .await;
        assert_eq!(answer.body["predicted_class"], 3, "{dtype}: {answer:?}");
        assert_eq!(front_end.stop().await.code, Some(0), "{dtype}");
    }
    let evaluate = [
        "evaluate", "--data", "mnist", "--json", "--device", "cpu", "--dtype",
    ];
    let exact = home.run(&[&evaluate[..], &["f32"]].concat()).await;
    let rounded = home.run(&[&evaluate[..], &["bf16"]].concat()).await;
    let figure = |text: &str, key: &str| {
        let json: serde_json::Value = serde_json::from_str(text).unwrap();
        json[key].as_f64().unwrap()
    };
    let [exact, rounded] = [&exact.stdout, &rounded.stdout];
    assert!((figure(exact, "accuracy") - figure(rounded, "accuracy")).abs() < 0.005);
    assert_ne!(
        figure(exact, "loss"),
        figure(rounded, "loss"),
        "nothing was rounded"
    );
}

#[tokio::test]
async fn a_device_that_answers_wrongly_gets_no_job() {
    let home = Home::new().with_variable("MNISTQ_SABOTAGE", "wrong-answers");
    let roles = [&["work"][..], &["serve", "--bind", "127.0.0.1:0"]];
    for role in roles {
        let output = home.run(role).await;
        assert_eq!(output.code, Some(BROKEN), "{output:?}");
        let told = "the model on cpu is broken: it answers a well-known digit with";
        assert!(output.stderr.contains(told), "{output:?}");
        assert!(!output.stderr.contains("waiting for work"), "{output:?}");
    }
}

#[tokio::test]
async fn a_device_that_dies_at_work_gives_its_jobs_back_and_its_process_ends() {
    for (sabotage, told) in [
        ("device-dies", "the device does not answer"),
        (
            "device-panics",
            "it rejects a well-known digit: the model panicked",
        ),
        ("no-numbers", "it answers a well-known digit with [NaN"),
    ] {
        let home = Home::new();
        let front_end = home.serve(&["--workers", "0"]).await;
        let client = Client::new(front_end.url());
        let mut ids = Vec::new();
        for _ in 0..4 {
            ids.push(client.upload(picture("three.jpg")).await);
        }
        let work = ["work", "--max-batch", "1"];
        let output = home.run_with(&work, &[("MNISTQ_SABOTAGE", sabotage)]).await;
        assert_eq!(output.code, Some(BROKEN), "{sabotage}: {output:?}");
        assert!(output.stderr.contains(told), "{sabotage}: {output:?}");
        assert!(
            output.stderr.contains("takes no more work"),
            "{sabotage}: {output:?}"
        );

        // No job has failed with it: a sound device answers them all.
        let worker = home.start(&["work"]);
        for id in ids {
            let outcome = client.outcome(&id).await;
            assert_eq!(outcome["predicted_class"], 3, "{sabotage}: {outcome}");
        }
        assert_eq!(worker.stop().await.code, Some(0));
    }
}

#[tokio::test]
async fn a_front_end_whose_own_worker_breaks_ends_with_its_code() {
    let home = Home::new().with_variable("MNISTQ_SABOTAGE", "device-dies");
    let front_end = home.serve(&["--max-batch", "1"]).await;
    let client = Client::new(front_end.url());
    client.upload(picture("three.jpg")).await;
    assert_eq!(front_end.output().await.code, Some(BROKEN));
}

/// The code of GPUs, on the CPU: what `make gpu-check DEVICE=cpu` runs.
#[tokio::test]
async fn the_check_of_a_device_passes_on_the_cpu_and_finds_what_is_wrong() {
    let home = Home::new().with_variable("PYTHON", "no-python-here");
    small_mnist(&home);
    let check = Path::new(env!("CARGO_MANIFEST_DIR")).join(".ci/gpu-check");
    let line = format!("{} mnistq mnist cpu", check.display());
    let output = home.start_shell(&line).output().await;
    assert_eq!(output.code, Some(0), "{output:?}");
    let table = output.stdout.rsplit("\n\n").next().unwrap();
    for row in [
        "log-probabilities off by at most",
        "other classes, of 64",
        "bf16: accuracy, other classes, off by",
        "f16: accuracy, other classes, off by",
        "ten steps as PyTorch makes them, off by at most",
        "ms for one image from bytes",
        "images/s from bytes (forward only), 8",
        "memory of this process grown in 7 batches",
        "s an epoch, batches of 64",
        "accuracy after 1 epochs, batches of 1024",
    ] {
        assert!(table.lines().any(|line| line.starts_with(row)), "{row}: {table}");
    }
    assert!(table.ends_with("all is right\n"), "{table}");

    let trajectory = std::fs::read_to_string(committed("golden/trajectory.json")).unwrap();
    let mut trajectory: Value = serde_json::from_str(&trajectory).unwrap();
    let loss = &mut trajectory["float64"]["loss"][7];
    *loss = json!(loss.as_f64().unwrap() * 1.01);
    home.write("other.json", trajectory.to_string());
    let output = home
        .start_shell(&format!("GOLDEN=other.json {line}"))
        .output()
        .await;
    assert_eq!(output.code, Some(1), "{output:?}");
    let row = "ten steps as PyTorch makes them, off by at most";
    let mut rows = output.stdout.lines().filter(|line| line.starts_with(row));
    assert!(rows.all(|row| row.contains("WRONG")), "{output:?}");
    assert!(output.stdout.ends_with("1 of these are WRONG\n"), "{output:?}");
}
