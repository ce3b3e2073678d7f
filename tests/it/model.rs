//! Weight files, of either format and from anyone: read, written, or refused with what is wrong.

mod safetensors_files;
mod state_dict_files;

use mnistq::model::weights::Weights;

/// Why a file is refused, to its last cause.
#[track_caller]
fn refusal(file: &[u8]) -> String {
    let error = Weights::parse(file).expect_err("it was taken");
    let mut causes = vec![error.to_string()];
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        causes.push(cause.to_string());
        source = cause.source();
    }
    causes.join(": ")
}
