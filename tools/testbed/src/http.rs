//! Plain HTTP, enough to ask a child whether it is ready and to set a switch.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long an answer may take.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);

/// What a server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The body, as text.
    pub body: String,
}

/// Fetches `path` from `addr` (`127.0.0.1:8080`) without TLS.
///
/// # Errors
/// When the server cannot be reached, does not speak HTTP, or needs longer
/// than ten seconds.
pub async fn get(addr: &str, path: &str) -> Result<Answer> {
    within_limit("GET", addr, path, "").await
}

/// Sends `body` to `path`.
///
/// # Errors
/// As for [`get`].
pub async fn put(addr: &str, path: &str, body: &str) -> Result<Answer> {
    within_limit("PUT", addr, path, body).await
}

/// Sends `body` to `path`, as what is asked there.
///
/// # Errors
/// As for [`get`].
pub async fn post(addr: &str, path: &str, body: &str) -> Result<Answer> {
    within_limit("POST", addr, path, body).await
}

async fn within_limit(method: &str, addr: &str, path: &str, body: &str) -> Result<Answer> {
    let what = || format!("{method} http://{addr}{path}");
    match tokio::time::timeout(TIMEOUT, exchange(method, addr, path, body)).await {
        Ok(answer) => answer.with_context(what),
        Err(_) => bail!("{}: no answer in {TIMEOUT:?}", what()),
    }
}

async fn exchange(method: &str, addr: &str, path: &str, body: &str) -> Result<Answer> {
    let stream = TcpStream::connect(addr).await?;
    ask(
        stream,
        &format!("{method} {path}"),
        &format!("Host: {addr}"),
        body,
    )
    .await
}

/// Asks on a connection that is there: method and path, headers, body.
pub(crate) async fn ask<S>(mut stream: S, what: &str, headers: &str, body: &str) -> Result<Answer>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let length = body.len();
    // HTTP/1.0: the answer is not chunked and ends with the connection.
    let request = format!("{what} HTTP/1.0\r\n{headers}\r\nContent-Length: {length}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await?;
    let mut raw = Vec::new();
    stream.read_to_end(&mut raw).await?;
    parse(&String::from_utf8_lossy(&raw))
}

fn parse(text: &str) -> Result<Answer> {
    let (head, body) = text.split_once("\r\n\r\n").context("no HTTP header")?;
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .context("no status code")?;
    Ok(Answer {
        status,
        body: body.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_status_and_body() {
        let answer = parse("HTTP/1.0 503 Service Unavailable\r\na: b\r\n\r\nno lease\r\n");
        let answer = answer.expect("valid HTTP");
        assert_eq!(answer.status, 503);
        assert_eq!(answer.body, "no lease\r\n");
    }
}
