//! TLS: by which certificates servers are known, and by which ours is.
//!
//! In come files of PEM, out go rustls's configurations. Opens no connection.

use std::error::Error;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::client::ClientConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert, ServerConfig};
use rustls::sign::CertifiedKey;

use crate::followed::{FollowError, Followed};

/// By which certificates servers are known to be those that they say they are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trust {
    /// A file of authorities' certificates; none: those that this system trusts.
    pub authorities: Option<PathBuf>,
}

/// Why no server can be trusted, or ours can't be told.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file of authorities can't be read.
    #[error("the certificates in {file} can't be read")]
    Read {
        /// Which.
        file: PathBuf,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
    /// There is none.
    #[error("there are no certificates to know servers by: name a file with --tls-ca")]
    NoAuthorities,
    /// What rustls says of it.
    #[error("TLS can't be used")]
    Tls(#[from] rustls::Error),
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

impl Trust {
    /// How a client of such servers connects.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn client(&self) -> Result<ClientConfig, TlsError> {
        let mut roots = RootCertStore::empty();
        match &self.authorities {
            Some(file) => {
                for certificate in certificates(file)? {
                    roots.add(certificate)?;
                }
            }
            None => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        if roots.is_empty() {
            return Err(TlsError::NoAuthorities);
        }
        let client = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
        Ok(client.with_root_certificates(roots).with_no_client_auth())
    }
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = || CertificateDer::pem_file_iter(file)?.collect::<Result<_, _>>();
    read().map_err(|error: rustls::pki_types::pem::Error| TlsError::Read {
        file: file.to_owned(),
        source: error.into(),
    })
}

/// By which certificate this server is known. Its files are followed: a renewed one is shown to whoever connects next.
pub struct Identity(Followed<CertifiedKey>);

impl Identity {
    /// Reads a chain of certificates, our own first, and the key of that.
    ///
    /// # Errors
    /// [`FollowError`].
    pub fn open(certificate: PathBuf, key: PathBuf) -> Result<Self, FollowError> {
        Followed::open("certificate and key", vec![certificate, key], certified).map(Self)
    }

    /// Reads the files again.
    pub fn follow(&self) {
        self.0.follow();
    }

    /// How a server of this identity takes connections.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn server(self: &Arc<Self>) -> Result<ServerConfig, TlsError> {
        let server = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
        Ok(server
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(self) as _))
    }
}

impl ResolvesServerCert for Identity {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.current())
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity(…)")
    }
}

fn certified(contents: &[Vec<u8>]) -> Result<CertifiedKey, Box<dyn Error + Send + Sync>> {
    let [certificate, key] = contents else {
        return Err("a certificate and a key are two files".into());
    };
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(certificate).collect::<Result<_, _>>()?;
    if chain.is_empty() {
        return Err("there is no certificate in PEM form in it".into());
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| format!("the key: {error}"))?;
    Ok(CertifiedKey::from_der(chain, key, &provider())?)
}
