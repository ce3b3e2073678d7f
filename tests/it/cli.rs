//! The command line as a person and a script use it: answers, exit codes, and one clear line for each mistake.

use std::net::TcpListener;
use std::path::Path;

use serde_json::Value;

use crate::harness::client::{Client, PICTURES, picture, picture_file};
use crate::harness::mnistq::{Home, Output};
use crate::harness::process::free_port;

#[tokio::test]
async fn a_file_is_classified_and_only_its_digit_printed() {
    let home = Home::new();
    let front_end = home.serve(&[]).await;
    for (name, digit) in PICTURES {
        let output = home
            .run(&[
                "classify",
                &picture_file(name),
                "--wait",
                "--server",
                front_end.url(),
            ])
            .await;
        prints(&output, &format!("{digit}\n"));
    }
}

#[tokio::test]
async fn the_numbers_are_the_same_with_and_without_a_server() {
    let home = Home::new();
    let front_end = home.serve(&[]).await;
    let file = picture_file("four-blurry.jpg");
    let mut answers = Vec::new();
    for how in [&["--local"][..], &["--wait", "--server", front_end.url()]] {
        let output = home.run(&[&["classify", &file, "--json"], how].concat()).await;
        let answer: Value = serde_json::from_str(&output.stdout).unwrap();
        let number = |name: &str| answer[name].to_string();
        answers.push([number("confidence"), number("probabilities"), number("model")]);
    }
    assert_eq!(answers[0], answers[1]);
}

#[tokio::test]
async fn without_waiting_the_id_is_printed() {
    let home = Home::new();
    let front_end = home.serve(&[]).await;
    let file = picture_file("three.jpg");
    let output = home.run(&["classify", &file, "--server", front_end.url()]).await;
    assert_eq!(output.code, Some(0), "{output:?}");
    let id = uuid::Uuid::try_parse(output.stdout.trim()).expect("an id");
    assert_eq!(id.get_version_num(), 7);
}

#[tokio::test]
async fn several_files_are_classified_in_the_order_given() {
    let home = Home::new();
    let front_end = home.serve(&[]).await;
    let files = PICTURES.map(|(name, _)| picture_file(name));
    let mut arguments = vec!["classify", "--wait", "--server", front_end.url()];
    arguments.extend(files.iter().map(String::as_str));
    let lines: String = PICTURES
        .iter()
        .map(|(name, digit)| format!("{}: {digit}\n", picture_file(name)))
        .collect();
    prints(&home.run(&arguments).await, &lines);
}

#[tokio::test]
async fn a_folder_is_classified_with_what_is_below_it() {
    let home = Home::new();
    home.write("scans/b.webp", picture("seven-bottom.webp"));
    home.write("scans/deeper/c.JPG", picture("four-blurry.jpg"));
    home.write("scans/a.jpg", picture("three.jpg"));
    home.write("scans/notes.txt", "no picture");
    let output = home.run(&["classify", "scans", "--local"]).await;
    prints(
        &output,
        "scans/a.jpg: 3\nscans/b.webp: 7\nscans/deeper/c.JPG: 4\n",
    );
}

#[tokio::test]
async fn standard_input_is_classified() {
    let home = Home::new();
    let front_end = home.serve(&[]).await;
    let file = picture_file("three.jpg");
    let local = ["classify", "-", "--local"];
    prints(&home.run_reading(&local, Path::new(&file)).await, "3\n");
    let remote = ["classify", "-", "--wait", "--server", front_end.url()];
    prints(&home.run_reading(&remote, Path::new(&file)).await, "3\n");
}

