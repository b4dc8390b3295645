//! A proxy in front of PostgreSQL that notes statements as they pass on the wire, and can cut or freeze connections.
//!
//! It reads the frontend's side of protocol 3.0: an `Execute`, or a simple `Query`, is one round trip of the service. Not
//! noted are the preparation of a statement, which happens once per connection, and a bare `COMMIT` or `ROLLBACK`.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use reqwest::Url;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::{AbortHandle, JoinSet},
};

/// The proxy; it ends with its value.
#[derive(Debug)]
pub struct PostgresProxy {
    address: SocketAddr,
    state: Arc<State>,
    accepting: AbortHandle,
}

#[derive(Debug, Default)]
struct State {
    statements: Mutex<Vec<String>>,
    asked: AtomicU64,
    is_cut: AtomicBool,
    is_frozen: watch::Sender<bool>,
    connections: Mutex<JoinSet<()>>,
}

impl PostgresProxy {
    /// Listens in front of the server of a `postgres://` address.
    pub async fn start(url: &str) -> Self {
        let url = Url::parse(url).unwrap();
        let target = (url.host_str().unwrap().to_owned(), url.port().unwrap_or(5432));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        let accepting = tokio::spawn(accept(listener, target, state.clone())).abort_handle();
        Self { address, state, accepting }
    }

    /// The same address by way of the proxy, in the clear so that it can read along.
    #[must_use]
    pub fn address_of(&self, url: &str) -> String {
        let mut url = Url::parse(url).unwrap();
        url.set_host(Some("127.0.0.1")).unwrap();
        url.set_port(Some(self.address.port())).unwrap();
        url.set_query(Some("sslmode=disable"));
        url.into()
    }

    /// How many statements have passed so far.
    #[must_use]
    pub fn statements(&self) -> u64 {
        self.state.statements.lock().unwrap().len() as u64
    }

    /// How many connections were asked for so far, those that were refused too.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.state.asked.load(Ordering::SeqCst)
    }

    /// Runs something and tells how many statements passed meanwhile.
    pub async fn count<T>(&self, work: impl Future<Output = T>) -> (T, u64) {
        let before = self.statements();
        let done = work.await;
        (done, self.statements() - before)
    }

    /// Runs something and gives the text of the statements that passed meanwhile.
    pub async fn read<T>(&self, work: impl Future<Output = T>) -> (T, Vec<String>) {
        let before = self.state.statements.lock().unwrap().len();
        let done = work.await;
        (done, self.state.statements.lock().unwrap()[before..].to_vec())
    }

    /// Breaks every connection and refuses new ones.
    pub fn cut(&self) {
        self.state.is_cut.store(true, Ordering::SeqCst);
        self.state.connections.lock().unwrap().abort_all();
    }

    /// Keeps connections, old and new, and lets nothing of what clients send through, as a network does that loses packets.
    pub fn freeze(&self) {
        self.state.is_frozen.send_replace(true);
    }

    /// Lets everything through again.
    pub fn restore(&self) {
        self.state.is_cut.store(false, Ordering::SeqCst);
        self.state.is_frozen.send_replace(false);
    }
}

impl Drop for PostgresProxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut();
    }
}

async fn accept(listener: TcpListener, target: (String, u16), state: Arc<State>) {
    while let Ok((client, _)) = listener.accept().await {
        state.asked.fetch_add(1, Ordering::SeqCst);
        if state.is_cut.load(Ordering::SeqCst) {
            continue;
        }
        let (target, inner) = (target.clone(), state.clone());
        state.connections.lock().unwrap().spawn(async move {
            let Ok(server) = TcpStream::connect(target).await else { return };
            let _ = client.set_nodelay(true);
            let _ = server.set_nodelay(true);
            let (from_client, mut to_client) = client.into_split();
            let (mut from_server, to_server) = server.into_split();
            // Whichever side ends first ends the other, too.
            tokio::select! {
                () = read_along(from_client, to_server, &inner) => {}
                _ = copy(&mut from_server, &mut to_client) => {}
            }
        });
    }
}

async fn read_along(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, state: &State) {
    let mut frontend = Frontend::default();
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        // Its sender lives as long as the proxy.
        let _ = state.is_frozen.subscribe().wait_for(|is_frozen| !is_frozen).await;
        // Noted before it is passed on: whoever has its answer finds it noted.
        let statements = frontend.read(&buffer[..length]);
        state.statements.lock().unwrap().extend(statements);
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}

/// The frontend's stream of messages, cut anywhere.
#[derive(Debug, Default)]
struct Frontend {
    /// What has come of a message that is not complete, as far as it matters.
    pending: Vec<u8>,
    /// Bytes of a message that may pass unread.
    skip: usize,
    /// Whether the untyped start-up message is behind us.
    started: bool,
    /// The text of each statement that was prepared, by its name.
    prepared: HashMap<Vec<u8>, String>,
    /// The text of the statement whose parameters came last.
    bound: String,
}

