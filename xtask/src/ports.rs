//! TCP ports of this machine that nobody listens on.

use std::net::{Ipv4Addr, TcpListener, TcpStream};

use anyhow::{Context as _, Result};

/// A port that is free on 127.0.0.1, chosen by the system.
pub fn free() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port on 127.0.0.1")?;
    Ok(listener.local_addr()?.port())
}

/// The first free port from `first` on, so that addresses stay the same where they can.
pub fn free_from(first: u16) -> Result<u16> {
    (first..first.saturating_add(200))
        .find(|port| is_free(*port))
        .with_context(|| format!("no free port in the 200 from {first} on; stop what holds them and run this again"))
}

/// A free port whose cluster bus port (10,000 above, the fixed distance of Redis before 7) is free too.
pub fn free_with_cluster_bus() -> Result<u16> {
    (0..50)
        .filter_map(|_| free().ok()?.checked_sub(10_000))
        .find(|port| *port > 1024 && is_free(*port))
        .context("no two free ports at a distance of 10,000 for a Redis cluster node")
}

/// On macOS a port that is taken on all addresses can still be bound on one of them, hence the connection.
fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() && TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_passed_over() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        assert!(!is_free(port));
        assert_ne!(free_from(port).unwrap(), port);
    }
}
