//! The looks at who may ask, and by which certificate the front end is known.

use super::finding::Finding;
use crate::config::Config;
use crate::http::Access;
use crate::tls::Identity;

/// Whether everybody may ask who should not.
pub fn access(config: &Config) -> Finding {
    let (check, access, bind) = ("access", &config.access, config.http.bind);
    match (Access::open(access), &access.api_keys) {
        (Err(error), _) => Finding::wrong(check, format!("{:#}", anyhow::Error::new(error)))
            .hint("make a key with `mnistq keys add NAME`, or name another file with --api-keys"),
        (Ok(_), Some(file)) => Finding::well(check, format!("who has a key of {}", file.display())),
        (Ok(_), None) if access.exposes(bind) => Finding::wrong(
            check,
            format!("everybody who can reach {bind}; `mnistq serve` won't start so"),
        )
        .hint("give --api-keys FILE (`mnistq keys add NAME` makes one), or say --public-without-keys"),
        (Ok(_), None) if bind.ip().is_loopback() => Finding::well(check, "everybody on this machine"),
        (Ok(_), None) => Finding::well(check, format!("everybody who can reach {bind}, as it was told")),
    }
}

/// Whether it can speak TLS; none if it shall not.
pub fn certificate(config: &Config) -> Option<Finding> {
    let check = "certificate";
    let (certificate, key) = match (&config.http.tls_certificate, &config.http.tls_key) {
        (None, None) => return None,
        (Some(certificate), Some(key)) => (certificate, key),
        _ => {
            return Some(
                Finding::wrong(
                    check,
                    "a certificate without its key, or a key without its certificate",
                )
                .hint("give both --tls-cert and --tls-key"),
            );
        }
    };
    Some(match Identity::open(certificate.clone(), key.clone()) {
        Ok(_) => Finding::well(check, format!("{} and its key", certificate.display())),
        Err(error) => Finding::wrong(check, format!("{:#}", anyhow::Error::new(error)))
            .hint("name files of PEM with --tls-cert and --tls-key"),
    })
}
