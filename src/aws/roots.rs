//! The root certificates that TLS to AWS is checked against. The SDK takes them
//! from the system when it makes its first connection, and fails every call
//! without a word of what is missing; so they are looked at before.

use std::env;
use std::ffi::OsString;

use rustls::RootCertStore;

/// Where rustls-native-certs is told to look.
const SETTINGS: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

/// What was found.
struct Found {
    /// Certificates that can be used.
    usable: usize,
    /// Why others could not be read.
    errors: Vec<String>,
}

/// Whether there are any.
///
/// # Errors
/// A sentence that says what to mount.
pub fn check() -> Result<(), String> {
    let loaded = rustls_native_certs::load_native_certs();
    let (usable, _) = RootCertStore::empty().add_parsable_certificates(loaded.certs);
    let found = Found {
        usable,
        errors: loaded.errors.iter().map(ToString::to_string).collect(),
    };
    let set = SETTINGS.map(|name| (name, env::var_os(name)));
    judge(&found, &set)
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
}
