//! Each role logs in and does its work on a database whose owner is no superuser either, as on RDS.

use std::time::{Duration, Instant};

use serde_json::json;
use sqlx::{AssertSqlSafe, ConnectOptions as _, PgConnection, PgPool, postgres::PgConnectOptions};

use super::*;
use crate::{
    Registry,
    audit::{AuditFilter, FailedLogin},
    config::{EventConfig, PostgresConfig, RedisConfig},
    context::Permissions,
    feed::{EventFilter, Start},
    fixture::{caller, caller_with_key, code, created, key, link, linked, object, patched, referring},
    login::LoginTokens as _,
    postgres,
};

/// A database with roles that no other test has.
struct Stage {
    admin: PgPool,
    owner: PgConnectOptions,
    roles: Roles,
}

impl Stage {
    async fn new(admin: PgPool) -> Self {
        let id = uuid::Uuid::new_v4().simple().to_string();
        let [owner, app, publisher] = ["owner", "app", "publisher"].map(|role| format!("{role}_{id}"));
        let database = admin.connect_options().get_database().unwrap().to_owned();
        // As RDS has it: whoever is a member of `rds_iam` logs in by IAM, and the owner may make others members.
        let there = format!(
            "DO $$ BEGIN CREATE ROLE rds_iam; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
            CREATE ROLE {owner} LOGIN CREATEROLE PASSWORD 'test';
            GRANT rds_iam TO {owner} WITH ADMIN OPTION;
            ALTER DATABASE \"{database}\" OWNER TO {owner}"
        );
        run(&admin, &there).await.unwrap();
        let login = admin.connect_options().as_ref().clone().username(&owner).password("test");
        let stage = Self { admin, owner: login, roles: Roles { app: Some(app), publisher: Some(publisher) } };
        let done = stage.migrate().await;
        assert_eq!(done.roles, [stage.app(), stage.publisher()]);
        for role in [stage.app(), stage.publisher()] {
            run(&stage.admin, &format!("ALTER ROLE {role} PASSWORD 'test'")).await.unwrap();
        }
        stage
    }

    fn app(&self) -> &str {
        self.roles.app.as_deref().unwrap()
    }

    fn publisher(&self) -> &str {
        self.roles.publisher.as_deref().unwrap()
    }

    async fn migrate(&self) -> postgres::Migrated {
        let deadline = Instant::now() + Duration::from_secs(60);
        let registry = self.registry(self.owner.get_username(), &[]);
        let done = registry.migrate(&self.roles, deadline).await.unwrap();
        registry.close().await;
        done
    }

    fn login(&self, role: &str) -> PgConnectOptions {
        self.owner.clone().username(role)
    }

    /// A registry as a function of this role has it.
    fn registry(&self, role: &str, more: &[(&str, &str)]) -> Registry {
        let url = self.login(role).to_url_lossy().to_string();
        let mut source = Source::from_pairs(more.iter().copied().chain([("DATABASE_URL", url.as_str())]));
        let (config, events) = (PostgresConfig::read(&mut source), EventConfig::read(&mut source));
        source.finish().unwrap();
        Registry::connect_lazy(&config, &RedisConfig::none(), &events).unwrap()
    }

    async fn session(&self, role: &str) -> PgConnection {
        self.login(role).connect().await.unwrap()
    }
}

async fn run<'e>(db: impl sqlx::PgExecutor<'e>, sql: &str) -> sqlx::Result<()> {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(db).await.map(drop)
}

/// The code of the database's refusal: 42501 is a right that is missing.
async fn refused(db: &mut PgConnection, sql: &str) -> String {
    let error = run(&mut *db, sql).await.expect_err(sql);
    error.as_database_error().and_then(|error| error.code()).unwrap_or_default().into_owned()
}

fn roles_of_callers() -> std::collections::HashMap<String, Permissions> {
    [("admin".to_owned(), Permissions::all())].into()
}

