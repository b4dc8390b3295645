//! A function as a process, with a Runtime API of its own.

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use axum::body::Bytes;
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::{
    environment::{self, Environment},
    process::resident,
    runtime_api::{Invocation, RuntimeApi},
};

/// A running function. It is killed with its value.
pub(crate) struct Function {
    api: RuntimeApi,
    child: Child,
    /// From the start of the process to its first question for work.
    pub(crate) cold_start: Duration,
}

impl Function {
    /// Starts a program as Lambda does, and waits until it asks for work.
    pub(crate) async fn start(
        environment: &Environment,
        program: &str,
        database: &str,
        more: &[(&str, &str)],
    ) -> Result<Self> {
        let mut api = RuntimeApi::start().await?;
        let mut command = Command::new(environment.programs.join(program));
        command
            .env_clear()
            .envs(environment.function_settings(database, api.address()))
            .envs(more.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .kill_on_drop(true);
        let started = Instant::now();
        let mut child = command.spawn().with_context(|| format!("{program} does not start"))?;
        // As on Lambda, somebody takes what it logs.
        if let Some(mut lines) = child.stdout.take() {
            tokio::spawn(async move { tokio::io::copy(&mut lines, &mut tokio::io::sink()).await });
        }
        let cold_start = api.asked().await? - started;
        Ok(Self { api, child, cold_start })
    }

    /// Hands it an event.
    pub(crate) async fn invoke(&mut self, event: &Bytes) -> Result<Invocation> {
        self.api.invoke(event).await
    }

    /// Bytes of memory that it has.
    pub(crate) fn resident(&self) -> Result<f64> {
        resident(self.child.id().context("the function has ended")?)
    }

    /// Ends it.
    pub(crate) async fn stop(mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }
}

/// What an HTTP API sends to a function.
pub(crate) fn http_event(method: &str, path: &str, body: Option<&Value>) -> Result<Bytes> {
    let body = body.map(Value::to_string);
    let event = json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {
            "accept": "application/json",
            "authorization": format!("Bearer {}", environment::token()?),
            "content-type": "application/json",
            "host": "api.example",
            "x-forwarded-for": "203.0.113.7",
            "x-forwarded-proto": "https",
        },
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "bench",
            "domainName": "api.example",
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "203.0.113.7", "userAgent": "bench"},
            "requestId": "bench",
            "routeKey": "$default",
            "stage": "$default",
            "time": "25/Nov/2026:12:00:00 +0000",
            "timeEpoch": 1_795_521_600_000_i64,
        },
        "body": body,
        "isBase64Encoded": false,
    });
    Ok(event.to_string().into())
}

/// The body of what a function answers to an HTTP API; an answer that is no success is a failure.
pub(crate) fn http_body(answer: &Bytes) -> Result<String> {
    let answer: Value = serde_json::from_slice(answer)?;
    anyhow::ensure!(answer["statusCode"].as_u64().is_some_and(|status| status < 300), "the function answered {answer}");
    Ok(answer["body"].as_str().context("an answer without a body")?.to_owned())
}
