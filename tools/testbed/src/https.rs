//! HTTPS with a bearer token, as Prometheus scrapes.

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::http::{Answer, TIMEOUT, ask};

/// A client of one address.
pub struct Https {
    addr: String,
    tls: TlsConnector,
}

impl Https {
    /// One that checks the server's certificate against this CA.
    ///
    /// # Errors
    /// When that is no certificate in PEM.
    pub fn trusting(addr: &str, ca_pem: &str) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(ca_pem.as_bytes())?)?;
        let config = builder()?.with_root_certificates(roots);
        Ok(Self::new(addr, config.with_no_client_auth()))
    }

    /// One that takes any certificate, as `insecureSkipVerify` does.
    ///
    /// # Errors
    /// Never, as long as rustls knows ring.
    pub fn trusting_anybody(addr: &str) -> Result<Self> {
        let anybody = Arc::new(Anybody(ring::default_provider()));
        let config = builder()?
            .dangerous()
            .with_custom_certificate_verifier(anybody);
        Ok(Self::new(addr, config.with_no_client_auth()))
    }

    fn new(addr: &str, config: ClientConfig) -> Self {
        Self {
            addr: addr.to_owned(),
            tls: TlsConnector::from(Arc::new(config)),
        }
    }

    /// Fetches `path`.
    ///
    /// # Errors
    /// When the server cannot be reached, is not trusted, does not speak HTTP, or
    /// needs longer than ten seconds.
    pub async fn get(&self, path: &str, token: Option<&str>) -> Result<Answer> {
        self.ask("GET", path, token, "").await
    }

    /// Sends `body` to `path`.
    ///
    /// # Errors
    /// As for [`Https::get`].
    pub async fn put(&self, path: &str, token: Option<&str>, body: &str) -> Result<Answer> {
        self.ask("PUT", path, token, body).await
    }

    /// The certificate that the server shows, in DER.
    ///
    /// # Errors
    /// When there is no connection that is trusted.
    pub async fn certificate(&self) -> Result<Vec<u8>> {
        let stream = self.connect().await?;
        let shown = stream.get_ref().1.peer_certificates();
        let first = shown.and_then(<[_]>::first).context("no certificate")?;
        Ok(first.to_vec())
    }

    async fn ask(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: &str,
    ) -> Result<Answer> {
        let mut headers = format!("Host: {}", self.addr);
        if let Some(token) = token {
            headers.push_str(&format!("\r\nAuthorization: Bearer {token}"));
        }
        let what = format!("{method} {path}");
        let exchange = async { ask(self.connect().await?, &what, &headers, body).await };
        match timeout(TIMEOUT, exchange).await {
            Ok(answer) => answer.with_context(|| format!("{what} of https://{}", self.addr)),
            Err(_) => bail!("{what} of https://{}: no answer in {TIMEOUT:?}", self.addr),
        }
    }

    async fn connect(&self) -> Result<TlsStream<TcpStream>> {
        let host = self.addr.rsplit_once(':').context("no port")?.0;
        let name = ServerName::try_from(host.to_owned())?;
        let stream = TcpStream::connect(&self.addr).await?;
        Ok(self.tls.connect(name, stream).await?)
    }
}

fn builder() -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    Ok(builder.with_safe_default_protocol_versions()?)
}

/// Believes every certificate, and checks that the server has its key.
#[derive(Debug)]
struct Anybody(CryptoProvider);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
