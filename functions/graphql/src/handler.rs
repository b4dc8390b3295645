//! The handlers of `/graphql`: from a request to its answer.

use std::sync::{Arc, LazyLock};

use async_graphql::{
    Name, Request, Variables,
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
use oms_edge::{ApiError, Caller, Edge, JsonBody, Outcome, RequestInfo, request::idempotency_key};
use sha2::{Digest, Sha256};

use crate::{
    answer::Answer,
    asked::Asked,
    config::GraphqlConfig,
    document,
    drive::{Batches, drive},
    limits::{self, Costs},
    persisted::Hash,
    protocol::{Accepted, Media, Parameters},
    refusal::Refusal,
    schema::Schema,
    stream::Subscription,
};

/// What the handlers work with. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Graphql {
    pub(crate) edge: Edge,
    pub(crate) config: GraphqlConfig,
    pub(crate) schema: Arc<LazyLock<Schema>>,
}

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
    kind: OperationType,
}

impl Call {
    async fn answer(self, parameters: Result<Parameters, Refusal>) -> Result<Response, ApiError> {
        let Accepted { media, streams } = match Accepted::negotiate(&self.headers) {
            Ok(accepted) => accepted,
            Err(refusal) => return Ok(self.refuse(Media::Json, &refusal)),
        };
        let prepared = async { self.prepare(parameters?).await }.await;
        match prepared {
            Ok(prepared) if prepared.kind != OperationType::Subscription => self.execute(media, prepared).await,
            Ok(prepared) if streams => Ok(self.subscribe(prepared).await),
            Ok(_) => Ok(self.refuse(media, &Refusal::NeedsEventStream)),
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
        document::merge_root(&mut document);
        let chosen = document.operations.iter().next().map(|(_, operation)| &operation.node);
        let kind = chosen.map_or(OperationType::Query, |operation| operation.ty);
        match (kind, chosen) {
            (OperationType::Mutation, _) if self.reads_only => return Err(Refusal::MutationByGet),
            (OperationType::Subscription, Some(operation)) => document::check_subscription(operation)?,
            _ => {}
        }
        Ok(Prepared { text, new_hash: hash.filter(|_| new), document, variables, operation, costs, kind })
    }

    async fn execute(self, media: Media, prepared: Prepared) -> Result<Response, ApiError> {
        let Prepared { text, new_hash, document, variables, operation, costs, kind } = prepared;
        let mutation = kind == OperationType::Mutation;
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

        let max = self.graphql.edge.config.max_response_bytes;
        let answer = match Answer::new(&asked, response, max, mutation) {
            Ok(answer) => answer,
            Err(refusal) => return Ok(self.refuse(media, &refusal)),
        };
        if let Some(hash) = new_hash.filter(|_| answer.started) {
            hash.keep(&text, &self.graphql.edge.registry, &self.caller.0.tenant).await;
        }
        let status = if !answer.started && media == Media::Response { StatusCode::BAD_REQUEST } else { StatusCode::OK };
        Ok(told(media.answer(status, answer.json), operation, answer.code))
    }

    async fn subscribe(self, prepared: Prepared) -> Response {
        let Prepared { text, new_hash, document, variables, operation, costs, .. } = prepared;
        let last = self.headers.get("last-event-id").and_then(|id| id.to_str().ok()).filter(|id| !id.is_empty());
        let last = last.map(str::to_owned);
        let Graphql { edge, schema, .. } = self.graphql;
        let subscription =
            Subscription { edge, schema, caller: self.caller.0, info: self.info, document, variables, costs };
        match subscription.open(last).await {
            Ok(session) => {
                if let Some(hash) = new_hash {
                    hash.keep(&text, &subscription.edge.registry, &subscription.caller.tenant).await;
                }
                told(subscription.stream(session), operation, None)
            }
            Err(failed) => told(Media::EventStream.answer(StatusCode::OK, failed.json), operation, failed.code),
        }
    }

    fn refuse(&self, media: Media, refusal: &Refusal) -> Response {
        let answer = Answer::refused(refusal, &self.info);
        told(media.answer(media.status(refusal), answer.json), None, answer.code)
    }
}

/// The response with what the log line has to say of it.
fn told(mut response: Response, operation: Option<Name>, code: Option<String>) -> Response {
    response.extensions_mut().insert(Outcome { operation: operation.map(|name| shown(&name)), code });
    response
}

/// Enough of a name to know it again: clients choose it.
fn shown(name: &str) -> String {
    name.chars().take(100).collect()
}
