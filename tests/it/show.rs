//! `mnistq classify --show`: the picture that the model saw, and how sure it is of each digit.

use crate::harness::client::picture_file;
use crate::harness::mnistq::Home;

/// Rows of the panel: two pixels each.
const ROWS: usize = 14;

#[tokio::test]
async fn the_picture_and_ten_bars_are_shown_with_and_without_a_server() {
    let home = Home::new();
    let front_end = home.serve(&[]).await;
    let files = ["three.jpg", "seven-bottom.webp"].map(picture_file);
    let mut shown = Vec::new();
    for how in [&["--local"][..], &["--server", front_end.url()]] {
        let asked = [&["classify", "--show", &files[0], &files[1]], how].concat();
        let output = home.run(&asked).await;
        assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""));
        shown.push(output.stdout);
    }
    assert_eq!(shown[0], shown[1]);
    // Plain characters, since nobody looks.
    assert!(shown[0].is_ascii(), "{}", shown[0]);
    let lines: Vec<&str> = shown[0].lines().collect();
    assert_eq!(lines.len(), 2 * (1 + ROWS), "{}", shown[0]);
    for (panel, (file, digit)) in lines.chunks(1 + ROWS).zip(files.iter().zip([3, 7])) {
        assert_eq!(panel[0], format!("{file}: {digit}"));
        let picture = panel[1..].iter().map(|line| &line[..line.len().min(28)]);
        let ink = picture.filter(|row| row.contains(['#', '%', '@'])).count();
        assert!(ink > 5, "no digit to be seen: {panel:#?}");
        let bars: Vec<&&str> = panel.iter().filter(|line| line.ends_with(" %")).collect();
        assert_eq!(bars.len(), 10, "{panel:#?}");
        for (class, bar) in bars.iter().enumerate() {
            assert!(bar[28..].starts_with(&format!("  {class} ")), "{bar}");
            assert_eq!(bar.contains("####"), class == digit, "{bar}");
        }
    }
}

#[tokio::test]
async fn what_is_shown_is_for_people_and_not_json() {
    let file = picture_file("three.jpg");
    let asked = ["classify", &file, "--local", "--show", "--json"];
    let output = Home::new().run(&asked).await;
    assert_eq!(output.code, Some(2), "{output:?}");
    assert!(
        output.stdout.is_empty() && output.stderr.contains("--json"),
        "{output:?}"
    );
}

#[tokio::test]
async fn what_can_not_be_read_is_told_and_the_rest_is_shown() {
    let home = Home::new();
    let front_end = home.serve(&[]).await;
    home.write("bad.png", "no picture at all");
    let file = picture_file("three.jpg");
    for how in [&["--local"][..], &["--server", front_end.url()]] {
        let output = home
            .run(&[&["classify", "--show", "bad.png", &file], how].concat())
            .await;
        assert_eq!(output.code, Some(1), "{output:?}");
        assert_eq!(output.stdout.lines().count(), 1 + ROWS, "{output:?}");
        assert!(output.stderr.contains("bad.png"), "{output:?}");
    }
}
