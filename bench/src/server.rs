//! Servers as processes: `oms-server`, and the empty one.

use std::{process::Stdio, time::Duration};

use anyhow::{Context as _, Result, ensure};
use reqwest::header::{AUTHORIZATION, HeaderMap};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

use crate::environment::{self, Environment};

const LIMIT: Duration = Duration::from_secs(60);

/// A running server. It is killed with its value.
pub(crate) struct Server {
    child: Child,
    client: reqwest::Client,
    /// `http://127.0.0.1:PORT`
    pub(crate) url: String,
}

impl Server {
    /// Gives a database the schema.
    pub(crate) async fn migrate(environment: &Environment, database: &str) -> Result<()> {
        let mut command = Command::new(environment.programs.join("oms-server"));
        command.arg("migrate").env_clear().envs(environment.settings(database)).stdout(Stdio::null());
        ensure!(command.status().await.context("oms-server does not start")?.success(), "{database} is not migrated");
        Ok(())
    }

    /// Serves a database.
    pub(crate) async fn oms(environment: &Environment, database: &str, more: &[(&str, &str)]) -> Result<Self> {
        let mut settings = environment.settings(database);
        let own = [
            ("SERVER_HOST", "127.0.0.1"),
            ("SERVER_PORT", "0"),
            ("GRPC_PORT", "0"),
            ("METRICS_PORT", "0"),
            // Nobody publishes what the rows are loaded with: it would be measured along.
            ("KAFKA_BROKERS", "none"),
        ];
        settings.extend(own.map(|(key, value)| (key.to_owned(), value.to_owned())));
        let mut command = Command::new(environment.programs.join("oms-server"));
        let (child, mut lines) = start(command.env_clear().envs(settings).envs(more.iter().copied()))?;
        let http = async {
            while let Some(line) = lines.next_line().await? {
                let line: Value = serde_json::from_str(&line).unwrap_or_default();
                if let Some(address) = line["http"].as_str() {
                    return Ok(address.to_owned());
                }
            }
            anyhow::bail!("oms-server ended before it listened")
        };
        let address = tokio::time::timeout(LIMIT, http).await.context("oms-server did not listen")??;
        // One line for each request is written, and read by somebody.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, format!("Bearer {}", environment::token()?).parse()?);
        let client = reqwest::Client::builder().default_headers(headers).build()?;
        Ok(Self { child, client, url: format!("http://{address}") })
    }

    /// The empty server, with what is behind it.
    pub(crate) async fn empty(environment: &Environment, behind: &[(&str, &str)]) -> Result<Self> {
        let mut command = Command::new(environment.programs.join("reference-server"));
        let (child, mut lines) = start(command.env_clear().envs(behind.iter().copied()))?;
        let port =
            tokio::time::timeout(LIMIT, lines.next_line()).await.context("the empty server did not listen")??;
        let port = port.context("the empty server ended before it listened")?;
        Ok(Self { child, client: reqwest::Client::new(), url: format!("http://127.0.0.1:{port}") })
    }

    /// The answer to a `GET`.
    pub(crate) async fn get(&self, path: &str) -> Result<Value> {
        answer(self.client.get(format!("{}{path}", self.url)).send().await?).await
    }

    /// The answer to a `POST`.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        answer(self.client.post(format!("{}{path}", self.url)).json(body).send().await?).await
    }

    /// Ends it.
    pub(crate) async fn stop(mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }
}

fn start(command: &mut Command) -> Result<(Child, Lines<BufReader<ChildStdout>>)> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .spawn()
        .context("a server does not start")?;
    let stdout = child.stdout.take().context("a server without output")?;
    Ok((child, BufReader::new(stdout).lines()))
}

async fn answer(response: reqwest::Response) -> Result<Value> {
    let (status, text) = (response.status(), response.text().await?);
    ensure!(status.is_success(), "{status}: {text}");
    Ok(serde_json::from_str(&text)?)
}
