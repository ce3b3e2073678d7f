//! `mnistq classify`: pictures in, digits (or ids) out, by a server or in this process.
//!
//! Results go to standard output in the order of the inputs, everything else to standard error.

mod inputs;
mod local;
mod printing;
mod remote;
mod showing;

use std::process::ExitCode;

use futures_util::{StreamExt, stream};

use crate::cli;
use crate::config::Config;
use crate::terminal;
use inputs::Input;
use local::Local;
use printing::{Answer, Style, print_all, progress};
use remote::Server;

/// Pictures asked about at the same time.
const CONCURRENT: usize = 16;

/// What is wanted of a server.
#[derive(Clone, Copy)]
enum Wish {
    /// The id.
    Id,
    /// The digit.
    Digit,
    /// The digit, and the picture that the model saw.
    Picture,
}

/// Classifies all inputs. Succeeds only if each was classified, or queued where nobody waits.
pub async fn run(flags: &cli::Classify, mut config: Config) -> anyhow::Result<ExitCode> {
    config.apply_classify(flags);
    let inputs = inputs::expand(&flags.inputs)?;
    let style = if flags.json {
        Style::Json
    } else if flags.show {
        Style::Shown(terminal::colours(&std::io::stdout()))
    } else if inputs.len() == 1 {
        Style::Single
    } else {
        Style::Named
    };
    let progress = progress(inputs.len());
    let failed = if flags.local {
        let local = Local::open(&config)?;
        let answers = stream::iter(inputs).map(|input| (input.name(), local.classify(&input)));
        print_all(answers, style, &progress).await?
    } else {
        let server = Server::new(&config, flags.api_key.as_deref())?;
        let (server, wish) = (&server, wish(flags));
        let answers = stream::iter(inputs)
            .map(|input| async move { (input.name(), ask(server, &input, wish).await) })
            .buffered(CONCURRENT);
        print_all(answers, style, &progress).await?
    };
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn wish(flags: &cli::Classify) -> Wish {
    if flags.show {
        Wish::Picture
    } else if flags.wait {
        Wish::Digit
    } else {
        Wish::Id
    }
}

async fn ask(server: &Server, input: &Input, wish: Wish) -> anyhow::Result<Answer> {
    let upload = input.read().await?;
    let (body, picture) = match wish {
        Wish::Id => (server.submit(upload).await?, None),
        Wish::Digit => (server.classify(upload).await?, None),
        Wish::Picture => {
            let body = server.classify(upload.clone()).await?;
            let picture = server.normalize(upload).await;
            // An answer is worth telling without it.
            if let Err(error) = &picture {
                let error: &(dyn std::error::Error + 'static) = error.as_ref();
                tracing::warn!(error, "the server does not tell which picture the model saw");
            }
            (body, picture.ok())
        }
    };
    Ok(Answer { body, picture })
}
