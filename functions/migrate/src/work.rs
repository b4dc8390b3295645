//! The work itself.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use oms_core::{
    Registry,
    config::{ConfigError, EventConfig, RedisConfig, Source},
};
use oms_kafka::topics;
use serde_json::{Value, json};

use crate::{Failure, Settings, owner};

/// How much longer than its deadline the work may take to say what it was at.
const MARGIN: Duration = Duration::from_secs(2);

/// What there is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Migrations, then roles, then topics.
    Migrate {
        /// The database comes from a backup: the next epoch begins, before anybody else is told its address.
        restored: bool,
    },
    /// The next epoch of the event log, after a restore from a backup.
    BeginEpoch,
}

/// Does it; what was done. Every failure is logged here, with its cause.
pub(crate) async fn run(
    settings: &Result<Arc<Settings>, ConfigError>,
    action: Action,
    deadline: Instant,
) -> Result<Value, Failure> {
    let done = match settings {
        Ok(settings) => {
            // A task of its own, so that a panic can be told, too.
            let work = tokio::spawn(act(settings.clone(), action, deadline));
            let aborted = work.abort_handle();
            match tokio::time::timeout_at((deadline + MARGIN).into(), work).await {
                Ok(Ok(done)) => done,
                Ok(Err(panicked)) => Err(Failure::Fault(panicked.to_string())),
                Err(_) => {
                    aborted.abort();
                    Err(Failure::OutOfTime)
                }
            }
        }
        Err(error) => Err(error.into()),
    };
    match &done {
        Ok(done) => tracing::info!(?action, %done, "done"),
        Err(failure) => tracing::error!(?action, error = %failure, cause = failure.cause(), "failed"),
    }
    done
}

async fn act(settings: Arc<Settings>, action: Action, deadline: Instant) -> Result<Value, Failure> {
    let postgres = settings.postgres.clone();
    let postgres = match &settings.owner {
        Some(secret) => owner::login(postgres, secret).await?,
        None => postgres,
    };
    // Nothing is read of the log here, and nothing is cached.
    let events = EventConfig::read(&mut Source::default());
    let registry = Registry::connect_lazy(&postgres, &RedisConfig::none(), &events);
    let registry = registry.map_err(|error| Failure::Fault(error.to_string()))?;
    match action {
        Action::Migrate { restored } => {
            let migrated = registry.migrate(&settings.roles, deadline).await?;
            let epoch = if restored { Some(registry.begin_epoch().await.map_err(Failure::Epoch)?) } else { None };
            let topics = match settings.kafka.brokers {
                Some(_) => topics::ensure(&settings.kafka, &settings.topics, deadline).await?,
                None => Vec::new(),
            };
            for warning in topics.iter().filter_map(|topic| topic.warning.as_deref()) {
                tracing::warn!(warning, "a topic is not as it should be");
            }
            let mut done = json!({"migrations": migrated.migrations, "roles": migrated.roles, "topics": topics});
            if let Some(epoch) = epoch {
                done["epoch"] = epoch.into();
            }
            Ok(done)
        }
        Action::BeginEpoch => Ok(json!({"epoch": registry.begin_epoch().await.map_err(Failure::Epoch)?})),
    }
}
