//! The files that training takes, and those that it refuses, each by its name.

use mnistq::train::dataset::{Dataset, Split};

use super::{packed, small_mnist};
use crate::harness::data::unpacked;
use crate::harness::mnistq::Home;

#[test]
fn files_are_read_plain_and_gzipped_under_both_of_their_names() {
    let home = Home::new();
    let folder = small_mnist(&home);
    let gzipped = Dataset::read(&folder, Split::Train).unwrap();
    assert_eq!(gzipped.len(), 640);
    let images = unpacked("golden/train640-images-idx3-ubyte.gz");
    let labels = unpacked("golden/train640-labels-idx1-ubyte.gz");
    home.write("plain/train-images.idx3-ubyte", &images);
    home.write("plain/train-labels-idx1-ubyte", &labels);
    let plain = Dataset::read(&home.path().join("plain"), Split::Train).unwrap();
    assert!(plain == gzipped);
    assert_eq!(plain.image(639), &images[images.len() - 784..]);
    assert_eq!(plain.labels(), &labels[8..]);
}

#[test]
fn a_file_that_is_wrong_is_named_with_what_is_wrong() {
    let images = unpacked("golden/train640-images-idx3-ubyte.gz");
    let labels = unpacked("golden/train640-labels-idx1-ubyte.gz");
    let mut eleven = labels.clone();
    eleven[100] = 11;
    let cut = packed(&images);
    let cut = &cut[..cut.len() / 2];
    let cases: [(&str, &[u8], &str); 6] = [
        (
            "train-images-idx3-ubyte",
            &labels,
            "0x00000801 instead of 0x00000803",
        ),
        (
            "train-images-idx3-ubyte",
            &images[..images.len() - 1],
            "640 items",
        ),
        ("train-images-idx3-ubyte", b"", "breaks off"),
        ("train-images-idx3-ubyte.gz", cut, "can't be read"),
        ("train-labels-idx1-ubyte", &eleven, "labels from 0 to 9"),
        (
            "train-labels-idx1-ubyte",
            &labels[..labels.len() - 1],
            "640 items",
        ),
    ];
    for (name, content, problem) in cases {
        let home = Home::new();
        let folder = small_mnist(&home);
        std::fs::remove_file(folder.join(format!("{}.gz", name.trim_end_matches(".gz")))).unwrap();
        home.write(&format!("mnist/{name}"), content);
        let error = Dataset::read(&folder, Split::Train).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains(problem), "{name}: {error}");
    }
}

#[tokio::test]
async fn a_missing_file_is_named_with_all_that_are_wanted() {
    let home = Home::new();
    let folder = small_mnist(&home);
    std::fs::remove_file(folder.join("t10k-labels-idx1-ubyte.gz")).unwrap();
    for command in ["train", "evaluate"] {
        let output = home.run(&[command, "--data", "mnist"]).await;
        assert_eq!(output.code, Some(1), "{output:?}");
        let first = "mnistq: t10k-labels-idx1-ubyte is not in mnist";
        assert!(output.stderr.starts_with(first), "{output:?}");
        assert!(output.stderr.contains("train-images-idx3-ubyte"), "{output:?}");
    }
}
