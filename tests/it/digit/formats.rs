//! Pictures that another library has written, in every form that people send.

use std::fs;

use super::answers;
use crate::harness::data::committed;

#[test]
fn every_form_of_picture_is_read_for_the_digit_that_it_shows() {
    let mut pictures: Vec<(String, Vec<u8>)> = fs::read_dir(committed("pictures"))
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            (name, fs::read(entry.path()).unwrap())
        })
        .filter(|(name, _)| !name.ends_with(".py"))
        .collect();
    pictures.sort();
    assert!(pictures.len() >= 35, "there are only {} pictures", pictures.len());
    let (names, uploads): (Vec<_>, Vec<_>) = pictures.into_iter().unzip();
    for (name, answer) in names.iter().zip(answers(&uploads)) {
        assert!(
            name.starts_with(&answer.to_string()),
            "{name} is read as {answer}"
        );
    }
}
