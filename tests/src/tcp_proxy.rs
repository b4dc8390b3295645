//! A proxy in front of any service, which can be cut off and come back.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::{AbortHandle, JoinSet},
};

/// The proxy; it ends with its value.
#[derive(Debug)]
pub struct TcpProxy {
    address: SocketAddr,
    state: Arc<State>,
    accepting: AbortHandle,
}

#[derive(Debug, Default)]
struct State {
    is_cut: AtomicBool,
    connections: Mutex<JoinSet<()>>,
}

impl TcpProxy {
    /// Listens in front of `host:port`.
    pub async fn start(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        let accepting = tokio::spawn(accept(listener, target.to_owned(), state.clone())).abort_handle();
        Self { address, state, accepting }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Breaks every connection; new ones are closed at once.
    pub fn cut(&self) {
        self.state.is_cut.store(true, Ordering::SeqCst);
        self.state.connections.lock().unwrap().abort_all();
    }

    /// Lets connections through again.
    pub fn restore(&self) {
        self.state.is_cut.store(false, Ordering::SeqCst);
    }
}

impl Drop for TcpProxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut();
    }
}

async fn accept(listener: TcpListener, target: String, state: Arc<State>) {
    while let Ok((mut client, _)) = listener.accept().await {
        let mut connections = state.connections.lock().unwrap();
        // Those that have ended; a long test makes many.
        while connections.try_join_next().is_some() {}
        // Looked at under the lock: a cut comes before, or ends this connection too.
        if state.is_cut.load(Ordering::SeqCst) {
            continue;
        }
        let target = target.clone();
        connections.spawn(async move {
            let Ok(mut server) = TcpStream::connect(target).await else { return };
            let _ = client.set_nodelay(true);
            let _ = server.set_nodelay(true);
            let _ = copy_bidirectional(&mut client, &mut server).await;
        });
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn a_cut_breaks_what_is_open_and_what_comes_until_it_is_restored() {
        let echo = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = TcpProxy::start(&echo.local_addr().unwrap().to_string()).await;
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = echo.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        let mut open = TcpStream::connect(proxy.address()).await.unwrap();
        let mut said = [0; 2];
        open.write_all(b"hi").await.unwrap();
        open.read_exact(&mut said).await.unwrap();
        proxy.cut();
        assert!(matches!(open.read(&mut said).await, Ok(0) | Err(_)), "the open connection is broken");
        let mut refused = TcpStream::connect(proxy.address()).await.unwrap();
        assert!(matches!(refused.read(&mut said).await, Ok(0) | Err(_)), "a new one too");
        proxy.restore();
        let mut again = TcpStream::connect(proxy.address()).await.unwrap();
        again.write_all(b"yo").await.unwrap();
        again.read_exact(&mut said).await.unwrap();
        assert_eq!(&said, b"yo");
    }
}
