//! The REST API, as far as an import needs it.

use std::{borrow::Cow, time::Duration};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use serde_json::json;
use ureq::http::Response;
use ureq::{Agent, Body, RequestBuilder};

use super::{Definition, Update, name};
use crate::registry::{Address, explain};

/// The longest answer that is read; a page of the API is shorter.
const ANSWER_BYTES: u64 = 32 * 1024 * 1024;

#[derive(Deserialize)]
struct List {
    data: Vec<Definition>,
    page: Page,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    next_cursor: Option<String>,
}

/// A connection to one registry with one token.
pub(super) struct Client {
    agent: Agent,
    base: String,
    authorization: String,
}

impl Client {
    pub(super) fn new(address: &Address) -> Self {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(120)))
            .build()
            .into();
        Self { agent, base: address.api(), authorization: address.authorization() }
    }

    /// Every live type of a kind in its full shape.
    pub(super) fn list(&self, path: &str) -> Result<Vec<Definition>> {
        let mut all = Vec::new();
        let mut cursor = None;
        loop {
            let mut request = self.agent.get(format!("{}/{path}", self.base)).query("limit", "200");
            if let Some(cursor) = &cursor {
                request = request.query("cursor", cursor);
            }
            let mut response = self.read(self.headed(request).call(), &|_| None)?;
            let list: List = response
                .body_mut()
                .with_config()
                .limit(ANSWER_BYTES)
                .read_json()
                .with_context(|| format!("{} does not answer as the OMS API does; check --url", self.base))?;
            all.extend(list.data);
            cursor = list.page.next_cursor;
            if cursor.is_none() {
                return Ok(all);
            }
        }
    }

    /// Creates all of a batch or nothing.
    pub(super) fn create(&self, path: &str, batch: &[Cow<'_, Definition>]) -> Result<()> {
        let request = self.headed(self.agent.post(format!("{}/{path}:batch", self.base)));
        let name_at = |pointer: &str| {
            let index: usize = pointer.strip_prefix("/items/")?.split('/').next()?.parse().ok()?;
            batch.get(index).and_then(|definition| name(definition))
        };
        self.read(request.send_json(json!({ "items": batch })), &name_at).map(drop)
    }

    /// Patches one type, unless it has changed since it was listed.
    pub(super) fn update(&self, path: &str, update: &Update<'_>) -> Result<()> {
        let request = self
            .headed(self.agent.patch(format!("{}/{path}/{}", self.base, update.id)))
            .header("If-Match", format!("\"{}\"", update.version))
            .header("Content-Type", "application/merge-patch+json");
        self.read(request.send(serde_json::to_string(&update.patch)?), &|_| Some(update.name)).map(drop)
    }

    fn headed<B>(&self, request: RequestBuilder<B>) -> RequestBuilder<B> {
        request.header("Authorization", &self.authorization).header("X-API-Version", "v2")
    }

    /// Turns everything but a success into an error that names the definitions and what to do.
    fn read<'a>(
        &self,
        response: Result<Response<Body>, ureq::Error>,
        name_at: &dyn Fn(&str) -> Option<&'a str>,
    ) -> Result<Response<Body>> {
        let mut response =
            response.with_context(|| format!("{} does not answer; run `cargo xtask up`, or check --url", self.base))?;
        let status = response.status().as_u16();
        if response.status().is_success() {
            return Ok(response);
        }
        let body = response.body_mut().with_config().limit(ANSWER_BYTES).read_to_string().unwrap_or_default();
        bail!("{}\n{}", explain(status, &body, name_at), what_to_do(status))
    }
}

fn what_to_do(status: u16) -> &'static str {
    match status {
        401 => "Give a valid --token, or run `cargo xtask down` and `up` for new ones.",
        403 => "Give a --token with the role editor or admin.",
        404 | 409 | 412 => "Something changed it meanwhile: run the import again.",
        429 | 503 => "It has too much to do: run the import again in a moment.",
        500.. => "Look for the correlation id in .oms/server.log, then run the import again.",
        _ => "Mend the file, then run the import again; what was imported stays.",
    }
}
