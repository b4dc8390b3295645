//! `oms-server healthcheck`: whether the server beside it lives, for a container that has no other program to ask with.

use std::{
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context, ensure};
use oms_core::config::Source;

use crate::ServerConfig;

/// Each step's; whoever asks has a limit of its own for the whole.
const LIMIT: Duration = Duration::from_secs(2);

/// Asks for `/health/live` where the settings say that the server listens.
///
/// # Errors
///
/// It can't be reached, or answers something else than 200.
pub fn run(mut source: Source) -> anyhow::Result<()> {
    let server = ServerConfig::read(&mut source);
    source.finish()?;
    let host = match server.host {
        IpAddr::V4(host) if host.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(host) if host.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        host => host,
    };
    let address = SocketAddr::new(host, server.port);
    let status = ask(address).with_context(|| format!("no server answers at {address}"))?;
    ensure!(status.split(' ').nth(1) == Some("200"), "the server at {address} answers `{status}`");
    Ok(())
}

/// The first line of the answer.
fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    let request = format!("GET /health/live HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.take(4096).read_to_string(&mut answer)?;
    Ok(answer.lines().next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead, BufReader},
        net::TcpListener,
    };

    use super::*;

    /// What is said of a server that answers every request with this status line.
    fn judged(status: &'static str) -> Result<(), String> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            // To its end: closing a connection with unread bytes would reset it.
            let mut request = String::new();
            let mut lines = BufReader::new(stream.try_clone().unwrap());
            while !request.ends_with("\r\n\r\n") {
                assert_ne!(lines.read_line(&mut request).unwrap(), 0, "{request}");
            }
            stream.write_all(format!("{status}\r\nContent-Length: 0\r\n\r\n").as_bytes()).unwrap();
            request
        });
        let judged = run(Source::from_pairs([("SERVER_PORT", port.to_string())]));
        assert!(server.join().unwrap().starts_with("GET /health/live HTTP/1.1\r\n"));
        judged.map_err(|error| error.to_string().replace(&port.to_string(), "PORT"))
    }

    #[test]
    fn only_a_server_that_answers_with_200_lives() {
        assert_eq!(judged("HTTP/1.1 200 OK"), Ok(()));
        let other = "the server at 127.0.0.1:PORT answers `HTTP/1.1 503 Service Unavailable`";
        assert_eq!(judged("HTTP/1.1 503 Service Unavailable"), Err(other.to_owned()));
    }

    #[test]
    fn without_a_server_it_says_where_it_looked() {
        let refused = run(Source::from_pairs([("SERVER_PORT", "1")])).unwrap_err().to_string();
        assert_eq!(refused, "no server answers at 127.0.0.1:1");
    }
}
