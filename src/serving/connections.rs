//! Connections, TLS or not: a bounded number, one request each, none for ever.
//! Scrapes and probes come seconds apart, so a connection that is kept saves
//! nothing, and whoever opens many holds up nobody for long.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ConnectInfo;
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::certificate::Certificate;

/// Connections at once, on one address. Some scrapers and probes need few; this
/// many, with TLS and silent, took 12 MiB in a development build.
const MOST: usize = 256;
/// How long a connection lasts: handshake, one request, the reviews that it may
/// need, and the answer. Nobody holds a place longer.
const LASTS: Duration = Duration::from_secs(15);
/// Most bytes of a request's line and headers. Tokens have one to four KiB.
const HEAD_SIZE: usize = 32 << 10;
/// Pause after a connection that could not be accepted, such as for want of
/// file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// What connections are made of.
pub enum Transport {
    /// TCP.
    Plain,
    /// TLS with this certificate.
    Tls(Certificate),
}

/// Serves until told to stop. An address that cannot be bound is told loudly
/// and does not stop the operator: leases have to end whatever a port does.
pub async fn serve(
    what: &'static str,
    address: SocketAddr,
    transport: Transport,
    app: Router,
    stop: CancellationToken,
) {
    let listener = match listen(address).await {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%address, %error, "no {what}: the address cannot be bound");
            return;
        }
    };
    let tls = matches!(transport, Transport::Tls(_));
    tracing::info!(%address, tls, "serving {what}");
    let transport = Arc::new(transport);
    let places = Arc::new(Semaphore::new(MOST));
    loop {
        let accepted = tokio::select! {
            accepted = next(&listener, &places) => accepted,
            () = stop.cancelled() => return,
        };
        let Some((place, stream, peer)) = accepted else {
            continue;
        };
        let (app, transport) = (app.clone(), transport.clone());
        tokio::spawn(async move {
            let served = timeout(LASTS, converse(stream, peer, &transport, app)).await;
            let served = served.unwrap_or_else(|_| Err("it took too long".to_owned()));
            if let Err(error) = served {
                tracing::debug!(%peer, error, "a connection ended");
            }
            drop(place);
        });
    }
}

/// Listens. "Every address" of IPv6 is that of IPv4 too, and where the machine has
/// no IPv6 it is that of IPv4 alone.
async fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    match TcpListener::bind(address).await {
        Err(error) if address.is_ipv6() && address.ip().is_unspecified() => {
            let without = SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
            TcpListener::bind(without).await.map_err(|_| error)
        }
        bound => bound,
    }
}

/// The next connection, when there is a place for it.
async fn next(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(OwnedSemaphorePermit, TcpStream, SocketAddr)> {
    let place = places.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => Some((place, stream, peer)),
        Err(error) => {
            tracing::debug!(%error, "a connection was not accepted");
            sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

/// One request and its answer.
async fn converse(
    stream: TcpStream,
    peer: SocketAddr,
    transport: &Transport,
    app: Router,
) -> Result<(), String> {
    let app = app.layer(Extension(ConnectInfo(peer)));
    match transport {
        Transport::Plain => answer(stream, app).await,
        Transport::Tls(certificate) => {
            let acceptor = TlsAcceptor::from(certificate.current()?);
            let stream = acceptor.accept(stream).await;
            answer(stream.map_err(|e| format!("no TLS: {e}"))?, app).await
        }
    }
}

async fn answer<S>(stream: S, app: Router) -> Result<(), String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    http1::Builder::new()
        .keep_alive(false)
        .max_buf_size(HEAD_SIZE)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(app))
        .await
        .map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;

    /// Kubelets of dual-stack and of IPv4 clusters come by IPv4, those of IPv6
    /// clusters by IPv6.
    #[tokio::test]
    async fn every_address_is_that_of_both_families() {
        let all = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
        let listener = listen(all).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        TcpStream::connect((Ipv4Addr::LOCALHOST, port))
            .await
            .unwrap();
        let by_v6 = TcpStream::connect((Ipv6Addr::LOCALHOST, port)).await;
        let has_v6 = std::net::TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok();
        assert_eq!(by_v6.is_ok(), has_v6, "{by_v6:?}");
    }
}
