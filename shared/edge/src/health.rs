//! Liveness and readiness (specification 16.8, corrected: ready needs PostgreSQL only, what else is behind is `degraded`).

use std::{future::Future, time::Duration};

use axum::{Json, Router, extract::State, http::StatusCode, response::IntoResponse, routing::get};
use oms_core::cache::CacheState;
use serde::Serialize;
use serde_json::{Value, json};

use crate::{config::Mode, layers::Edge};

/// How long one check may take.
const LIMIT: Duration = Duration::from_secs(2);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Healthy,
    Degraded,
    Unhealthy,
}

#[derive(Debug, Clone, Serialize)]
struct Check {
    status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Value>,
}

#[derive(Debug, Serialize)]
struct Checks {
    database: Check,
    redis: Check,
    kafka: Check,
}

#[derive(Debug, Serialize)]
struct Health {
    status: Status,
    checks: Checks,
}

/// `/health/live` (= `/health`) says that the process runs; `/health/ready` (= `/ready`) whether requests can be served:
/// 200 with `healthy` or `degraded`, 503 with `unhealthy`. Neither needs a token.
pub(crate) fn router(edge: &Edge) -> Router {
    Router::new()
        .route("/health", get(live))
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
        .route("/ready", get(ready))
        .with_state(edge.clone())
}

async fn live() -> Json<Value> {
    Json(json!({ "status": "alive" }))
}

async fn ready(State(edge): State<Edge>) -> impl IntoResponse {
    let registry = &edge.registry;
    let (database, redis, age) = tokio::join!(
        within(registry.check_database()),
        within(async { Ok(registry.cache.check().await) }),
        within(registry.events.oldest_unpublished_age()),
    );
    let mut health = judge(database, redis, age, edge.config.outbox_max_age);
    if edge.config.mode == Mode::Development
        && let (Some(details), Some(brokers)) = (&mut health.checks.kafka.details, &edge.config.kafka_brokers)
    {
        // Where a developer can look at events; the port of the mock cluster is another one at each start.
        details["brokers"] = json!(brokers);
    }
    let status = if health.status == Status::Unhealthy { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    (status, Json(health))
}

/// Whether requests can be served: what `/health/ready` answers with 200.
pub async fn serves(edge: &Edge) -> bool {
    within(edge.registry.check_database()).await.is_some()
}

/// None when it fails or takes too long; the cause goes to the log, since anybody may ask for health.
async fn within<T>(check: impl Future<Output = oms_core::error::Result<T>>) -> Option<T> {
    match tokio::time::timeout(LIMIT, check).await {
        Ok(Ok(value)) => Some(value),
        Ok(Err(error)) => {
            tracing::warn!(%error, "a health check failed");
            None
        }
        Err(_) => {
            tracing::warn!("a health check took too long");
            None
        }
    }
}

fn judge(database: Option<()>, redis: Option<CacheState>, age: Option<Option<Duration>>, max_age: Duration) -> Health {
    let check = |status, message| Check { status, message, details: None };
    let database = match database {
        Some(()) => check(Status::Healthy, None),
        None => check(Status::Unhealthy, Some("the database does not answer")),
    };
    let redis = match redis {
        Some(CacheState::Healthy) => check(Status::Healthy, None),
        Some(CacheState::Disabled) => check(Status::Healthy, Some("no cache is configured")),
        Some(CacheState::Unreachable) | None => {
            check(Status::Degraded, Some("the cache does not answer; reads are slower"))
        }
    };
    let kafka = match age {
        None => check(Status::Degraded, Some("the age of the oldest unpublished event is unknown")),
        Some(age) => {
            let behind = age.is_some_and(|age| age > max_age);
            Check {
                status: if behind { Status::Degraded } else { Status::Healthy },
                message: behind.then_some("events are published late"),
                details: Some(json!({ "oldestUnpublishedSeconds": age.map(|age| age.as_secs()) })),
            }
        }
    };
    let all = [database.status, redis.status, kafka.status];
    let status = if database.status == Status::Unhealthy {
        Status::Unhealthy
    } else if all.contains(&Status::Degraded) {
        Status::Degraded
    } else {
        Status::Healthy
    };
    Health { status, checks: Checks { database, redis, kafka } }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: Duration = Duration::from_secs(60);

    fn seconds(seconds: u64) -> Option<Duration> {
        Some(Duration::from_secs(seconds))
    }

    #[test]
    fn only_the_database_decides_on_readiness() {
        let state = |database, redis, age| judge(database, redis, age, MAX).status;
        assert_eq!(state(Some(()), Some(CacheState::Healthy), Some(None)), Status::Healthy);
        assert_eq!(state(Some(()), Some(CacheState::Disabled), Some(None)), Status::Healthy);
        assert_eq!(state(Some(()), Some(CacheState::Unreachable), Some(None)), Status::Degraded);
        assert_eq!(state(Some(()), None, Some(None)), Status::Degraded);
        assert_eq!(state(Some(()), Some(CacheState::Healthy), None), Status::Degraded);
        assert_eq!(state(None, Some(CacheState::Healthy), Some(None)), Status::Unhealthy);
    }

    #[test]
    fn late_events_degrade_only_above_the_configured_age() {
        let kafka = |age| judge(Some(()), Some(CacheState::Healthy), Some(age), MAX).checks.kafka;
        assert_eq!(kafka(seconds(60)).status, Status::Healthy);
        assert_eq!(kafka(seconds(61)).status, Status::Degraded);
        assert_eq!(kafka(None).status, Status::Healthy);
    }

    #[test]
    fn the_shape_is_that_of_the_specification() {
        let health = judge(Some(()), Some(CacheState::Healthy), Some(seconds(3)), MAX);
        assert_eq!(
            serde_json::to_value(health).unwrap(),
            json!({
                "status": "healthy",
                "checks": {
                    "database": { "status": "healthy" },
                    "redis": { "status": "healthy" },
                    "kafka": { "status": "healthy", "details": { "oldestUnpublishedSeconds": 3 } },
                },
            })
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_that_hangs_is_given_up() {
        assert_eq!(within(std::future::pending::<oms_core::error::Result<()>>()).await, None);
    }
}
