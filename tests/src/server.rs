//! The server with everything in it, as a process.

use std::net::SocketAddr;

use crate::{
    client::Client,
    program::{Exit, Program},
    settings::Settings,
    token::Token,
};

/// A running `oms-server`. It is killed with its value; whatever it is connected to belongs to the test and stays.
#[derive(Debug)]
pub struct Server {
    program: Program,
    http: SocketAddr,
    grpc: SocketAddr,
    metrics: SocketAddr,
}

impl Server {
    /// Starts it on free ports and waits until it listens.
    pub async fn start(settings: &Settings) -> Self {
        let own = [("SERVER_HOST", "127.0.0.1"), ("SERVER_PORT", "0"), ("GRPC_PORT", "0"), ("METRICS_PORT", "0")];
        let mut program = Program::with("oms-server", &[], settings, &own);
        // Port 0 is any free one; the log says which.
        let (http, grpc, metrics) = program
            .line("it did not say where it listens", |line| {
                let address = |key: &str| line[key].as_str()?.parse::<SocketAddr>().ok();
                Some((address("http")?, address("grpc")?, address("metrics")?))
            })
            .await;
        Self { program, http, grpc, metrics }
    }

    /// A client with this role in the tenant `default`.
    #[must_use]
    pub fn client(&self, role: &str) -> Client {
        Client::new(&format!("http://{}", self.http)).with_token(Token::of(role).sign())
    }

    /// Where gRPC, gRPC-Web and Connect are.
    #[must_use]
    pub fn grpc(&self) -> String {
        format!("http://{}", self.grpc)
    }

    /// What `/metrics` says.
    pub async fn metrics(&self) -> String {
        Client::new(&format!("http://{}", self.metrics)).get("/metrics").send().await.text
    }

    /// The lines of its log so far.
    #[must_use]
    pub fn log(&self) -> Vec<String> {
        self.program.stdout()
    }

    /// How much memory it has.
    #[must_use]
    pub fn resident_bytes(&self) -> usize {
        self.program.resident_bytes()
    }

    /// Asks it to end.
    pub fn terminate(&self) {
        self.program.terminate();
    }

    /// Waits until it has ended.
    pub async fn exit(self) -> Exit {
        self.program.exit().await
    }

    /// Ends it in good order.
    pub async fn stop(self) {
        self.terminate();
        let exit = self.exit().await;
        assert_eq!(exit.code, Some(0), "{exit:?}");
    }

    /// Ends it as a crash would.
    pub async fn kill(self) {
        self.program.kill().await;
    }
}
