//! `grpc.health.v1.Health`: serving means what `/health/ready` answers with 200.

use std::{sync::Arc, time::Duration};

use connectrpc::{ConnectError, Router};
use connectrpc_health::{
    Checker, HealthExt, HealthService, Status, StatusStream, apply_request_limits, request_limits,
};
use oms_edge::{Edge, health};
use oms_proto::server::v1::{LINK_TYPE_SERVICE_SERVICE_NAME, OBJECT_TYPE_SERVICE_SERVICE_NAME};

/// How often one who watches is told what has changed.
const LOOK: Duration = Duration::from_secs(5);

struct Readiness(Edge);

/// The health service.
pub(crate) fn routes(edge: &Edge) -> Router {
    let service = Arc::new(HealthService::new(Readiness(edge.clone())));
    apply_request_limits(HealthExt::register(service, Router::new()), request_limits())
}

impl Readiness {
    async fn status(&self) -> Status {
        if health::serves(&self.0).await { Status::Serving } else { Status::NotServing }
    }

    fn known(service: &str) -> Result<(), ConnectError> {
        // The empty name is the whole process.
        if ["", OBJECT_TYPE_SERVICE_SERVICE_NAME, LINK_TYPE_SERVICE_SERVICE_NAME].contains(&service) {
            return Ok(());
        }
        Err(ConnectError::not_found("no such service is here"))
    }
}

impl Checker for Readiness {
    async fn check(&self, service: &str) -> Result<Status, ConnectError> {
        Self::known(service)?;
        Ok(self.status().await)
    }

    async fn watch(&self, service: &str) -> Result<StatusStream, ConnectError> {
        Self::known(service)?;
        let changes = futures::stream::unfold((Self(self.0.clone()), None), async |(readiness, last)| {
            let mut status = readiness.status().await;
            while last == Some(status) {
                tokio::select! {
                    () = tokio::time::sleep(LOOK) => {}
                    () = readiness.0.registry.feed.ended() => return None,
                }
                status = readiness.status().await;
            }
            Some((status, (readiness, Some(status))))
        });
        Ok(StatusStream::new(changes))
    }
}