#[sqlx::test(migrations = false)]
async fn the_functions_that_answer_requests_can_do_all_that_is_asked_of_them(admin: PgPool) {
    let stage = Stage::new(admin).await;
    // Little room in the log, so that who reads the feed has to make more.
    run(&stage.admin, "UPDATE event_log_head SET position = 1999900, first_position = 1999901").await.unwrap();
    let oms = stage.registry(stage.app(), &[]);
    let (ada, all) = (caller(), EventFilter::default());

    created(&oms, object("Customer")).await;
    created(&oms, referring("Order", "customer", "Customer", true)).await;
    linked(&oms, link("placed", "Customer", "Order")).await;
    patched(&oms, "Order", json!({"properties": [], "displayName": "Purchase"})).await;
    patched(&oms, "Order", json!({"properties": [crate::fixture::reference("by", "Customer", true)]})).await;
    oms.link_types.update(&ada, &key("placed"), &json!({"category": "sales"}), None).await.unwrap();
    patched(&oms, "Order", json!({"properties": []})).await;
    oms.object_types.delete(&ada, &key("Customer"), None, true).await.unwrap();
    oms.object_types.restore(&ada, &key("Customer"), None).await.unwrap();
    oms.link_types.restore(&ada, &key("placed"), None).await.unwrap();
    assert_eq!(code(oms.object_types.create(&ada, &object("Customer")).await), "OBJECT_TYPE_NAME_EXISTS");
    for _ in 0..2 {
        let again = oms.object_types.create(&caller_with_key("k", 1), &object("Once")).await.unwrap();
        assert_eq!(again.definition.name.as_str(), "Once");
    }
    let history = oms.object_types.compare(&ada, &key("Customer"), 1, 3).await.unwrap();
    assert_eq!(history.changes, []);
    let query = crate::search::SearchQuery { text: "custmer", kind: None, limit: 10 };
    assert_eq!(oms.search.search(&ada, query).await.unwrap().len(), 1, "a typo is forgiven");

    let input = json!({"name": "ci", "roles": ["admin"]});
    let (made, secret) = oms.api_keys.create(&ada, &input, &roles_of_callers()).await.unwrap();
    assert!(oms.api_keys.authenticate(secret.expose()).await.unwrap().is_some());
    oms.api_keys.revoke(&ada, made.id).await.unwrap();
    let login = FailedLogin {
        tenant: ada.tenant.clone(),
        reason: "expired",
        ip: None,
        user_agent: None,
        correlation_id: "c-1".into(),
        traceparent: None,
    };
    oms.audit.record_failed_login(login).await.unwrap();
    assert!(oms.audit.list(&ada, &AuditFilter::default(), None, 100).await.unwrap().items.len() > 10);

    let page = oms.feed.page(&ada, &all, &Start::Earliest, 100).await.unwrap();
    assert_eq!(page.events.len(), 12);
    let free: i64 =
        sqlx::query_scalar("SELECT max(end_position) FROM event_ranges").fetch_one(&stage.admin).await.unwrap();
    assert!(free > 2_000_001, "{free}");
    oms.events.oldest_unpublished_age().await.unwrap().unwrap();
    oms.check_database().await.unwrap();
    oms.close().await;
}

#[sqlx::test(migrations = false)]
async fn the_functions_that_answer_requests_can_do_nothing_else(admin: PgPool) {
    let stage = Stage::new(admin).await;
    let app = &mut stage.session(stage.app()).await;
    for sql in [
        "UPDATE audit_logs SET actor = 'nobody'",
        "DELETE FROM audit_logs",
        "TRUNCATE audit_logs",
        "ALTER TABLE audit_logs DISABLE TRIGGER audit_logs_insert_only",
        "DROP TRIGGER audit_logs_insert_only ON audit_logs",
        "DROP TABLE api_keys",
        "ALTER TABLE object_types ADD COLUMN more text",
        "CREATE TABLE more ()",
        "CREATE OR REPLACE FUNCTION references_of(tenant text, owner uuid) RETURNS jsonb LANGUAGE sql AS 'SELECT null'",
        "DELETE FROM object_types",
        "TRUNCATE object_types",
        "UPDATE type_versions SET snapshot = '{}'",
        "UPDATE api_keys SET roles = '{admin}'",
        "UPDATE events SET actor = 'nobody'",
        "DELETE FROM events",
        "UPDATE outbox SET actor = 'nobody'",
        "UPDATE publisher_checkpoints SET position = 0",
        "UPDATE event_log_head SET epoch = 9",
        "UPDATE event_log_head SET token_key = ''",
        "SELECT begin_epoch()",
        "SELECT drop_oldest_event_range('1 second')",
        "SELECT FROM _sqlx_migrations",
        &format!("SET ROLE {}", stage.owner.get_username()),
        &format!("GRANT {} TO {}", stage.publisher(), stage.app()),
        "CREATE ROLE another",
    ] {
        assert_eq!(refused(app, sql).await, "42501", "{sql}");
    }
}