#[tokio::test]
async fn json_is_one_object_a_line() {
    let home = Home::new();
    let front_end = home.serve(&[]).await;
    let (three, seven) = (picture_file("three.jpg"), picture_file("seven-bottom.webp"));
    for source in [&["--local"][..], &["--wait", "--server", front_end.url()]] {
        let arguments = [&["classify", "--json", three.as_str(), seven.as_str()], source].concat();
        let output = home.run(&arguments).await;
        assert_eq!(output.code, Some(0), "{output:?}");
        let lines: Vec<Value> = output
            .stdout
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let digits: Vec<_> = lines.iter().map(|line| &line["predicted_class"]).collect();
        assert_eq!(digits, [3, 7]);
        assert_eq!(lines[0]["file"], three.as_str());
        assert_eq!(lines[0]["status"], "succeeded");
        assert_eq!(lines[0]["probabilities"].as_array().map(Vec::len), Some(10));
        assert!(lines[0]["confidence"].as_f64().unwrap() > 0.5);
    }
}

#[tokio::test]
async fn of_good_and_bad_files_the_good_are_answered_and_the_exit_code_tells() {
    let home = Home::new();
    let front_end = home.serve(&[]).await;
    home.write("good.jpg", picture("three.jpg"));
    home.write("bad.png", "no picture at all");
    for source in [&["--local"][..], &["--wait", "--server", front_end.url()]] {
        let arguments = [&["classify", "bad.png", "good.jpg", "missing.png"], source].concat();
        let output = home.run(&arguments).await;
        assert_eq!(output.code, Some(1), "{output:?}");
        assert_eq!(output.stdout, "good.jpg: 3\n");
        let complaints: Vec<_> = output.stderr.lines().collect();
        assert_eq!(complaints.len(), 2, "{output:?}");
        assert!(complaints[0].contains("bad.png") && complaints[0].contains("not an image"));
        assert!(complaints[1].contains("missing.png"));
    }
}

#[tokio::test]
async fn a_folder_without_pictures_is_told() {
    let home = Home::new();
    home.write("empty/notes.txt", "no picture");
    complains(
        &home.run(&["classify", "empty", "--local"]).await,
        1,
        &["empty", "no pictures"],
    );
}

#[tokio::test]
async fn an_absent_front_end_is_told_with_what_to_do() {
    let server = format!("http://127.0.0.1:{}", free_port());
    let file = picture_file("three.jpg");
    let arguments = ["classify", &file, "--server", &server];
    complains(
        &Home::new().run(&arguments).await,
        1,
        &[&server, "mnistq serve", "--local"],
    );
}

#[tokio::test]
async fn an_unreachable_broker_and_store_are_told_with_what_to_do() {
    let home = Home::new();
    let amqp = format!("amqp://guest:canary@127.0.0.1:{}/%2f", free_port());
    let redis = format!("redis://:canary@127.0.0.1:{}/0", free_port());
    for role in [&["work"][..], &["serve", "--bind", "127.0.0.1:0"]] {
        let output = home.run(&[role, &["--broker", &amqp]].concat()).await;
        ends_with_complaint(&output, 1, &["RabbitMQ", "--broker"]);
        let output = home.run(&[role, &["--store", &redis]].concat()).await;
        ends_with_complaint(&output, 1, &["Redis", "--store"]);
    }
}

#[tokio::test]
async fn a_broker_or_store_of_the_wrong_kind_is_told() {
    let home = Home::new();
    let output = home.run(&["work", "--broker", "redis://127.0.0.1:6379/0"]).await;
    ends_with_complaint(&output, 1, &["--broker", "amqp:"]);
    let output = home.run(&["work", "--store", "amqp://127.0.0.1:5672"]).await;
    ends_with_complaint(&output, 1, &["--store", "redis:"]);
}

#[tokio::test]
async fn a_port_in_use_is_told_with_what_to_do() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = Home::new().run(&["serve", "--bind", &address]).await;
    ends_with_complaint(&output, 1, &[&address, "--bind"]);
}

#[tokio::test]
async fn missing_and_wrong_weights_are_told() {
    let home = Home::new();
    home.write("text.safetensors", "no weights at all");
    let file = picture_file("three.jpg");
    for name in ["missing.safetensors", "text.safetensors"] {
        let local = ["classify", &file, "--local", "--weights", name];
        complains(&home.run(&local).await, 1, &["--weights", name]);
        let output = home.run(&["work", "--weights", name]).await;
        ends_with_complaint(&output, 1, &["--weights", name]);
    }
}

