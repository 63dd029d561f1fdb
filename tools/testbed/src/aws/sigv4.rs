//! Checking AWS Signature Version 4.

use std::collections::HashMap;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use ring::{digest, hmac};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// Everything but AWS's "unreserved" characters.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A request as the signature sees it. Header names are in lower case.
#[derive(Debug, Clone)]
pub(super) struct Signed<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) query: &'a str,
    pub(super) headers: &'a HashMap<String, String>,
    pub(super) body: &'a [u8],
}

/// The parts of an `Authorization` header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Authorization<'a> {
    pub(super) key_id: &'a str,
    pub(super) date: &'a str,
    pub(super) region: &'a str,
    pub(super) service: &'a str,
    signed_headers: &'a str,
    signature: &'a str,
}

impl<'a> Authorization<'a> {
    /// `None` when the header is not of this algorithm or is incomplete.
    pub(super) fn parse(header: &'a str) -> Option<Self> {
        let fields: HashMap<&str, &str> = header
            .strip_prefix(ALGORITHM)?
            .split(',')
            .filter_map(|field| field.trim().split_once('='))
            .collect();
        let mut scope = fields.get("Credential")?.split('/');
        let authorization = Self {
            key_id: scope.next()?,
            date: scope.next()?,
            region: scope.next()?,
            service: scope.next()?,
            signed_headers: fields.get("SignedHeaders")?,
            signature: fields.get("Signature")?,
        };
        (scope.next() == Some("aws4_request")).then_some(authorization)
    }

    /// Whether the signature is `secret`'s for this request.
    pub(super) fn verify(&self, request: &Signed<'_>, secret: &str) -> bool {
        let Some(expected) = decode_hex(self.signature) else {
            return false;
        };
        let Some(to_sign) = self.string_to_sign(request) else {
            return false;
        };
        hmac::verify(&self.signing_key(secret), to_sign.as_bytes(), &expected).is_ok()
    }

    fn signing_key(&self, secret: &str) -> hmac::Key {
        let mut key = format!("AWS4{secret}").into_bytes();
        for part in [self.date, self.region, self.service, "aws4_request"] {
            let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), part.as_bytes());
            key = tag.as_ref().to_vec();
        }
        hmac::Key::new(hmac::HMAC_SHA256, &key)
    }

    fn string_to_sign(&self, request: &Signed<'_>) -> Option<String> {
        let time = request.headers.get("x-amz-date")?;
        let canonical = self.canonical_request(request)?;
        Some(format!(
            "{ALGORITHM}\n{time}\n{}/{}/{}/aws4_request\n{}",
            self.date,
            self.region,
            self.service,
            sha256_hex(canonical.as_bytes())
        ))
    }

    fn canonical_request(&self, request: &Signed<'_>) -> Option<String> {
        let mut headers = String::new();
        for name in self.signed_headers.split(';') {
            let value = request.headers.get(name)?;
            let words: Vec<&str> = value.split_ascii_whitespace().collect();
            headers.push_str(&format!("{name}:{}\n", words.join(" ")));
        }
        Some(format!(
            "{}\n{}\n{}\n{headers}\n{}\n{}",
            request.method,
            request.path,
            canonical_query(request.query),
            self.signed_headers,
            sha256_hex(request.body)
        ))
    }
}

fn canonical_query(query: &str) -> String {
    let mut pairs: Vec<String> = form_urlencoded::parse(query.as_bytes())
        .map(|(name, value)| {
            let name = utf8_percent_encode(&name, ESCAPED);
            format!("{name}={}", utf8_percent_encode(&value, ESCAPED))
        })
        .collect();
    pairs.sort();
    pairs.join("&")
}

fn sha256_hex(data: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, data).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|nibble| char::from_digit(nibble.into(), 16))
        .collect()
}

fn decode_hex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    (0..text.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&text[i..i + 2], 16).ok())
        .collect()
}

/// The `Authorization` header of a client that signs all its headers.
#[cfg(test)]
pub(super) fn sign(request: &Signed<'_>, key_id: &str, secret: &str, service: &str) -> String {
    let mut names: Vec<&str> = request.headers.keys().map(String::as_str).collect();
    names.sort_unstable();
    let names = names.join(";");
    let authorization = Authorization {
        key_id,
        date: "20260101",
        region: "us-east-1",
        service,
        signed_headers: &names,
        signature: "",
    };
    let to_sign = authorization.string_to_sign(request).expect("x-amz-date");
    let key = authorization.signing_key(secret);
    let tag = hmac::sign(&key, to_sign.as_bytes());
    format!(
        "{ALGORITHM} Credential={key_id}/20260101/us-east-1/{service}/aws4_request, \
         SignedHeaders={names}, Signature={}",
        hex(tag.as_ref())
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example that AWS's documentation of Signature Version 4 works
    /// through.
    const HEADER: &str = "AWS4-HMAC-SHA256 \
        Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, \
        SignedHeaders=content-type;host;x-amz-date, \
        Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7";
    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

    fn headers() -> HashMap<String, String> {
        [
            (
                "content-type",
                "application/x-www-form-urlencoded; charset=utf-8",
            ),
            ("host", "iam.amazonaws.com"),
            ("x-amz-date", "20150830T123600Z"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
    }

    fn verify(secret: &str, body: &[u8]) -> bool {
        let request = Signed {
            method: "GET",
            path: "/",
            query: "Version=2010-05-08&Action=ListUsers",
            headers: &headers(),
            body,
        };
        let authorization = Authorization::parse(HEADER).expect("a valid header");
        authorization.verify(&request, secret)
    }

    #[test]
    fn accepts_the_documented_example() {
        assert!(verify(SECRET, b""));
    }

    #[test]
    fn refuses_another_secret_or_body() {
        assert!(!verify("another", b""));
        assert!(!verify(SECRET, b"Action=DeleteUser"));
    }

    #[test]
    fn refuses_malformed_headers() {
        assert_eq!(Authorization::parse("Bearer abc"), None);
        assert_eq!(
            Authorization::parse("AWS4-HMAC-SHA256 Credential=a/b/c"),
            None
        );
    }
}