#[sqlx::test(migrations = false)]
async fn the_publisher_can_sequence_publish_and_sweep(admin: PgPool) {
    let stage = Stage::new(admin).await;
    let small =
        "DROP TABLE events_from_1, events_from_1000001; DELETE FROM event_ranges; SELECT extend_event_ranges(10, 2)";
    let mut owner = stage.session(stage.owner.get_username()).await;
    run(&mut owner, small).await.unwrap();
    let types: Vec<_> = (0..15).map(|n| object(&format!("T{n}"))).collect();
    let app = stage.registry(stage.app(), &[]);
    app.object_types.create_batch(&caller_with_key("k", 1), &types).await.unwrap();
    app.close().await;
    let old = "UPDATE idempotency_keys SET created_at = now() - interval '25 hours'";
    run(&mut owner, old).await.unwrap();

    let oms = stage.registry(stage.publisher(), &[("EVENT_RETENTION_DAYS", "0")]);
    assert_eq!(oms.events.sequence_until(None).await.unwrap(), 15);
    let mut claims = oms.events.claimer().await.unwrap();
    let claimed = claims.claim(16).await.unwrap();
    let events = claims.next(&claimed, 1_000).await.unwrap();
    assert_eq!(events.len(), 15);
    let reached: Vec<_> = events.iter().map(|event| (event.partition, event.position)).collect();
    claims.advance(&reached).await.unwrap();
    claims.release().await.unwrap();
    claims.close().await;
    // The first one notes that partitions have nothing left, the second one drops what they held.
    oms.sweep().await.unwrap();
    oms.sweep().await.unwrap();
    let kept: (i64, i64, i64) = sqlx::query_as(
        "SELECT (SELECT count(*) FROM events), (SELECT count(*) FROM idempotency_keys), (SELECT count(*) FROM event_ranges)",
    )
    .fetch_one(&stage.admin)
    .await
    .unwrap();
    assert_eq!(kept, (5, 0, 3), "the first ten events went with their range, and two ranges are ahead");
    oms.close().await;
}

#[sqlx::test(migrations = false)]
async fn the_publisher_can_do_nothing_else(admin: PgPool) {
    let stage = Stage::new(admin).await;
    let publisher = &mut stage.session(stage.publisher()).await;
    for sql in [
        "INSERT INTO object_types (tenant_id, id, name, display_name, created_by, updated_by)
            VALUES ('acme', gen_random_uuid(), 'A', 'A', 'a', 'a')",
        "UPDATE object_types SET is_deleted = true",
        "SELECT name FROM object_types",
        "SELECT FROM link_types",
        "SELECT FROM api_keys",
        "SELECT FROM audit_logs",
        "INSERT INTO audit_logs (tenant_id, entity_type, action, actor) VALUES ('acme', 'a', 'a', 'a')",
        "INSERT INTO outbox DEFAULT VALUES",
        "UPDATE events SET actor = 'nobody'",
        "DROP TABLE events_from_1",
        "UPDATE event_log_head SET epoch = 9",
        "SELECT begin_epoch()",
        "CREATE TABLE more ()",
    ] {
        assert_eq!(refused(publisher, sql).await, "42501", "{sql}");
    }
}