#[tokio::test]
async fn a_damaged_database_is_told_and_left_alone() {
    let home = Home::new();
    let text = "this is a letter, and no database".repeat(200);
    let file = home.write("letter.db", &text);
    let broker = format!("sqlite:{}", file.display());
    let output = home.run(&["work", "--broker", &broker]).await;
    ends_with_complaint(&output, 1, &["letter.db"]);
    assert_eq!(std::fs::read_to_string(file).unwrap(), text);
}

#[tokio::test]
async fn what_is_asked_wrongly_is_told_and_ends_with_2() {
    let home = Home::new();
    let cases: [(&[&str], &str); 8] = [
        (&[], "Usage"),
        (&["sing"], "sing"),
        (&["serve", "--louder"], "--louder"),
        (&["classify"], "FILE"),
        (&["work", "--broker", "ftp://somewhere"], "--broker"),
        (&["work", "--max-batch", "0"], "--max-batch"),
        (&["serve", "--bind", "everywhere"], "--bind"),
        (&["serve", "--preprocess", "magic"], "--preprocess"),
    ];
    for (arguments, named) in cases {
        let output = home.run(arguments).await;
        assert_eq!(output.code, Some(2), "{arguments:?}: {output:?}");
        assert!(output.stderr.contains(named), "{arguments:?}: {output:?}");
        assert!(output.stdout.is_empty(), "{arguments:?}: {output:?}");
        no_panic(&output);
    }
}

#[tokio::test]
async fn an_unknown_key_of_the_configuration_file_is_told_with_its_line() {
    let home = Home::new();
    home.write("mine.toml", "log = \"info\"\n\n[http]\nbnid = \"127.0.0.1:1\"\n");
    let output = home.run(&["work", "--config", "mine.toml"]).await;
    complains(&output, 2, &["mine.toml", "line 4", "bnid"]);
    home.write("config/mnistq/mnistq.toml", "colour = \"blue\"\n");
    let output = home.run(&["work"]).await;
    complains(&output, 2, &["mnistq.toml", "line 1", "colour"]);
}

#[tokio::test]
async fn a_missing_configuration_file_is_told_if_it_was_named() {
    let output = Home::new().run(&["work", "--config", "missing.toml"]).await;
    complains(&output, 2, &["missing.toml"]);
}

#[tokio::test]
async fn an_unknown_variable_is_told() {
    let output = Home::new()
        .run_with(&["work"], &[("MNISTQ_BROKRE", "sqlite:q.db")])
        .await;
    complains(&output, 2, &["MNISTQ_BROKRE"]);
}

#[tokio::test]
async fn flags_win_over_variables_and_variables_over_the_file() {
    let home = Home::new();
    home.write("config/mnistq/mnistq.toml", "broker = \"sqlite:file.db\"\n");
    let database = |name: &str| home.path().join(name).exists();
    let wrong_store = ["work", "--store", "amqp://127.0.0.1"];
    home.run(&wrong_store).await;
    assert!(database("file.db"));
    home.run_with(&wrong_store, &[("MNISTQ_BROKER", "sqlite:variable.db")])
        .await;
    assert!(database("variable.db"));
    let flag = [&wrong_store[..], &["--broker", "sqlite:flag.db"]].concat();
    home.run_with(&flag, &[("MNISTQ_BROKER", "sqlite:other.db")])
        .await;
    assert!(database("flag.db") && !database("other.db"));
}

#[tokio::test]
async fn passwords_show_in_no_log() {
    let home = Home::new();
    let amqp = format!("amqp://guest:canary@127.0.0.1:{}/%2f", free_port());
    let redis = format!("redis://:canary@127.0.0.1:{}/0", free_port());
    for log in ["info", "trace"] {
        for flags in [
            ["--broker", &amqp],
            ["--store", &redis],
            ["--store", &redis.replace("redis:", "rdeis:")],
        ] {
            let output = home.run(&[&["work", "--log", log], &flags[..]].concat()).await;
            assert_ne!(output.code, Some(0));
            assert!(!output.stderr.contains("canary"), "{output:?}");
            no_panic(&output);
        }
    }
}

