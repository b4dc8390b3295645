//! Subscriptions as Server-Sent Events: GraphQL over SSE, distinct connections mode. They behave as the feed of the REST API
//! does: the `id` of an event is its resume token, comments show that a stream is alive, and a stream ends by itself.

use std::{
    convert::Infallible,
    sync::{Arc, LazyLock},
};

use async_graphql::{Request, ServerError, Variables, parser::types::ExecutableDocument};
use axum::{body::Body, response::Response};
use futures::{Stream, StreamExt};
use http::StatusCode;
use oms_core::{
    context::Context,
    error::{Code, Error},
    feed::{Beat, FeedEvent, Session},
};
use oms_edge::{Edge, RequestInfo};

use crate::{
    answer::{Answer, code},
    asked::{Asked, Place},
    drive::{Batches, drive},
    limits::Costs,
    protocol::{COMPLETE, Media, NEXT, frame},
    refusal::Refusal,
    schema::{Schema, Stage},
};

/// What a client waits before it connects again, when a stream has ended.
const RETRY_MS: &str = "1000";

/// A subscription, to be executed for each of its events.
pub(crate) struct Subscription {
    pub(crate) edge: Edge,
    pub(crate) schema: Arc<LazyLock<Schema>>,
    pub(crate) caller: Context,
    pub(crate) info: RequestInfo,
    pub(crate) document: ExecutableDocument,
    pub(crate) variables: Variables,
    pub(crate) costs: Costs,
}

impl Subscription {
    /// Opens the source of its events; what is wrong with the subscription comes out here.
    pub(crate) async fn open(&self, last_event_id: Option<String>) -> Result<Session, Answer> {
        let stage = Arc::new(Stage::open(last_event_id, self.edge.config.stream_duration));
        match self.execute(stage.clone()).await {
            Err(refusal) => Err(Answer::refused(&refusal, &self.info)),
            Ok(Some(failed)) => Err(failed),
            Ok(None) => stage.take().ok_or_else(|| self.failed(Error::internal("a subscription has no source"))),
        }
    }

    /// The answer to a subscription whose source is open.
    pub(crate) fn stream(self, session: Session) -> Response {
        let streaming = Streaming { subscription: self, session, token: None, phase: Phase::Open };
        Media::EventStream.of(StatusCode::OK, Body::from_stream(streaming.into_stream()))
    }

    async fn show(&self, event: Arc<FeedEvent>, token: &str) -> Answer {
        let shown = self.execute(Arc::new(Stage::show(event, token.to_owned()))).await;
        match shown {
            Ok(Some(answer)) => answer,
            Ok(None) => self.failed(Error::internal("an event was not shown")),
            Err(refusal) => Answer::refused(&refusal, &self.info),
        }
    }

    /// One execution, with batches and limits of its own: what one event was shown with is not kept for the next.
    async fn execute(&self, stage: Arc<Stage>) -> Result<Option<Answer>, Refusal> {
        let (asked, batches) = self.asked();
        let mut request = Request::new("").variables(self.variables.clone()).data(asked.clone()).data(stage);
        request.set_parsed_query(self.document.clone());
        let mut responses = self.schema.execute_stream(request);
        let running = tokio::time::timeout(self.info.request_timeout(), drive(responses.next(), &batches));
        let response = running.await.map_err(|_| Refusal::Timeout)?;
        let Some(response) = response else { return Ok(None) };
        if let Some(error) = response.errors.iter().find(|error| passes(code(error))) {
            // The whole event is shown when the client comes back: a part of it now would be twice.
            return Ok(Some(Answer::failed(error)));
        }
        Answer::new(&asked, response, self.edge.config.max_response_bytes, false).map(Some)
    }

    fn asked(&self) -> (Arc<Asked>, Batches) {
        let (batches, caller, info) = (Batches::default(), self.caller.clone(), self.info.clone());
        (Arc::new(Asked::new(&self.edge, caller, info, None, self.costs, &batches)), batches)
    }

    fn failed(&self, error: Error) -> Answer {
        let error = self.asked().0.explain(error, Place::Arguments);
        Answer::failed(&ServerError { extensions: error.extensions, ..ServerError::new(error.message, None) })
    }
}

/// Whether what failed may succeed in a moment.
fn passes(code: Option<&str>) -> bool {
    code == Some(Code::ServiceUnavailable.as_str())
}

/// The stream of a subscription; it reads on only when what it has is taken.
struct Streaming {
    subscription: Subscription,
    session: Session,
    /// Resumes after everything that was told.
    token: Option<String>,
    phase: Phase,
}

/// How far a stream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Events come.
    Open,
    /// An error was told: only the end is to come.
    Failed,
    /// The end was told.
    Complete,
}

impl Streaming {
    fn into_stream(self) -> impl Stream<Item = Result<String, Infallible>> {
        futures::stream::unfold(self, async |mut streaming| {
            let frame = match streaming.phase {
                Phase::Complete => return None,
                Phase::Failed => streaming.complete("failed"),
                Phase::Open => streaming.next().await,
            };
            Some((Ok(frame), streaming))
        })
    }

    async fn next(&mut self) -> String {
        match self.session.next().await {
            Ok(Some(Beat::Open(token))) => self.frame(token, |id| frame(&[("", "open"), id, ("retry", RETRY_MS)])),
            Ok(Some(Beat::Alive(token))) => self.frame(token, |id| frame(&[("", "alive"), id])),
            Ok(Some(Beat::Event(event, token))) => {
                let answer = self.subscription.show(event, &token).await;
                // An event that can't be shown now is not passed: whoever resumes is shown it.
                if passes(answer.code.as_deref()) {
                    return self.fail(&answer);
                }
                self.frame(token, |id| frame(&[NEXT, id, ("data", &answer.json)]))
            }
            Ok(Some(Beat::End(token))) => {
                self.token = Some(token);
                self.complete("end")
            }
            Ok(None) => self.complete("end"),
            Err(error) => self.fail(&self.subscription.failed(error)),
        }
    }

    /// A frame after which this token resumes.
    fn frame(&mut self, token: String, frame: impl FnOnce((&'static str, &str)) -> String) -> String {
        frame(("id", self.token.insert(token)))
    }

    /// The last result; it has no token, so the one before it still counts.
    fn fail(&mut self, answer: &Answer) -> String {
        self.phase = Phase::Failed;
        frame(&[NEXT, ("data", &answer.json)])
    }

    /// The last event; a client resumes from its token.
    fn complete(&mut self, why: &str) -> String {
        self.phase = Phase::Complete;
        let id = self.token.as_deref().map(|token| ("id", token));
        let fields: Vec<_> = [("", why), COMPLETE].into_iter().chain(id).chain([("data", "")]).collect();
        frame(&fields)
    }
}
