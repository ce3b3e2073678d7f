//! Writes the manual pages of `mnistq` and of each of its commands into a folder: `make man`.

use std::path::PathBuf;

fn main() -> std::io::Result<()> {
    let folder = std::env::args_os()
        .nth(1)
        .map_or_else(|| PathBuf::from("target/man"), PathBuf::from);
    std::fs::create_dir_all(&folder)?;
    clap_mangen::generate_to(mnistq::cli::command(), &folder)?;
    println!(
        "wrote the manual pages to {}: man -l {}/mnistq.1",
        folder.display(),
        folder.display()
    );
    Ok(())
}
