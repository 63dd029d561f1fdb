//! A SOCKS5 proxy (RFC 1928) that notes what it is asked for.

use std::sync::Arc;

use anyhow::Result;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpStream;

use crate::outbound::Port;

/// It asks for no password, and all names and addresses lead to this machine. It
/// ends when it is dropped.
#[derive(Debug)]
pub struct SocksProxy {
    port: Port,
    asked: Arc<Mutex<Vec<String>>>,
}

impl SocksProxy {
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

    /// Where connections were asked for: names as they came, with the port.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().clone()
    }
}

/// One connection. Whoever goes away, or says something else, ends it.
async fn forward(mut client: TcpStream, asked: Arc<Mutex<Vec<String>>>) -> Option<()> {
    let (version, methods) = (client.read_u8().await.ok()?, client.read_u8().await.ok()?);
    let mut offered = vec![0; usize::from(methods)];
    client.read_exact(&mut offered).await.ok()?;
    if version != 5 || !offered.contains(&0) {
        client.write_all(&[5, 0xFF]).await.ok()?;
        return None;
    }
    client.write_all(&[5, 0]).await.ok()?;
    let mut head = [0; 4];
    client.read_exact(&mut head).await.ok()?;
    let host = match head {
        [5, 1, 0, 1] => {
            let mut ip = [0; 4];
            client.read_exact(&mut ip).await.ok()?;
            std::net::Ipv4Addr::from(ip).to_string()
        }
        [5, 1, 0, 3] => {
            let mut name = vec![0; usize::from(client.read_u8().await.ok()?)];
            client.read_exact(&mut name).await.ok()?;
            String::from_utf8(name).ok()?
        }
        _ => return None,
    };
    let port = client.read_u16().await.ok()?;
    asked.lock().push(format!("{host}:{port}"));
    let mut server = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    let connected = [5, 0, 0, 1, 127, 0, 0, 1, 0, 0];
    client.write_all(&connected).await.ok()?;
    copy_bidirectional(&mut client, &mut server).await.ok()?;
    Some(())
}
