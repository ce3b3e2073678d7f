//! `state_dict` files: what PyTorch saved is read, and nothing that a stranger put into one is run or believed.

use std::fs;
use std::io::{Cursor, Write};

use mnistq::model::weights::Weights;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::refusal;
use crate::harness::data::committed;
use mnistq::train::golden::start as formula;

#[test]
fn what_pytorch_saved_is_read() {
    assert_eq!(
        Weights::parse(&archive(&pickle(), &storages()))
            .unwrap()
            .parameters,
        formula()
    );
}

#[test]
fn tensors_may_lie_anywhere_in_their_storages() {
    let mut storages = storages();
    storages[0].splice(..0, [0xff; 4]);
    let shifted = replaced(&pickle(), b"QK\x00(K\x20", b"QK\x01(K\x20");
    assert_eq!(
        Weights::parse(&archive(&shifted, &storages)).unwrap().parameters,
        formula()
    );
}

#[test]
fn parameters_are_tensors() {
    // As `torch.save(dict(model.named_parameters()), …)` says it: `_rebuild_parameter(TENSOR, True, OrderedDict())`.
    let plain = b"\x89h\x00)Rq\x0btq\x0cRq\x0dX\x0a\0\0\0conv1.bias";
    let wrapped = b"\x89h\x00)Rq\x0btq\x0cR\x88h\x00)R\x87Rq\x0dX\x0a\0\0\0conv1.bias";
    let pickle = replaced(
        &replaced(&pickle(), plain, wrapped),
        b"ctorch._utils\n_rebuild_tensor_v2\n",
        b"ctorch._utils\n_rebuild_parameter\nctorch._utils\n_rebuild_tensor_v2\n",
    );
    assert_eq!(
        Weights::parse(&archive(&pickle, &storages())).unwrap().parameters,
        formula()
    );
}

#[test]
fn whatever_a_pickle_names_beside_tensors_is_refused_by_its_name() {
    for (module, name) in [
        ("os", "system"),
        ("builtins", "eval"),
        ("__main__", "MNISTNet"),
        ("torch", "load"),
        ("torch.storage", "_load_from_bytes"),
    ] {
        let called = format!("\u{2}c{module}\n{name}\nX\u{4}\0\0\0true\u{85}R.").into_bytes();
        let called = [b"\x80", &called[..]].concat();
        // U+0085 takes two bytes as UTF-8, TUPLE1 is the second.
        let called = replaced(&called, b"\xc2\x85", b"\x85");
        let problem = refusal(&archive(&called, &[]));
        assert!(
            problem.contains(&format!("it names {module}.{name}")),
            "{problem}"
        );
    }
}

#[test]
fn what_is_no_dictionary_of_tensors_is_refused() {
    for (pickle, problem) in [
        (&b"\x80\x02K\x07."[..], "no dictionary of tensors"),
        (b"\x80\x02]q\0(K\x01K\x02e.", "no dictionary of tensors"),
        (b"\x80\x02}q\0X\x05\0\0\0epochK\x03s.", "epoch in it is no tensor"),
        (b"\x80\x02}q\0K\x01K\x03s.", "no dictionary of tensors"),
        // A dictionary in itself.
        (b"\x80\x02}q\0X\x01\0\0\0ah\0s.", "a in it is no tensor"),
        (b"\x80\x02}.", "the tensor conv1.weight is missing"),
        (b"\x80\x02.", "damaged"),
        (b"\x80\x02}(K\x01u.", "damaged"),
        (b"\x80\x02K\x01K\x02K\x03s.", "damaged"),
        (b"\x80\x02(0.", "instruction 0x30"),
        (b"", "breaks off"),
    ] {
        let found = refusal(&archive(pickle, &[]));
        assert!(found.contains(problem), "{pickle:?}: {found}");
    }
}

