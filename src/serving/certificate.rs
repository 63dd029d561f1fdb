//! The certificate of the TLS port: made at the start, or mounted.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Names of the files, as in a Secret of type `kubernetes.io/tls`.
const CHAIN_FILE: &str = "tls.crt";
const KEY_FILE: &str = "tls.key";
/// The name in a certificate that was made.
const NAME: &str = "keylease";

/// Where the certificate comes from.
pub struct Certificate {
    source: Source,
}

enum Source {
    Made(Arc<ServerConfig>),
    Mounted {
        folder: PathBuf,
        last: Mutex<Option<Loaded>>,
    },
}

/// What was read last, and what it became.
struct Loaded {
    files: Files,
    config: Arc<ServerConfig>,
}

#[derive(PartialEq, Eq)]
struct Files {
    chain: Vec<u8>,
    key: Vec<u8>,
}

impl Certificate {
    /// A self-signed one. It encrypts, and proves nothing: whoever is to check
    /// it needs a mounted one. It is valid as long as rcgen's default says, which
    /// is longer than any pod lives.
    ///
    /// # Errors
    /// A sentence, when there is no randomness.
    pub fn made() -> Result<Self, String> {
        let make = || {
            let mut params = CertificateParams::new(vec![NAME.to_owned()])?;
            params.distinguished_name.push(DnType::CommonName, NAME);
            let key = KeyPair::generate()?;
            let certificate = params.self_signed(&key)?;
            Ok::<_, rcgen::Error>((certificate, key))
        };
        let (certificate, key) = make().map_err(|e| format!("cannot make a certificate: {e}"))?;
        let config = config(vec![certificate.into()], key.into())?;
        let source = Source::Made(Arc::new(config));
        Ok(Self { source })
    }

    /// That of `tls.crt` and `tls.key` in this folder, as they are at each
    /// handshake: who renews them need not tell us.
    pub fn mounted(folder: &Path) -> Self {
        let source = Source::Mounted {
            folder: folder.to_owned(),
            last: Mutex::default(),
        };
        Self { source }
    }

    /// What the next handshake uses. Reads two small files where they are
    /// mounted. Files that make no sense, such as a half of a new pair, do not
    /// take away what worked.
    ///
    /// # Errors
    /// A sentence, when there is no certificate.
    pub(super) fn current(&self) -> Result<Arc<ServerConfig>, String> {
        let (folder, last) = match &self.source {
            Source::Made(config) => return Ok(config.clone()),
            Source::Mounted { folder, last } => (folder, last),
        };
        let mut last = last.lock();
        match load(folder, last.as_ref()) {
            Ok(Some(loaded)) => {
                tracing::info!(folder = %folder.display(), "a certificate was read");
                Ok(last.insert(loaded).config.clone())
            }
            Ok(None) => last_of(&last).ok_or_else(|| "no certificate was read".to_owned()),
            Err(error) => {
                tracing::warn!(error, "the certificate cannot be used");
                last_of(&last).ok_or(error)
            }
        }
    }
}

fn last_of(last: &Option<Loaded>) -> Option<Arc<ServerConfig>> {
    last.as_ref().map(|loaded| loaded.config.clone())
}

/// `None` when the files are as they were.
fn load(folder: &Path, last: Option<&Loaded>) -> Result<Option<Loaded>, String> {
    let read = |name: &str| {
        let path = folder.join(name);
        std::fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))
    };
    let files = Files {
        chain: read(CHAIN_FILE)?,
        key: read(KEY_FILE)?,
    };
    if last.is_some_and(|last| last.files == files) {
        return Ok(None);
    }
    let wrong = |name: &str, why: &str| format!("{}: {why}", folder.join(name).display());
    let chain = CertificateDer::pem_slice_iter(&files.chain)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| wrong(CHAIN_FILE, &e.to_string()))?;
    let key =
        PrivateKeyDer::from_pem_slice(&files.key).map_err(|e| wrong(KEY_FILE, &e.to_string()))?;
    let config = Arc::new(config(chain, key)?);
    Ok(Some(Loaded { files, config }))
}

fn config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, String> {
    let told = |e: rustls::Error| format!("the certificate cannot be used: {e}");
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(told)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(told)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pair in PEM, as a Secret has it.
    fn pair() -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["keylease".to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    #[test]
    fn a_renewed_certificate_is_taken_up_and_nonsense_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).unwrap();
        };
        let certificate = Certificate::mounted(folder.path());
        let error = certificate.current().unwrap_err();
        assert!(error.contains(CHAIN_FILE), "{error}");

        let (chain, key) = pair();
        write(CHAIN_FILE, &chain);
        write(KEY_FILE, &key);
        let first = certificate.current().unwrap();
        assert!(Arc::ptr_eq(&first, &certificate.current().unwrap()));

        // Not the pair of the old key, and nothing at all.
        let (chain, key) = pair();
        for wrong in [&*chain, "", "no PEM"] {
            write(CHAIN_FILE, wrong);
            let kept = certificate.current().unwrap();
            assert!(Arc::ptr_eq(&first, &kept), "{wrong}");
        }
        write(CHAIN_FILE, &chain);
        write(KEY_FILE, &key);
        let second = certificate.current().unwrap();
        assert!(!Arc::ptr_eq(&first, &second));
    }

    #[test]
    fn one_can_be_made() {
        let made = Certificate::made().unwrap();
        assert!(made.current().is_ok());
    }
}
