//! The registry that a command talks to, and what it says when something is wrong.

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use crate::state::State;
use crate::workspace;

/// Where a registry is, and as whom to call it.
#[derive(Debug, Clone)]
pub(crate) struct Address {
    url: String,
    token: String,
}

impl Address {
    /// What is not given is that of `.oms/dev.json`, with the token of an admin.
    pub(crate) fn of(url: Option<String>, token: Option<String>) -> Result<Self> {
        let (url, token) = match (url, token) {
            (Some(url), Some(token)) => (url, token),
            (url, token) => {
                let dev = State::open(&workspace::root()?)?
                    .dev()?
                    .context("nothing is up here; run `cargo xtask up` first, or give --url and --token")?;
                let token = token.or_else(|| dev.tokens.get("admin").cloned());
                let token = token.context("`.oms/dev.json` has no token; run `cargo xtask down` and `up`")?;
                (url.unwrap_or(dev.http_url), token)
            }
        };
        if !url.starts_with("http://") {
            bail!("this tool speaks plain http:// only, not `{url}`; give the URL of a local OMS");
        }
        Ok(Self { url: url.trim_end_matches('/').to_owned(), token })
    }

    /// The base URL of the REST API.
    pub(crate) fn api(&self) -> String {
        format!("{}/api/v1", self.url)
    }

    /// The value of the header `Authorization`.
    pub(crate) fn authorization(&self) -> String {
        format!("Bearer {}", self.token)
    }
}

/// An answer of RFC 9457.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Problem {
    title: String,
    code: Option<String>,
    detail: Option<String>,
    #[serde(default)]
    errors: Vec<Fault>,
    correlation_id: Option<String>,
}

#[derive(Deserialize)]
struct Fault {
    #[serde(default, alias = "parameter", alias = "header")]
    pointer: String,
    #[serde(default)]
    code: String,
    message: String,
}

/// The text of an answer that is no success. `name_at` names what a JSON Pointer into the request points at.
pub(crate) fn explain<'a>(status: u16, body: &str, name_at: &dyn Fn(&str) -> Option<&'a str>) -> String {
    let Ok(problem) = serde_json::from_str::<Problem>(body) else {
        return format!("the API answered {status}: {}", body.chars().take(500).collect::<String>());
    };
    let mut text = format!("the API answered {status} {}: {}", problem.code.unwrap_or_default(), problem.title);
    if let Some(detail) = problem.detail {
        text += &format!("\n  {detail}");
    }
    for fault in &problem.errors {
        let name = name_at(&fault.pointer).map(|name| format!("{name} ")).unwrap_or_default();
        text += &format!("\n  {name}{}: {} ({})", fault.pointer, fault.message, fault.code);
    }
    if let Some(id) = problem.correlation_id {
        text += &format!("\n  correlation id {id}");
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_problem_names_the_definition() {
        let body = json!({
            "type": "about:blank", "title": "Invalid object type", "status": 400, "code": "INVALID_OBJECT_TYPE",
            "errors": [{"pointer": "/items/1/name", "code": "INVALID_NAME", "message": "must start with a letter"}],
            "correlationId": "c-1",
        });
        let text = explain(400, &body.to_string(), &|pointer| pointer.starts_with("/items/1").then_some("Order"));
        assert_eq!(
            text,
            "the API answered 400 INVALID_OBJECT_TYPE: Invalid object type\n  \
             Order /items/1/name: must start with a letter (INVALID_NAME)\n  correlation id c-1"
        );
    }

    #[test]
    fn an_answer_of_something_else_is_shown_as_it_is() {
        assert_eq!(explain(502, "Bad Gateway", &|_| None), "the API answered 502: Bad Gateway");
    }
}