#[test]
fn a_tensor_that_is_strange_or_wrong_is_named() {
    let cases: [(&[u8], &[u8], &str); 6] = [
        (
            b"conv1.bias",
            b"conv1.bios",
            "the tensor conv1.bios is none of MNISTNet's",
        ),
        (
            b"FloatStorage",
            b"HalfStorage",
            "the tensor conv1.weight holds F16 numbers instead of F32",
        ),
        (
            b"(K\x20K\x01K\x03K\x03t",
            b"(K\x20K\x01K\x01K\x09t",
            "the tensor conv1.weight has the shape [32, 1, 1, 9] instead of [32, 1, 3, 3]",
        ),
        (
            b"(K\x09K\x09K\x03K\x01t",
            b"(K\x01K\x09K\x60K\x20t",
            "conv1.weight is not contiguous: save conv1.weight.contiguous()",
        ),
        (
            b"QK\x00(K\x20",
            b"QK\x01(K\x20",
            "conv1.weight has fewer numbers than its shape says",
        ),
        (b"QK\x00(K\x20", b"QJ\xff\xff\xff\xff(K\x20", "damaged"),
    ];
    for (from, to, problem) in cases {
        let found = refusal(&archive(&replaced(&pickle(), from, to), &storages()));
        assert!(found.ends_with(problem), "{found}");
    }
}

#[test]
fn a_pickle_with_any_byte_changed_or_missing_is_refused() {
    // No storage lies beside it, so that also what is as good as before can't be taken.
    let pickle = pickle();
    for length in 0..pickle.len() {
        refusal(&archive(&pickle[..length], &[]));
    }
    for place in 0..pickle.len() {
        for byte in 0..=u8::MAX {
            let mut changed = pickle.clone();
            changed[place] = byte;
            refusal(&archive(&changed, &[]));
        }
    }
}

#[test]
fn a_pickle_that_would_fill_the_memory_is_refused() {
    let doubled = [&b"\x80\x02)q\0"[..], &b"h\0\x86q\0".repeat(12_000), b"."].concat();
    let nested = [&b"\x80\x02)"[..], &b"\x85".repeat(60_000), b"."].concat();
    let marks = [&b"\x80\x02"[..], &b"(".repeat(60_000), b"."].concat();
    for bomb in [doubled, nested, marks, b"\x80\x02X\xff\xff\xff\xffa.".to_vec()] {
        refusal(&archive(&bomb, &[]));
    }
    let long = refusal(&archive(&vec![b'N'; 70_000], &[]));
    assert!(long.contains("data.pkl has more than 65536 bytes"), "{long}");
}

#[test]
fn an_archive_that_lacks_something_is_refused() {
    let mut few = storages();
    few.truncate(7);
    let missing = refusal(&archive(&pickle(), &few));
    assert!(missing.contains("specified file not found"), "{missing}");

    let whole = archive(&pickle(), &storages());
    for length in [4, 100, whole.len() / 2, whole.len() - 1] {
        refusal(&whole[..length]);
    }
    let other = zipped(&[("weights/model.json", b"{}")]);
    assert!(refusal(&other).contains("it has no data.pkl"));
}

#[test]
fn numbers_in_the_other_order_and_files_of_old_are_told() {
    let storages = storages();
    let big = zipped(&[
        ("w/data.pkl", &pickle()),
        ("w/byteorder", b"big"),
        ("w/data/0", &storages[0]),
    ]);
    assert!(refusal(&big).contains("big-endian"));
    let old = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.";
    assert!(refusal(old).contains("before PyTorch 1.6"));
}

/// What PyTorch 2.11 wrote for the network with the parameters of [`formula`].
fn pickle() -> Vec<u8> {
    fs::read(committed("state_dict/data.pkl")).unwrap()
}

fn storages() -> Vec<Vec<u8>> {
    formula()
        .arrays()
        .iter()
        .map(|array| array.iter().flat_map(|number| number.to_le_bytes()).collect())
        .collect()
}

/// What `torch.save` makes of a pickle and its storages.
fn archive(pickle: &[u8], storages: &[Vec<u8>]) -> Vec<u8> {
    let names: Vec<String> = (0..storages.len()).map(|i| format!("w/data/{i}")).collect();
    let mut files: Vec<(&str, &[u8])> = vec![("w/data.pkl", pickle), ("w/byteorder", b"little")];
    files.extend(
        names
            .iter()
            .map(String::as_str)
            .zip(storages.iter().map(Vec::as_slice)),
    );
    zipped(&files)
}

fn zipped(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in files {
        archive
            .start_file(
                *name,
                SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored),
            )
            .unwrap();
        archive.write_all(content).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

/// The first place that says `from` says `to` instead.
#[track_caller]
fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let place = bytes
        .windows(from.len())
        .position(|window| window == from)
        .expect("it says so");
    [&bytes[..place], to, &bytes[place + from.len()..]].concat()
}