#[tokio::test]
async fn ctrl_c_and_sigterm_stop_every_role_cleanly() {
    let home = Home::new();
    for signal in ["INT", "TERM"] {
        let front_end = home.serve(&[]).await;
        front_end.signal(signal);
        let output = front_end.output().await;
        assert_eq!(output.code, Some(0), "{output:?}");
        let mut worker = home.start(&["work"]);
        worker.logs("opened").await;
        worker.signal(signal);
        let output = worker.output().await;
        assert_eq!(output.code, Some(0), "{output:?}");
    }
}

#[tokio::test]
async fn the_queue_is_counted_and_purged_and_who_waits_is_told() {
    let home = Home::new();
    let front_end = home.serve(&["--workers", "0"]).await;
    let client = Client::new(front_end.url());
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(client.upload(picture("three.jpg")).await);
    }
    let stats = home.run(&["queue", "stats", "--json"]).await;
    assert_eq!(stats.stdout, "{\"dead\":0,\"limit\":100000,\"waiting\":3}\n");
    assert_eq!(home.run(&["queue", "purge"]).await.stdout, "3 cancelled\n");
    for id in &ids {
        assert_eq!(client.outcome(id).await["status"], "cancelled");
    }
    let stats = home.run(&["queue", "stats"]).await;
    assert_eq!(
        stats.stdout,
        "0 of 100000 wait; 0 ended without a model's answer (mnistq dead list)\n",
    );
}

#[tokio::test]
async fn completions_are_scripts_of_their_shell() {
    let home = Home::new();
    for (shell, mark) in [
        ("bash", "complete -F"),
        ("zsh", "#compdef mnistq"),
        ("fish", "complete -c mnistq"),
    ] {
        let output = home.run(&["completions", shell]).await;
        assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""));
        assert!(
            output.stdout.contains(mark) && output.stdout.contains("classify"),
            "{shell}"
        );
    }
    let output = home.run(&["completions", "tcl"]).await;
    assert_eq!(output.code, Some(2), "{output:?}");
}

#[tokio::test]
async fn help_and_version_are_printed() {
    let home = Home::new();
    let version = home.run(&["--version"]).await;
    prints(&version, concat!("mnistq ", env!("CARGO_PKG_VERSION"), "\n"));
    let help = home.run(&["--help"]).await;
    assert_eq!(help.code, Some(0));
    let codes = "Exit codes: 0 done, 1 failed, 2 asked wrongly, 3 a worker's model or device is broken.";
    assert!(help.stdout.contains(codes), "{}", help.stdout);
    for role in [
        "serve",
        "work",
        "train",
        "evaluate",
        "classify",
        "dead",
        "queue",
        "completions",
        "bench",
    ] {
        assert!(help.stdout.contains(role), "{role} is not in the help");
    }
}

fn prints(output: &Output, stdout: &str) {
    assert_eq!(output.code, Some(0), "{output:?}");
    assert_eq!(output.stdout, stdout, "{output:?}");
    assert_eq!(output.stderr, "");
}

/// One line on standard error that names all of `named`, nothing on standard output.
fn complains(output: &Output, code: i32, named: &[&str]) {
    assert_eq!(output.stderr.lines().count(), 1, "more than a line: {output:?}");
    ends_with_complaint(output, code, named);
}

/// As [`complains`], after a log.
fn ends_with_complaint(output: &Output, code: i32, named: &[&str]) {
    assert_eq!(output.code, Some(code), "{output:?}");
    assert_eq!(output.stdout, "", "{output:?}");
    let last = output.stderr.lines().last().expect("a complaint");
    assert!(last.starts_with("mnistq: "), "{output:?}");
    for name in named {
        assert!(last.contains(name), "{name} is not named: {last}");
    }
    no_panic(output);
}

fn no_panic(output: &Output) {
    assert!(!output.stderr.contains("panicked"), "{output:?}");
    assert!(!output.stderr.contains("RUST_BACKTRACE"), "{output:?}");
}
