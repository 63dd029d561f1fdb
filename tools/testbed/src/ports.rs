//! Free TCP ports, on 127.0.0.1 if nothing else is said.
//!
//! They come from a range below the one that systems draw client ports from.
//! So no outgoing connection takes a port while its server is stopped, and no
//! client that retries against a stopped server can connect to itself.

use std::collections::HashSet;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::sync::LazyLock;

use anyhow::{Result, bail};
use parking_lot::Mutex;

const RANGE: Range<u16> = 20_000..32_000;
const TRIES: usize = 200;

/// The ports this process has handed out, so that two servers that have not
/// started yet do not get the same.
static GIVEN: LazyLock<Mutex<HashSet<u16>>> = LazyLock::new(Mutex::default);

/// A listener on a port of `address` that was not handed out before.
///
/// # Errors
/// When 200 random ports are all taken.
pub fn bind(address: Ipv4Addr) -> Result<TcpListener> {
    let mut given = GIVEN.lock();
    for _ in 0..TRIES {
        let port = fastrand::u16(RANGE);
        if given.contains(&port) {
            continue;
        }
        if let Ok(listener) = TcpListener::bind((address, port)) {
            given.insert(port);
            return Ok(listener);
        }
    }
    bail!("no free port on {address} in {RANGE:?} after {TRIES} tries")
}

/// The same on 127.0.0.1, for a server that binds the port itself. Another process can
/// still take it before that: starters try again with another.
///
/// # Errors
/// As for [`bind`].
pub fn free() -> Result<u16> {
    Ok(bind(Ipv4Addr::LOCALHOST)?.local_addr()?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_hands_out_a_port_twice() {
        let ports: Vec<u16> = (0..50).map(|_| free().expect("a free port")).collect();
        let distinct: HashSet<u16> = ports.iter().copied().collect();
        assert_eq!(distinct.len(), ports.len());
    }
}
