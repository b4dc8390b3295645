//! `/api-keys`: make, list, revoke.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
    routing::{delete, get, post},
};
use http::{HeaderValue, Method, StatusCode, header};
use oms_core::{
    api_key::ApiKey,
    error::{Code, Error},
};
use oms_edge::{ApiError, Edge, JsonBody};
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

use crate::{
    answer,
    call::Call,
    operation::{Docs, Operation},
};

pub(crate) fn operations() -> [Operation; 3] {
    let docs = |id: &str, summary: &str| Docs {
        id: id.to_owned(),
        tag: "API keys",
        summary: format!("{summary} (permission api_key:manage)"),
        parameters: Vec::new(),
        body: None,
        success: StatusCode::OK,
        answer: None,
        problems: &[],
    };
    [
        Operation {
            method: Method::POST,
            path: "/api/v1/api-keys".to_owned(),
            handler: post(create),
            docs: Box::new(move || Docs {
                body: Some(("ApiKeyInput".to_owned(), "application/json")),
                success: StatusCode::CREATED,
                answer: Some("NewApiKey".to_owned()),
                problems: &[413, 415],
                ..docs("createApiKey", "Make an API key; its secret is shown this once")
            }),
        },
        Operation {
            method: Method::GET,
            path: "/api/v1/api-keys".to_owned(),
            handler: get(list),
            docs: Box::new(move || Docs {
                answer: Some("ApiKeys".to_owned()),
                ..docs("listApiKeys", "All API keys, newest first")
            }),
        },
        Operation {
            method: Method::DELETE,
            path: "/api/v1/api-keys/{id}".to_owned(),
            handler: delete(revoke),
            docs: Box::new(move || Docs {
                success: StatusCode::NO_CONTENT,
                problems: &[404],
                ..docs("revokeApiKey", "Revoke an API key at once")
            }),
        },
    ]
}

#[derive(Serialize)]
struct NewApiKey<'a> {
    #[serde(flatten)]
    key: &'a ApiKey,
    secret: &'a str,
}

async fn create(State(edge): State<Edge>, call: Call, JsonBody(input, _): JsonBody) -> Result<Response, ApiError> {
    call.query().finish()?;
    let roles = &edge.config.role_permissions;
    let (key, secret) = edge.registry.api_keys.create(&call.context, &input, roles).await?;
    let mut response = answer::json(StatusCode::CREATED, &NewApiKey { key: &key, secret: secret.expose() })?;
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

async fn list(State(edge): State<Edge>, call: Call) -> Result<Response, ApiError> {
    call.query().finish()?;
    let keys = edge.registry.api_keys.list(&call.context).await?;
    answer::json(StatusCode::OK, &json!({ "data": keys }))
}

async fn revoke(State(edge): State<Edge>, call: Call) -> Result<Response, ApiError> {
    call.query().finish()?;
    let text = call.parameter("id");
    let id = Uuid::try_parse(text).map_err(|_| Error::NotFound { code: Code::ApiKeyNotFound, key: text.to_owned() })?;
    edge.registry.api_keys.revoke(&call.context, id).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
