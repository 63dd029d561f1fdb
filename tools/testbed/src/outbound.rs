//! What stands between a closed network and AWS: a forward proxy that notes what
//! it is asked for, and a TLS end in front of the fake AWS.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use parking_lot::Mutex;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::pki::Identity;

/// Longest head of a request that is read.
const HEAD: usize = 16 << 10;

/// A free port on which each connection is served by itself. It is closed when it
/// is dropped.
#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) addr: SocketAddr,
    serving: JoinHandle<()>,
}

impl Port {
    /// Opens one.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) async fn open<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> Result<Self>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?;
        let serving = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client));
            }
        });
        Ok(Self { addr, serving })
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// A proxy as companies have them: `CONNECT`, and requests in absolute form. All
/// names lead to this machine. It ends when it is dropped.
#[derive(Debug)]
pub struct ForwardProxy {
    port: Port,
    asked: Arc<Mutex<Vec<String>>>,
}

impl ForwardProxy {
    /// Starts it on a free port.
    ///
    /// # Errors
    /// When there is none.
    pub async fn start() -> Result<Self> {
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let notes = asked.clone();
        let port = Port::open(move |client| forward(client, notes.clone())).await?;
        Ok(Self { port, asked })
    }

    /// `host:port`.
    #[must_use]
    pub fn addr(&self) -> String {
        self.port.addr.to_string()
    }

    /// The heads of what it was asked for on each connection, in their order: the
    /// request line and the headers.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().clone()
    }
}

/// One connection. Whoever goes away ends it.
async fn forward(mut client: TcpStream, asked: Arc<Mutex<Vec<String>>>) -> Option<()> {
    let read = head(&mut client).await?;
    let text = String::from_utf8_lossy(&read).into_owned();
    let mut line = text.lines().next()?.split(' ');
    let (method, target) = (line.next()?, line.next()?);
    asked.lock().push(text.clone());
    let tunnel = method == "CONNECT";
    let authority = target.trim_start_matches("http://").split('/').next()?;
    let (_, port) = authority.rsplit_once(':')?;
    let mut server = TcpStream::connect(format!("127.0.0.1:{port}")).await.ok()?;
    match tunnel {
        true => client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.ok()?,
        // HTTP/1.1 servers take the absolute form too.
        false => server.write_all(&read).await.ok()?,
    }
    copy_bidirectional(&mut client, &mut server).await.ok()?;
    Some(())
}

/// What was read up to the end of the head, and beyond if more came.
async fn head(client: &mut TcpStream) -> Option<Vec<u8>> {
    let mut read = Vec::new();
    while !read.windows(4).any(|w| w == b"\r\n\r\n") {
        let more = client.read_buf(&mut read).await.ok()?;
        if more == 0 || read.len() > HEAD {
            return None;
        }
    }
    Some(read)
}

/// Takes TLS off and passes on what is inside. It ends when it is dropped.
#[derive(Debug)]
pub struct TlsFront(Port);

impl TlsFront {
    /// Starts it in front of that address.
    ///
    /// # Errors
    /// When the certificate cannot be used, or there is no port.
    pub async fn start(identity: &Identity, behind: &str) -> Result<Self> {
        let certificate = CertificateDer::from_pem_slice(identity.cert.as_bytes())?;
        let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes())?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .context("the certificate of the TLS end")?;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let behind = behind.to_owned();
        let port = Port::open(move |client| {
            let (acceptor, behind) = (acceptor.clone(), behind.clone());
            async move {
                let mut client = acceptor.accept(client).await?;
                let mut server = TcpStream::connect(behind).await?;
                copy_bidirectional(&mut client, &mut server).await
            }
        });
        Ok(Self(port.await?))
    }

    /// Its port on this machine.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.0.addr.port()
    }
}
