//! A watch over gRPC, as a generated client reads it.

use std::time::Duration;

use oms_proto::client::{
    ObjectTypeEvent, WatchObjectTypesRequest, object_type_event::Event,
    object_type_service_client::ObjectTypeServiceClient,
};
use tonic::{
    Request, Status, Streaming,
    transport::{Channel, Endpoint},
};

use crate::token::Token;

/// How long a message may take. There are heartbeats, so a silence is a fault.
const PATIENCE: Duration = Duration::from_secs(60);

/// An open watch of object types. It is given up with its value.
#[derive(Debug)]
pub struct Watcher {
    stream: Streaming<ObjectTypeEvent>,
    last_token: String,
}

impl Watcher {
    /// Opens one over a connection of its own to `http://host:port`.
    pub async fn open(grpc: &str, token: &Token, request: WatchObjectTypesRequest) -> Result<Self, Status> {
        Self::over(Endpoint::from_shared(grpc.to_owned()).unwrap().connect_lazy(), token, Request::new(request)).await
    }

    /// The same over this connection, with whatever else the request has.
    pub async fn over(
        channel: Channel,
        token: &Token,
        mut request: Request<WatchObjectTypesRequest>,
    ) -> Result<Self, Status> {
        let bearer = format!("Bearer {}", token.sign());
        request.metadata_mut().insert("authorization", bearer.parse().unwrap());
        let last_token = request.get_ref().resume_token.clone();
        let stream = ObjectTypeServiceClient::new(channel).watch_object_types(request).await?.into_inner();
        Ok(Self { stream, last_token })
    }

    /// The next message; none when the stream has ended in good order.
    pub async fn next(&mut self) -> Result<Option<Event>, Status> {
        let message = tokio::time::timeout(PATIENCE, self.stream.message()).await;
        let Some(message) = message.expect("a message in time")? else { return Ok(None) };
        assert!(!message.resume_token.is_empty(), "every message has a token: {message:?}");
        self.last_token = message.resume_token;
        Ok(Some(message.event.expect("a message tells something")))
    }

    /// The token that resumes after the last message that came; before the first one that of the request.
    #[must_use]
    pub fn last_token(&self) -> &str {
        &self.last_token
    }
}
