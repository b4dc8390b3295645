//! Settings of one test's own, and invocations.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use lambda_runtime::{Context, Error, LambdaEvent};
use oms_core::config::{ConfigError, Source};
use oms_migrate::{Settings, handle, settings};
use serde_json::Value;
use sqlx::{ConnectOptions as _, PgPool};
use uuid::Uuid;

/// What the function is told. Nobody else has its topics and roles.
pub(crate) struct Stage {
    variables: Vec<(String, String)>,
    pub(crate) topic: String,
    pub(crate) app: String,
    pub(crate) publisher: String,
}

impl Stage {
    pub(crate) fn new(pool: &PgPool) -> Self {
        let brokers = std::env::var("KAFKA_BROKERS").expect("KAFKA_BROKERS is missing: run cargo xtask test");
        let id = Uuid::new_v4().simple();
        let [topic, app, publisher] = [format!("events-{id}"), format!("app_{id}"), format!("publisher_{id}")];
        let url = pool.connect_options().to_url_lossy().to_string();
        let stage = Self { variables: Vec::new(), topic, app, publisher };
        let dlq = stage.dlq();
        let (topic, app, publisher) = (stage.topic.clone(), stage.app.clone(), stage.publisher.clone());
        stage
            .with("DATABASE_URL", &url)
            .with("DB_APP_USER", &app)
            .with("DB_PUBLISHER_USER", &publisher)
            .with("KAFKA_BROKERS", &brokers)
            .with("KAFKA_TOPIC", &topic)
            .with("KAFKA_DLQ_TOPIC", &dlq)
            .with("KAFKA_PARTITIONS", "4")
    }

    pub(crate) fn dlq(&self) -> String {
        format!("{}-dlq", self.topic)
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    fn settings(&self) -> Result<Arc<Settings>, ConfigError> {
        let mut source = Source::from_pairs(self.variables.clone());
        let settings = settings(&mut source);
        source.finish().map(|()| Arc::new(settings))
    }

    /// Invokes the function, which has a minute.
    pub(crate) async fn invoke(&self, payload: Value) -> Result<Value, Error> {
        self.invoke_within(Duration::from_secs(60), payload).await
    }

    pub(crate) async fn invoke_within(&self, time: Duration, payload: Value) -> Result<Value, Error> {
        let mut context = Context::default();
        let deadline = SystemTime::now() + time;
        context.deadline = u64::try_from(deadline.duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap();
        context.request_id = "8476a536".to_owned();
        let log_group = "/aws/lambda/migrate".to_owned();
        context.env_config = lambda_runtime::Config { log_group, ..lambda_runtime::Config::default() }.into();
        handle(&self.settings(), LambdaEvent::new(payload, context)).await
    }
}

/// The migrations that the database has.
pub(crate) async fn applied(pool: &PgPool) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM _sqlx_migrations").fetch_one(pool).await.unwrap()
}

/// How many migrations there are.
pub(crate) fn all() -> i64 {
    i64::try_from(oms_core::postgres::MIGRATOR.iter().count()).unwrap()
}
