//! The root certificates that TLS to AWS is checked against: the bundle that
//! `AWS_CA_BUNDLE` names, as in AWS's own tools, else those of the system. The
//! SDK looks for them when it makes its first connection, and fails every call
//! without a word of what is missing; so they are looked at before.

use std::env;
use std::ffi::OsString;
use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// A bundle for calls to AWS alone, in the place of the system's.
const BUNDLE: &str = "AWS_CA_BUNDLE";
/// Where rustls-native-certs is told to look.
const SETTINGS: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

/// Whom calls to AWS trust.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Roots {
    /// Whom the system trusts.
    OfSystem,
    /// These, in PEM, and nobody else.
    Bundle(Vec<u8>),
}

/// What was found.
struct Found {
    /// Certificates that can be used.
    usable: usize,
    /// Why others could not be read.
    errors: Vec<String>,
}

/// The roots, if there are any.
///
/// # Errors
/// A sentence that says what to mount.
pub fn find() -> Result<Roots, String> {
    if let Some(path) = env::var_os(BUNDLE).filter(|path| !path.is_empty()) {
        let path = Path::new(&path);
        let read = std::fs::read(path).map_err(|error| error.to_string());
        let bundle = read.and_then(bundle);
        return bundle.map_err(|why| {
            let path = path.display();
            format!("{BUNDLE}={path} cannot be used ({why}): name a bundle of certificates in PEM")
        });
    }
    let loaded = rustls_native_certs::load_native_certs();
    let (usable, _) = RootCertStore::empty().add_parsable_certificates(loaded.certs);
    let found = Found {
        usable,
        errors: loaded.errors.iter().map(ToString::to_string).collect(),
    };
    let set = SETTINGS.map(|name| (name, env::var_os(name)));
    judge(&found, &set).map(|()| Roots::OfSystem)
}

/// A bundle of which each certificate can be used: the SDK panics at others.
fn bundle(pem: Vec<u8>) -> Result<Roots, String> {
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| error.to_string())?;
        store.add(certificate).map_err(|error| error.to_string())?;
    }
    match store.is_empty() {
        true => Err("it holds no certificate".to_owned()),
        false => Ok(Roots::Bundle(pem)),
    }
}

fn judge(found: &Found, set: &[(&str, Option<OsString>)]) -> Result<(), String> {
    if found.usable > 0 {
        return Ok(());
    }
    let set: Vec<String> = set
        .iter()
        .filter_map(|(name, value)| Some(format!("{name}={}", value.as_ref()?.display())))
        .collect();
    let looked = match set.as_slice() {
        [] => "in the usual places".to_owned(),
        set => format!("where {} says", set.join(" and ")),
    };
    let why = match found.errors.as_slice() {
        [] => String::new(),
        errors => format!(" ({})", errors.join("; ")),
    };
    Err(format!(
        "there are no root certificates {looked}{why}, so AWS cannot be told from others: mount a \
         bundle in PEM and name it with SSL_CERT_FILE, or use the image's own, \
         /etc/ssl/certs/ca-certificates.crt"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(usable: usize, errors: &[&str], file: Option<&str>) -> Result<(), String> {
        let errors = errors.iter().map(ToString::to_string).collect();
        let set = [
            ("SSL_CERT_FILE", file.map(OsString::from)),
            ("SSL_CERT_DIR", None),
        ];
        judge(&Found { usable, errors }, &set)
    }

    #[test]
    fn one_that_works_is_enough() {
        assert_eq!(seen(1, &["a file that is none"], None), Ok(()));
    }

    #[test]
    fn none_is_told_with_what_to_mount() {
        let bare = seen(0, &[], None).unwrap_err();
        assert!(bare.contains("in the usual places, so AWS"), "{bare}");
        let wrong = seen(0, &["no such file"], Some("/nowhere.pem")).unwrap_err();
        let told = "where SSL_CERT_FILE=/nowhere.pem says (no such file), so AWS";
        assert!(wrong.contains(told), "{wrong}");
        assert!(wrong.contains("mount a bundle"), "{wrong}");
    }

    #[test]
    fn a_bundle_holds_certificates_that_can_be_used() {
        let made = rcgen::generate_simple_self_signed(["aws.test".to_owned()]).unwrap();
        let pem = made.cert.pem().into_bytes();
        assert_eq!(bundle(pem.clone()), Ok(Roots::Bundle(pem.clone())));
        let nothing = bundle(b"no certificate".to_vec()).unwrap_err();
        assert_eq!(nothing, "it holds no certificate");
        let mut broken = pem;
        broken.extend(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
        assert!(bundle(broken).is_err());
    }
}
