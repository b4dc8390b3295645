//! Subscriptions as Server-Sent Events: GraphQL over SSE, distinct connections mode. They behave as the feed of the REST API
//! does: the `id` of an event is its resume token, comments show that a stream is alive, and a stream ends by itself.

use std::{collections::VecDeque, convert::Infallible, sync::Arc, time::Duration};

use async_graphql::{Request, ServerError, Variables, parser::types::ExecutableDocument};
use axum::{body::Body, response::Response};
use futures::{Stream, StreamExt};
use http::StatusCode;
use oms_core::{
    context::Context,
    error::Error,
    feed::{FeedEvent, Watch},
};
use oms_edge::{Edge, RequestInfo};
use tokio::time::Instant;

use crate::{
    answer::Answer,
    asked::{Asked, Place},
    drive::{Batches, drive},
    limits::Costs,
    protocol::{COMPLETE, Media, NEXT, frame},
    refusal::Refusal,
    schema::{Schema, Stage},
};

/// After so long without an event a comment shows that the stream is alive, with the token that the feed came to.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// What a client waits before it connects again, when a stream has ended.
const RETRY_MS: &str = "1000";

/// A subscription, to be executed for each of its events.
pub(crate) struct Subscription {
    pub(crate) edge: Edge,
    pub(crate) schema: Schema,
    pub(crate) caller: Context,
    pub(crate) info: RequestInfo,
    pub(crate) document: ExecutableDocument,
    pub(crate) variables: Variables,
    pub(crate) costs: Costs,
}

impl Subscription {
    /// Opens the source of its events; what is wrong with the subscription comes out here.
    pub(crate) async fn open(&self, last_event_id: Option<String>) -> Result<Watch, Answer> {
        let stage = Arc::new(Stage::open(last_event_id));
        match self.execute(stage.clone()).await {
            Err(refusal) => Err(Answer::refused(&refusal, &self.info)),
            Ok(Some(failed)) => Err(failed),
            Ok(None) => stage.take().ok_or_else(|| self.failed(Error::internal("a subscription has no source"))),
        }
    }

    /// The answer to a subscription whose source is open.
    pub(crate) fn stream(self, watch: Watch) -> Response {
        let ends_at = Instant::now() + self.edge.config.stream_duration;
        let streaming =
            Streaming { subscription: self, watch, waiting: VecDeque::new(), ends_at, phase: Phase::Opening };
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
        let max = self.edge.config.max_response_bytes;
        response.map(|response| Answer::new(&asked, response, max, false)).transpose()
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

/// The stream of a subscription; it reads on only when what it has is taken.
struct Streaming {
    subscription: Subscription,
    watch: Watch,
    waiting: VecDeque<(Arc<FeedEvent>, String)>,
    ends_at: Instant,
    phase: Phase,
}

/// How far a stream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Its first event tells where it starts, so that nothing is lost if it breaks at once.
    Opening,
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
            let event = match streaming.phase {
                Phase::Complete => return None,
                Phase::Failed => streaming.complete("failed"),
                Phase::Opening | Phase::Open => streaming.next().await,
            };
            let event = event.unwrap_or_else(|error| {
                // Where there is not even a token, there is nothing more to tell.
                if streaming.phase != Phase::Complete {
                    streaming.phase = Phase::Failed;
                }
                frame(&[NEXT, ("data", &streaming.subscription.failed(error).json)])
            });
            Some((Ok(event), streaming))
        })
    }

    async fn next(&mut self) -> Result<String, Error> {
        if std::mem::replace(&mut self.phase, Phase::Open) == Phase::Opening {
            return Ok(frame(&[("", "open"), ("id", &self.watch.resume_token()?), ("retry", RETRY_MS)]));
        }
        if let Some(event) = self.shown().await {
            return Ok(event);
        }
        let left = self.ends_at.saturating_duration_since(Instant::now());
        let feed = &self.subscription.edge.registry.feed;
        let page = tokio::select! {
            page = self.watch.next(HEARTBEAT.min(left)) => page?,
            () = feed.ended() => return self.complete("the server stops"),
        };
        self.waiting = page.events.into();
        if let Some(event) = self.shown().await {
            return Ok(event);
        }
        if !page.has_more && Instant::now() >= self.ends_at {
            return self.complete("time is up");
        }
        Ok(frame(&[("", "alive"), ("id", &page.resume_token)]))
    }

    /// The result for the next event that was read.
    async fn shown(&mut self) -> Option<String> {
        let (event, token) = self.waiting.pop_front()?;
        let answer = self.subscription.show(event, &token).await;
        Some(frame(&[NEXT, ("id", &token), ("data", &answer.json)]))
    }

    /// The last event; a client resumes from its token.
    fn complete(&mut self, why: &str) -> Result<String, Error> {
        self.phase = Phase::Complete;
        Ok(frame(&[("", why), COMPLETE, ("id", &self.watch.resume_token()?), ("data", "")]))
    }
}
