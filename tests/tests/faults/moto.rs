//! A moto that is fast enough, and keeps what SQS promises of a FIFO queue; `aws_server.py` says how.

use std::{net::TcpListener, process::Stdio};

use oms_tests::{until, workspace_root};
use tokio::process::{Child, Command};
use xtask::services::Moto;

/// A running server. It ends with its value, or with the test: it reads the other end of a pipe.
#[derive(Debug)]
pub(crate) struct FastMoto {
    port: u16,
    _child: Child,
}

impl FastMoto {
    pub(crate) async fn start() -> Self {
        let python = Moto::python(workspace_root()).expect("moto is not installed; run `cargo xtask test --faults`");
        // Free a moment ago; nobody else looks for one while this test starts.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new(python)
            .args(["-c", include_str!("aws_server.py"), &port.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let moto = Self { port, _child: child };
        until("moto did not answer", async || reqwest::get(moto.endpoint()).await.ok().map(drop)).await;
        moto
    }

    /// `http://127.0.0.1:PORT`
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address())
    }

    /// `127.0.0.1:PORT`
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}
