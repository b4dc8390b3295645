//! Everything a transport needs of the core, in one value.

use std::time::Instant;

use sqlx::{Connection as _, PgConnection, PgPool};

use crate::{
    api_key::ApiKeys,
    audit::Audit,
    cache::Cache,
    config::{EventConfig, PostgresConfig, RedisConfig, Source},
    error::Result,
    event_log::{EventLog, LogEvent},
    feed::Feed,
    idempotency,
    link_type::LinkTypes,
    object_type,
    object_type::ObjectTypes,
    outbox::Outbox,
    postgres::{self, Database, Migrated, MigrationError, Roles},
    search::Search,
};

/// The registry; a clone is the same registry.
#[derive(Debug, Clone)]
pub struct Registry {
    /// Object types.
    pub object_types: ObjectTypes,
    /// Link types.
    pub link_types: LinkTypes,
    /// Search over both.
    pub search: Search,
    /// The audit log.
    pub audit: Audit,
    /// API keys.
    pub api_keys: ApiKeys,
    /// The outbox.
    pub outbox: Outbox,
    /// The event log.
    pub events: EventLog,
    /// The log as clients read and watch it.
    pub feed: Feed,
    /// The cache.
    pub cache: Cache,
    db: Database,
}

impl Registry {
    /// A registry that connects when it is first asked.
    pub fn connect_lazy(postgres: &PostgresConfig, redis: &RedisConfig, events: &EventConfig) -> Result<Self> {
        let db = postgres::connect_lazy(postgres)?;
        Ok(Self::over(db, Cache::new(redis), events, Some(postgres.clone())))
    }

    /// A registry over a pool and a cache.
    pub fn new(pool: PgPool, cache: Cache) -> Self {
        let mut source = Source::default();
        let postgres = PostgresConfig::read(&mut source);
        let db = Database::new(pool, postgres.breaker, postgres.statement_timeout);
        Self::over(db, cache, &EventConfig::read(&mut source), None)
    }

    fn over(db: Database, cache: Cache, events: &EventConfig, direct: Option<PostgresConfig>) -> Self {
        let outbox = Outbox::new();
        let log = EventLog::new(db.clone(), events.clone(), direct);
        Self {
            object_types: ObjectTypes::new(db.clone(), cache.clone(), outbox.clone()),
            link_types: LinkTypes::new(db.clone(), cache.clone(), outbox.clone()),
            search: Search::new(db.clone(), cache.clone()),
            audit: Audit::new(db.clone()),
            api_keys: ApiKeys::new(db.clone()),
            feed: Feed::new(db.clone(), log.clone(), outbox.written(), events.poll),
            outbox,
            events: log,
            cache,
            db,
        }
    }

    /// Applies the migrations that are missing and gives roles their rights, as the owner of the database.
    ///
    /// # Errors
    ///
    /// Which step the database refused, or did not end before the deadline.
    pub async fn migrate(&self, roles: &Roles, deadline: Instant) -> Result<Migrated, MigrationError> {
        postgres::migrate(&self.db, roles, deadline).await
    }

    /// Begins the next epoch of the event log; which one it is. To be called after a restore from a backup, before anything
    /// runs on the database: positions are given again that subscribers have seen.
    pub async fn begin_epoch(&self) -> Result<i64> {
        self.events.begin_epoch().await
    }

    /// Whether the database answers.
    pub async fn check_database(&self) -> Result<()> {
        self.db.with(async |connection: &mut PgConnection| connection.ping().await).await.map_err(Into::into)
    }

    /// What has to be done now and then: moves on what a lost poke left, forgets old idempotency keys and old events, and
    /// refreshes gauges such as `oms_object_types_total`.
    pub async fn sweep(&self) -> Result<()> {
        self.events.sweep().await?;
        while idempotency::repository::prune(&self.db).await? {}
        let types = object_type::repository::count_all(&self.db).await?;
        metrics::gauge!("oms_object_types_total").set(precise(types));
        Ok(())
    }

    /// Repeats what the cache was told, or should have been, when these events were written: a process may have lost Redis,
    /// or its life, between its commit and that.
    pub async fn repeat_cache_writes(&self, events: &[LogEvent]) {
        self.cache.repeat(events).await;
    }

    /// Closes the connections.
    pub async fn close(&self) {
        self.db.close().await;
    }
}

/// A count as a metric's number; exact up to 2^53.
#[expect(clippy::cast_precision_loss, reason = "nobody has 2^53 object types")]
pub(crate) fn precise(count: i64) -> f64 {
    count as f64
}
