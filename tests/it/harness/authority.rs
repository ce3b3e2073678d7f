//! Certificates for this machine's address, from an authority that nobody else knows.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, Certificate, CertificateParams, IsCa, Issuer, KeyPair};

/// An authority, and the folder of its files.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    folder: PathBuf,
    /// The file of its own certificate, by which its servers are known.
    pub certificate: PathBuf,
}

impl Authority {
    /// A new one, with its files in a folder that is there.
    pub fn found(folder: &Path, name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        let own = params.self_signed(&key).expect("a certificate");
        let certificate = folder.join(format!("{name}.pem"));
        write(&certificate, &own.pem());
        Self {
            issuer: Issuer::new(params, key),
            folder: folder.to_owned(),
            certificate,
        }
    }

    /// Writes a certificate for 127.0.0.1 and its key, in place of what was there; gives back both files, and what a
    /// client is shown.
    pub fn issue(&self, name: &str) -> (PathBuf, PathBuf, Vec<u8>) {
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()]);
        let key = KeyPair::generate().expect("a key");
        let issued: Certificate = params
            .expect("parameters")
            .signed_by(&key, &self.issuer)
            .expect("a certificate");
        let at = |end: &str| self.folder.join(format!("{name}.{end}"));
        write(&at("crt"), &issued.pem());
        write(&at("key"), &key.serialize_pem());
        (at("crt"), at("key"), issued.der().to_vec())
    }
}

/// Where servers of other users may read it.
fn write(file: &Path, text: &str) {
    std::fs::write(file, text).expect("a file");
}
