//! The handlers of `/graphql`: from a request to its answer.

use std::sync::Arc;

use async_graphql::{
    Name, Request, ServerError, Value, Variables,
    parser::{
        parse_query,
        types::{ExecutableDocument, OperationType},
    },
};
use axum::{
    extract::{RawQuery, State},
    response::Response,
};
use http::{HeaderMap, StatusCode};
use oms_core::input::shorten;
use oms_edge::{ApiError, Caller, Edge, JsonBody, Outcome, RequestInfo, request::idempotency_key};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::{
    asked::Asked,
    config::GraphqlConfig,
    document,
    drive::{Batches, drive},
    limits::{self, Costs},
    persisted::Hash,
    protocol::{Media, Parameters},
    refusal::Refusal,
    schema::Schema,
};

/// What the handlers work with. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Graphql {
    pub(crate) edge: Edge,
    pub(crate) config: GraphqlConfig,
    pub(crate) schema: Schema,
}

/// The most errors of an answer: a document may be wrong in as many places as it has tokens.
const MAX_ERRORS: usize = 100;
/// The longest message, in bytes: some repeat what the client sent.
const MAX_MESSAGE: usize = 8_192;

pub(crate) async fn get(
    State(graphql): State<Graphql>,
    caller: Caller,
    info: RequestInfo,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let parameters = Parameters::of_query_string(&query.unwrap_or_default());
    Call { graphql, caller, info, headers, reads_only: true }.answer(parameters).await
}

pub(crate) async fn post(
    State(graphql): State<Graphql>,
    caller: Caller,
    info: RequestInfo,
    headers: HeaderMap,
    JsonBody(body, _): JsonBody,
) -> Result<Response, ApiError> {
    let parameters = Parameters::of_body(body);
    Call { graphql, caller, info, headers, reads_only: false }.answer(parameters).await
}

/// A request, as far as HTTP knows it.
struct Call {
    graphql: Graphql,
    caller: Caller,
    info: RequestInfo,
    headers: HeaderMap,
    /// Whether it came by a method that must not change anything.
    reads_only: bool,
}

/// A request that is worth carrying out.
struct Prepared {
    text: String,
    /// The hash of a text that came with it, to be kept when the text turns out to be good.
    new_hash: Option<Hash>,
    document: ExecutableDocument,
    variables: Variables,
    /// The name of the operation that is meant: the document has no other any more.
    operation: Option<Name>,
    costs: Costs,
    mutation: bool,
}

#[derive(Serialize)]
struct Body<'a> {
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [ServerError],
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a Value>,
}

impl Call {
    async fn answer(self, parameters: Result<Parameters, Refusal>) -> Result<Response, ApiError> {
        let media = match Media::negotiate(&self.headers) {
            Ok(media) => media,
            Err(refusal) => return Ok(self.refuse(Media::Json, &refusal)),
        };
        let prepared = async { self.prepare(parameters?).await }.await;
        match prepared {
            Ok(prepared) => self.execute(media, prepared).await,
            Err(refusal) => Ok(self.refuse(media, &refusal)),
        }
    }

    /// Everything that can be said against a request without the schema, the cheapest first.
    async fn prepare(&self, mut parameters: Parameters) -> Result<Prepared, Refusal> {
        let Graphql { edge, config, .. } = &self.graphql;
        let hash = Hash::read(&parameters.extensions)?;
        let (sent, tenant) = (parameters.query.take(), &self.caller.0.tenant);
        let new = sent.is_some();
        let text = match &hash {
            Some(hash) => hash.document(sent, &edge.registry, tenant).await?,
            None => sent.ok_or(Refusal::Parameter { name: "query", expected: "a GraphQL document" })?,
        };
        limits::measure_text(&text, config)?;
        let mut document = parse_query(&text).map_err(|error| Refusal::parse(&error))?;
        let operation = document::choose(&mut document, parameters.operation.as_deref())?;
        let mut variables = parameters.variables();
        document::settle(&mut document, &mut variables)?;
        let costs = limits::measure(&document, &variables, config)?;
        document::merge_mutations(&mut document);
        let mutation = document.operations.iter().any(|(_, operation)| operation.node.ty == OperationType::Mutation);
        if mutation && self.reads_only {
            return Err(Refusal::MutationByGet);
        }
        Ok(Prepared { text, new_hash: hash.filter(|_| new), document, variables, operation, costs, mutation })
    }