/// What runs as the owner looks at the owner's tables, whatever the caller puts in their place.
#[sqlx::test(migrations = false)]
async fn a_table_of_the_callers_own_does_not_mislead_the_ranges(admin: PgPool) {
    let stage = Stage::new(admin).await;
    let mut publisher = stage.session(stage.publisher()).await;
    let theirs = "CREATE TEMPORARY TABLE event_ranges AS SELECT 1::bigint AS first_position, 1::bigint AS end_position;
        CREATE TEMPORARY TABLE event_log_head AS SELECT 1::bigint AS epoch, 0::bigint AS position, 1::bigint AS first_position;
        CREATE TEMPORARY TABLE publisher_checkpoints (position bigint);
        SELECT extend_event_ranges(1000000, 3);
        SELECT drop_oldest_event_range('0 seconds')";
    run(&mut publisher, theirs).await.unwrap();
    let ranges: Vec<i64> = sqlx::query_scalar("SELECT first_position FROM public.event_ranges ORDER BY 1")
        .fetch_all(&stage.admin)
        .await
        .unwrap();
    assert_eq!(ranges, [1, 1_000_001, 2_000_001]);
}

/// RDS Proxy refuses whoever brings them along.
#[sqlx::test(migrations = false)]
async fn sessions_of_who_logs_in_by_iam_have_their_settings_from_the_role(admin: PgPool) {
    let stage = Stage::new(admin).await;
    let tokens = std::sync::Arc::new(crate::fixture::Tokens::default());
    for role in [stage.app(), stage.publisher()] {
        let login = stage.login(role);
        let token = tokens.for_database(login.get_host(), login.get_port(), role).unwrap();
        run(&stage.admin, &format!("ALTER ROLE {role} PASSWORD '{}'", token.expose())).await.unwrap();
        let url = login.to_url_lossy().to_string();
        let config = PostgresConfig::read(&mut Source::from_pairs([("DATABASE_URL", url)]));
        let db = postgres::connect_lazy(&PostgresConfig {
            login_tokens: Some(tokens.clone()),
            max_connections: 1,
            ..config
        })
        .unwrap();
        // The search's is known once it was used.
        sqlx::query("SELECT similarity('', '')").execute(&db).await.unwrap();
        let settings: Vec<(String, String)> = sqlx::query_as(
            "SELECT setting, source FROM pg_settings WHERE name IN ('statement_timeout', 'client_min_messages',
                'idle_in_transaction_session_timeout', 'pg_trgm.word_similarity_threshold') ORDER BY name",
        )
        .fetch_all(&db)
        .await
        .unwrap();
        let expected = ["warning", "10000", "0.45", "8000"].map(|value| (value.to_owned(), "database user".to_owned()));
        assert_eq!(settings, expected, "{role}");
        db.close().await;
    }
}

#[sqlx::test(migrations = false)]
async fn roles_that_are_there_get_what_they_lack(admin: PgPool) {
    let stage = Stage::new(admin).await;
    run(&stage.admin, &format!("REVOKE INSERT ON object_types FROM {}", stage.app())).await.unwrap();
    let again = stage.migrate().await;
    assert_eq!((again.migrations.len(), again.roles.len()), (0, 2));
    let mut app = stage.session(stage.app()).await;
    let may: (bool, bool) =
        sqlx::query_as("SELECT has_table_privilege('object_types', 'INSERT'), pg_has_role('rds_iam', 'MEMBER')")
            .fetch_one(&mut app)
            .await
            .unwrap();
    assert_eq!(may, (true, true));
}

#[test]
fn names_that_would_have_to_be_quoted_are_refused() {
    for name in ["Oms", "oms-app", "1oms", "oms app", "o\"m", "oms;", &"o".repeat(64)] {
        let mut source = Source::from_pairs([("DB_APP_USER", name), ("DB_PUBLISHER_USER", name)]);
        assert_eq!(Roles::read(&mut source), Roles::default());
        assert_eq!(source.finish().unwrap_err().0.len(), 2, "{name}");
    }
    let mut source = Source::from_pairs([("DB_APP_USER", "oms"), ("DB_PUBLISHER_USER", "oms")]);
    Roles::read(&mut source);
    assert!(source.finish().unwrap_err().to_string().contains("must be another role"));
    let mut source = Source::default();
    assert_eq!(Roles::read(&mut source), Roles::default());
    source.finish().unwrap();
}
