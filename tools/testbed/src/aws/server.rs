//! The network of the fake: HTTP/1.1 on loopback, on a thread of its own, so
//! that a test that blocks its runtime does not stop AWS.

use std::convert::Infallible;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Response};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::engine::{Engine, Reply, Request};
use super::fault::FaultKind;
use super::inspect;

const LONGEST_BODY: usize = 8 << 20;

/// What the server does with connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Answer.
    Up,
    /// Close them, at once.
    Down,
    /// Close them, and end.
    Stopped,
}

/// The error that makes hyper close a connection without an answer.
#[derive(Debug)]
struct NoAnswer;

impl std::fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the connection is closed without an answer, on purpose")
    }
}

impl std::error::Error for NoAnswer {}

type Shared = Arc<Mutex<Engine>>;

/// Serves until the mode is `Stopped`. Runs on the calling thread.
pub(super) fn run(
    listener: TcpListener,
    engine: &Shared,
    mode: watch::Receiver<Mode>,
) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("making the runtime of the fake")?;
    runtime.block_on(accept(listener, engine, mode))
}

async fn accept(
    listener: TcpListener,
    engine: &Shared,
    mut mode: watch::Receiver<Mode>,
) -> Result<()> {
    listener.set_nonblocking(true)?;
    let mut connections = 0;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => accepted.context("accepting a connection")?.0,
            // The sender is gone: nobody uses the fake any more.
            changed = mode.changed() => match changed {
                Ok(()) if *mode.borrow() != Mode::Stopped => continue,
                _ => return Ok(()),
            },
        };
        if *mode.borrow() == Mode::Up {
            connections += 1;
            tokio::spawn(serve(stream, connections, engine.clone(), mode.clone()));
        }
    }
}

/// A connection leads to one of AWS's servers for as long as it lasts.
async fn serve(stream: TcpStream, number: usize, engine: Shared, mut mode: watch::Receiver<Mode>) {
    // Without it, answers wait for the client's delayed acknowledgements.
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| answer(engine.clone(), number, request));
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        // Ends in an error when a client or a fault breaks the connection.
        _ = connection => {}
        _ = mode.wait_for(|mode| *mode != Mode::Up) => {}
    }
}

async fn answer(
    engine: Shared,
    connection: usize,
    request: hyper::Request<Incoming>,
) -> Result<Response<Full<Bytes>>, NoAnswer> {
    let (parts, body) = request.into_parts();
    if parts.method == Method::GET && parts.uri.path().starts_with(inspect::PREFIX) {
        return Ok(inspect::answer(&engine.lock(), parts.uri.path()));
    }
    let body = Limited::new(body, LONGEST_BODY).collect().await;
    let headers = parts.headers.iter().map(|(name, value)| {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        (name.as_str().to_owned(), value)
    });
    let request = Request::new(
        parts.method.as_str(),
        parts.uri.path(),
        parts.uri.query().unwrap_or_default(),
        headers.collect(),
        body.map_err(|_| NoAnswer)?.to_bytes().into(),
    )
    .over(connection);
    let fault = engine.lock().strike(&request);
    match fault {
        Some(FaultKind::DropBefore) => {
            engine.lock().drop_request(&request, Instant::now());
            Err(NoAnswer)
        }
        Some(FaultKind::Hang) => {
            engine.lock().drop_request(&request, Instant::now());
            match std::future::pending::<Infallible>().await {}
        }
        // A task of its own: a caller that hangs up does not stop the call
        // from taking effect.
        fault => tokio::spawn(carry_out(engine, request, fault))
            .await
            .map_err(|_| NoAnswer)?,
    }
}

async fn carry_out(
    engine: Shared,
    request: Request,
    fault: Option<FaultKind>,
) -> Result<Response<Full<Bytes>>, NoAnswer> {
    let half = engine.lock().config.latency / 2;
    let before = match &fault {
        Some(FaultKind::Delay(delay)) => half + *delay,
        _ => half,
    };
    let after = match &fault {
        Some(FaultKind::DelayReply(delay)) => half + *delay,
        _ => half,
    };
    pause(before).await;
    let reply = engine
        .lock()
        .apply(&request, fault.as_ref(), Instant::now());
    pause(after).await;
    match fault {
        Some(FaultKind::LostReply) => Err(NoAnswer),
        _ => Ok(response(reply)),
    }
}

async fn pause(duration: std::time::Duration) {
    if !duration.is_zero() {
        tokio::time::sleep(duration).await;
    }
}

fn response(reply: Reply) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(reply.body));
    *response.status_mut() =
        hyper::StatusCode::from_u16(reply.status).unwrap_or(hyper::StatusCode::BAD_REQUEST);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/xml"));
    if let Ok(id) = HeaderValue::from_str(&reply.request_id) {
        headers.insert("x-amzn-requestid", id);
    }
    response
}
