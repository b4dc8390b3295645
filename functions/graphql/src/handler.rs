//! The handlers of `/graphql`: from a request to its answer.

use std::sync::Arc;

use async_graphql::{
    Request, ServerError, Value, Variables,
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
use oms_edge::{ApiError, Caller, Edge, Failed, JsonBody, RequestInfo, request::idempotency_key};
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
    document: ExecutableDocument,
    variables: Variables,
    /// The name of the operation that is meant: the document has no other any more.
    operation: Option<String>,
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
        document::choose(&mut document, parameters.operation.as_deref())?;
        let mut variables = parameters.variables();
        document::settle(&mut document, &mut variables)?;
        let costs = limits::measure(&document, &variables, config)?;
        document::merge_mutations(&mut document);
        let mutation = document.operations.iter().any(|(_, operation)| operation.node.ty == OperationType::Mutation);
        if mutation && self.reads_only {
            return Err(Refusal::MutationByGet);
        }
        if let Some(hash) = hash.filter(|_| new) {
            hash.keep(&text, &edge.registry, tenant).await;
        }
        Ok(Prepared { text, document, variables, operation: parameters.operation, costs, mutation })
    }

    async fn execute(self, media: Media, prepared: Prepared) -> Result<Response, ApiError> {
        let Prepared { text, document, variables, operation, costs, mutation } = prepared;
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
        let registry = self.graphql.edge.registry.clone();
        let asked =
            Arc::new(Asked::new(registry, self.caller.0.clone(), self.info.clone(), idempotency, costs, &batches));
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

        let mut errors = response.errors;
        errors.truncate(MAX_ERRORS);
        for error in &mut errors {
            asked.complete(error);
            shorten(&mut error.message, MAX_MESSAGE);
        }
        let started = asked.started();
        let body = Body { errors: &errors, data: started.then_some(&response.data) };
        let bytes = serde_json::to_vec(&body).map_err(oms_core::error::Error::internal)?;
        let max = self.graphql.edge.config.max_response_bytes;
        if bytes.len() > max {
            let refusal = Refusal::AnswerTooLarge { max, written: mutation };
            return Ok(self.refuse(media, &refusal));
        }
        let status = if !started && media == Media::Response { StatusCode::BAD_REQUEST } else { StatusCode::OK };
        let mut answer = media.answer(status, bytes);
        if !errors.is_empty() {
            let code = asked.failed().unwrap_or(if started { "INVALID_REQUEST" } else { "GRAPHQL_VALIDATION_FAILED" });
            answer.extensions_mut().insert(Failed(code));
        }
        Ok(answer)
    }

    fn refuse(&self, media: Media, refusal: &Refusal) -> Response {
        let errors = [refusal.to_error(self.info.locale(), self.info.correlation_id())];
        // Texts and numbers always serialize.
        let bytes = serde_json::to_vec(&Body { errors: &errors, data: None }).unwrap_or_default();
        let mut answer = media.answer(media.status(refusal), bytes);
        answer.extensions_mut().insert(Failed(refusal.code()));
        answer
    }
}