impl Frontend {
    /// Takes the next bytes and gives the statements that became complete with them.
    fn read(&mut self, mut bytes: &[u8]) -> Vec<String> {
        const SSL_REQUEST: u32 = 80_877_103;
        const GSS_REQUEST: u32 = 80_877_104;
        let mut statements = Vec::new();
        loop {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = &bytes[skipped..];
            if self.skip > 0 {
                return statements;
            }
            self.pending.extend_from_slice(bytes);
            bytes = &[];
            let typed = usize::from(self.started);
            let Some(length) = self.number_at(typed) else { return statements };
            let total = typed + length as usize;
            let kind = if self.started { self.pending[0] } else { 0 };
            match kind {
                0 => {
                    let Some(code) = self.number_at(4) else { return statements };
                    // The server answers these two with one byte, and the start-up message follows.
                    self.started = !matches!(code, SSL_REQUEST | GSS_REQUEST);
                }
                b'Q' | b'P' if self.pending.len() < total => return statements,
                b'Q' => {
                    let [text] = texts(&self.pending[5..total]);
                    if !ends_a_transaction(text) {
                        statements.push(String::from_utf8_lossy(text).into_owned());
                    }
                }
                b'P' => {
                    let [name, text] = texts(&self.pending[5..total]);
                    self.prepared.insert(name.to_vec(), String::from_utf8_lossy(text).into_owned());
                }
                b'B' => {
                    // Parameters follow the two names, and may be long.
                    let body = &self.pending[5..self.pending.len().min(total)];
                    if body.iter().filter(|byte| **byte == 0).count() < 2 {
                        return statements;
                    }
                    let [_portal, name] = texts(body);
                    self.bound = self.prepared.get(name).cloned().unwrap_or_default();
                }
                b'E' => statements.push(self.bound.clone()),
                _ => {}
            }
            let rest = self.pending.split_off(total.min(self.pending.len()));
            self.skip = total - self.pending.len();
            self.pending = rest;
            if self.pending.is_empty() {
                return statements;
            }
        }
    }

    fn number_at(&self, at: usize) -> Option<u32> {
        let bytes = self.pending.get(at..at + 4)?;
        Some(u32::from_be_bytes(bytes.try_into().unwrap()))
    }
}

/// The texts that a message begins with, each of which ends with a zero.
fn texts<const COUNT: usize>(body: &[u8]) -> [&[u8]; COUNT] {
    let mut parts = body.split(|byte| *byte == 0);
    [(); COUNT].map(|()| parts.next().unwrap_or_default())
}

fn ends_a_transaction(query: &[u8]) -> bool {
    let text = String::from_utf8_lossy(query);
    let text = text.trim().trim_end_matches(';');
    text.eq_ignore_ascii_case("COMMIT") || text.eq_ignore_ascii_case("ROLLBACK")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap();
        [&[kind], length.to_be_bytes().as_slice(), body].concat()
    }

    fn untyped(code: u32, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 8).unwrap();
        [length.to_be_bytes().as_slice(), &code.to_be_bytes(), body].concat()
    }

    fn session() -> Vec<u8> {
        [
            untyped(80_877_103, b""),
            untyped(196_608, b"user\0oms\0\0"),
            message(b'p', b"secret\0"),
            message(b'P', b"s\0SELECT 1\0\0\0"),
            message(b'S', b""),
            message(b'P', b"t\0SELECT 2\0\0\0"),
            message(b'B', &[b"\0s\0".as_slice(), &[b'E'; 100_000]].concat()),
            message(b'E', b"\0\0\0\0\0"),
            message(b'S', b""),
            message(b'Q', b"BEGIN; SELECT 1\0"),
            message(b'Q', b"COMMIT\0"),
            message(b'Q', b"rollback;\0"),
            message(b'X', b""),
        ]
        .concat()
    }

    #[test]
    fn executes_and_queries_are_noted_and_the_end_of_a_transaction_is_not() {
        assert_eq!(Frontend::default().read(&session()), ["SELECT 1", "BEGIN; SELECT 1"]);
    }

    #[test]
    fn messages_may_be_cut_anywhere() {
        let session = session();
        for size in [1, 3, 7, 4_096] {
            let mut frontend = Frontend::default();
            let read: Vec<_> = session.chunks(size).flat_map(|chunk| frontend.read(chunk)).collect();
            assert_eq!(read, ["SELECT 1", "BEGIN; SELECT 1"], "{size} bytes at a time");
        }
    }
}