    async fn execute(self, media: Media, prepared: Prepared) -> Result<Response, ApiError> {
        let Prepared { text, new_hash, document, variables, operation, costs, mutation } = prepared;
        let idempotency = idempotency_key(&self.headers)?.filter(|_| mutation).map(|key| {
            let mut hash = Sha256::new();
            // Maps are sorted, so equal variables are equal bytes.
            for part in [text.as_bytes(), operation.as_deref().unwrap_or_default().as_bytes()] {
                hash.update(part);
                hash.update(b"\0");
            }
            hash.update(serde_json::to_vec(&variables).unwrap_or_default());
            (key.to_owned(), hash.finalize().into())
        });
        let batches = Batches::default();
        let asked = Arc::new(Asked::new(
            &self.graphql.edge,
            self.caller.0.clone(),
            self.info.clone(),
            idempotency,
            costs,
            &batches,
        ));
        let mut request = Request::new("").variables(variables).data(asked.clone());
        request.set_parsed_query(document);

        let running = drive(self.graphql.schema.execute(request), &batches);
        let response = if mutation {
            // Once begun it goes on to its end, whoever still waits for it.
            running.await
        } else {
            match tokio::time::timeout(self.info.request_timeout(), running).await {
                Ok(response) => response,
                Err(_) => return Ok(self.refuse(media, &Refusal::Timeout)),
            }
        };

        let (started, max) = (asked.started(), self.graphql.edge.config.max_response_bytes);
        if asked.is_full() {
            return Ok(self.refuse(media, &Refusal::AnswerTooLarge { max, mutation }));
        }
        let mut errors = response.errors;
        errors.truncate(MAX_ERRORS);
        for error in &mut errors {
            asked.complete(error);
            shorten(&mut error.message, MAX_MESSAGE);
        }
        let body = Body { errors: &errors, data: started.then_some(&response.data) };
        let bytes = serde_json::to_vec(&body).map_err(oms_core::error::Error::internal)?;
        if bytes.len() > max {
            return Ok(self.refuse(media, &Refusal::AnswerTooLarge { max, mutation }));
        }
        if let Some(hash) = new_hash.filter(|_| started) {
            let Caller(caller) = &self.caller;
            hash.keep(&text, &self.graphql.edge.registry, &caller.tenant).await;
        }
        let status = if !started && media == Media::Response { StatusCode::BAD_REQUEST } else { StatusCode::OK };
        let mut answer = media.answer(status, bytes);
        let code = errors.first().and_then(|error| match error.extensions.as_ref()?.get("code") {
            Some(Value::String(code)) => Some(code.clone()),
            _ => None,
        });
        answer.extensions_mut().insert(Outcome { operation: operation.map(|name| shown(&name)), code });
        Ok(answer)
    }

    fn refuse(&self, media: Media, refusal: &Refusal) -> Response {
        let errors = [refusal.to_error(self.info.locale(), self.info.correlation_id())];
        // Texts and numbers always serialize.
        let bytes = serde_json::to_vec(&Body { errors: &errors, data: None }).unwrap_or_default();
        let mut answer = media.answer(media.status(refusal), bytes);
        answer.extensions_mut().insert(Outcome { operation: None, code: Some(refusal.code().to_owned()) });
        answer
    }
}

/// Enough of a name to know it again: clients choose it.
fn shown(name: &str) -> String {
    name.chars().take(100).collect()
}
