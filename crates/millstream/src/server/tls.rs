//! The certificate of a listener: read from PEM files, and read again while it serves.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, ServerConfig};

/// Why a certificate cannot be used. The operator's turn, each of them.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// A file is not there, or not for us.
    #[error("cannot read {}: {why}", path.display())]
    Read { path: PathBuf, why: std::io::Error },
    /// A file is there, and holds something else.
    #[error("{}: expected {expected} in PEM, {found}", path.display())]
    NotPem { path: PathBuf, expected: &'static str, found: String },
    /// Both are good, for themselves.
    #[error("the key in {} does not belong to the certificate in {}: give the key that it was made with",
        key.display(), cert.display())]
    Mismatch { cert: PathBuf, key: PathBuf },
    /// The library takes it for no certificate, or no key that it knows.
    #[error("the certificate in {} with the key in {} cannot be used: {why}", cert.display(), key.display())]
    Refused { cert: PathBuf, key: PathBuf, why: String },
}

/// A certificate and its key in use.
pub(crate) struct Tls {
    cert: PathBuf,
    key: PathBuf,
    used: ArcSwap<Used>,
}

/// What new connections get.
struct Used {
    files: Files,
    config: Arc<ServerConfig>,
}

/// What was read and is not in use yet.
pub(crate) struct Fresh(Used);

/// The bytes of both files, to know a change by: dates do not tell, as tools that renew write new links.
#[derive(PartialEq, Eq)]
struct Files {
    cert: Vec<u8>,
    key: Vec<u8>,
}

impl Tls {
    /// Reads a certificate with its chain, leaf first, and its key.
    ///
    /// # Errors
    /// [`TlsError`], which names the file.
    pub(crate) fn load(cert: &Path, key: &Path) -> Result<Arc<Self>, TlsError> {
        let used = ArcSwap::from_pointee(Used::read(cert, key)?);
        Ok(Arc::new(Self { cert: cert.to_owned(), key: key.to_owned(), used }))
    }

    /// Reads the files again; `None` when they have not changed. Nothing is put to use yet, so that a reload can stop at
    /// something else.
    ///
    /// # Errors
    /// [`TlsError`].
    pub(crate) fn read(&self) -> Result<Option<Fresh>, TlsError> {
        let files = Files::read(&self.cert, &self.key)?;
        if files == self.used.load().files {
            return Ok(None);
        }
        Used::of(files, &self.cert, &self.key).map(|used| Some(Fresh(used)))
    }

    /// Gives new connections what was read.
    pub(crate) fn put(&self, Fresh(used): Fresh) {
        self.used.store(Arc::new(used));
    }

    /// For the next connection.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.used.load().config.clone())
    }
}

impl Files {
    fn read(cert: &Path, key: &Path) -> Result<Self, TlsError> {
        let read = |path: &Path| {
            #[expect(clippy::disallowed_methods, reason = "the operator's files, not data of the product")]
            std::fs::read(path).map_err(|why| TlsError::Read { path: path.to_owned(), why })
        };
        Ok(Self { cert: read(cert)?, key: read(key)? })
    }
}

impl Used {
    fn read(cert: &Path, key: &Path) -> Result<Self, TlsError> {
        Self::of(Files::read(cert, key)?, cert, key)
    }

    fn of(files: Files, cert: &Path, key: &Path) -> Result<Self, TlsError> {
        let bad = |path: &Path, expected, found: &dyn std::fmt::Display| {
            let found = found.to_string();
            TlsError::NotPem { path: path.to_owned(), expected, found }
        };
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&files.cert).collect();
        let chain = chain.map_err(|error| bad(cert, "a certificate", &told(&error)))?;
        if chain.is_empty() {
            return Err(bad(cert, "a certificate", &"found none"));
        }
        let secret = PrivateKeyDer::from_pem_slice(&files.key);
        let secret = secret.map_err(|error| bad(key, "a private key without a password", &told(&error)))?;
        let config = config(chain, secret).map_err(|error| {
            let (cert, key) = (cert.to_owned(), key.to_owned());
            match error {
                rustls::Error::InconsistentKeys(_) => TlsError::Mismatch { cert, key },
                error => TlsError::Refused { cert, key, why: error.to_string() },
            }
        })?;
        Ok(Self { files, config: Arc::new(config) })
    }
}

fn told(error: &pem::Error) -> String {
    match error {
        pem::Error::NoItemsFound => "found none".to_owned(),
        error => format!("found something broken ({error})"),
    }
}

/// TLS 1.2 and 1.3 as the library has them by default, which is only what is held to be safe; no client certificates.
/// The whole configuration is new, not only the certificate in it: then nobody resumes a session with a key that was
/// taken out of use.
fn config(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<ServerConfig, rustls::Error> {
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let mut config =
        builder.with_protocol_versions(rustls::ALL_VERSIONS)?.with_no_client_auth().with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}
