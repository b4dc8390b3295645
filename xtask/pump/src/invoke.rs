//! Invocations, as the AWS API takes them.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use serde_json::Value;
use tokio::net::TcpStream;

/// The longest that AWS lets a function run. cargo-lambda may compile it first.
const TIMEOUT: Duration = Duration::from_secs(900);

/// How often to look whether the functions are there.
const TRY: Duration = Duration::from_millis(200);

/// The functions behind one base URL; a clone is the same.
#[derive(Debug, Clone)]
pub(crate) struct Functions {
    client: reqwest::Client,
    base: String,
}

impl Functions {
    pub(crate) fn new(base: &str) -> Result<Self> {
        let client = reqwest::Client::builder().timeout(TIMEOUT).build()?;
        Ok(Self { client, base: base.trim_end_matches('/').to_owned() })
    }

    /// Waits until somebody listens: the functions are told where Kafka is, so they start after the pump.
    pub(crate) async fn until_there(&self) -> Result<()> {
        let url: reqwest::Url = self.base.parse().context("--functions is not a URL")?;
        let host = url.host_str().context("--functions has no host")?;
        let port = url.port_or_known_default().context("--functions has no port")?;
        let mut tries = tokio::time::interval(TRY);
        loop {
            tries.tick().await;
            // A request would start a function.
            if TcpStream::connect((host, port)).await.is_ok() {
                return Ok(());
            }
        }
    }

    /// Invokes a function and waits for its answer; a line on stderr tells how it went.
    pub(crate) async fn invoke(&self, function: &str, what: &str, event: &Value) -> Result<Value> {
        let began = Instant::now();
        let answer = self.post(function, event).await;
        let took = began.elapsed().as_millis();
        match &answer {
            Ok(answer) => eprintln!("{function}: {what}: {answer} ({took} ms)"),
            Err(error) => eprintln!("{function}: {what}: failed: {error:#} ({took} ms)"),
        }
        answer
    }

    async fn post(&self, function: &str, event: &Value) -> Result<Value> {
        let url = format!("{}/2015-03-31/functions/{function}/invocations", self.base);
        let response = self.client.post(&url).json(event).send().await.context("the function can't be reached")?;
        let (status, has_failed) = (response.status(), response.headers().contains_key("x-amz-function-error"));
        let body = response.text().await.context("the answer was cut")?;
        if has_failed || !status.is_success() {
            bail!("{status}: {}", body.trim());
        }
        if body.trim().is_empty() {
            return Ok(Value::Null);
        }
        let answer: Value = serde_json::from_str(&body).map_err(|error| anyhow!("not JSON ({error}): {body}"))?;
        if answer.get("errorType").is_some() {
            bail!("{answer}");
        }
        Ok(answer)
    }
}
