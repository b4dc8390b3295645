//! The roles that functions log in as, each with the rights that its statements need and no more.
//!
//! Roles are of the whole server, so no migration makes them. Rights are only added: functions of the version before run on
//! during a deployment.

use std::time::Duration;

use sqlx::{AssertSqlSafe, PgConnection};

use super::session_settings;
use crate::config::Source;

/// What the functions that answer requests may do. They also move rows into the log, for who reads the change feed.
const APP: &[&str] = &[
    "SELECT, INSERT, UPDATE ON object_types, link_types",
    "SELECT, INSERT, UPDATE, DELETE ON type_references",
    "SELECT, INSERT ON type_versions, audit_logs, events",
    "SELECT, INSERT, DELETE ON outbox, idempotency_keys",
    "SELECT, INSERT, UPDATE (last_used_at, revoked_at, revoked_by) ON api_keys",
    "SELECT, UPDATE (position) ON event_log_head",
    "SELECT ON event_ranges, publisher_checkpoints",
    "EXECUTE ON FUNCTION extend_event_ranges(bigint, integer)",
];

/// What the publisher may do, which sweeps, too.
const PUBLISHER: &[&str] = &[
    "SELECT, DELETE ON outbox, idempotency_keys",
    "SELECT, INSERT ON events",
    "SELECT, UPDATE (position) ON event_log_head, publisher_checkpoints",
    "SELECT ON event_ranges",
    "SELECT (is_deleted) ON object_types",
    "EXECUTE ON FUNCTION extend_event_ranges(bigint, integer), drop_oldest_event_range(interval), \
        claim_publisher_partitions(integer, integer)",
];

/// Who functions log in as; by default there are no such roles, and everything runs as the owner.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roles {
    /// `DB_APP_USER`: the role of the functions that answer requests.
    pub app: Option<String>,
    /// `DB_PUBLISHER_USER`: the role of the publisher.
    pub publisher: Option<String>,
}

impl Roles {
    /// Reads the settings.
    pub fn read(source: &mut Source) -> Self {
        let (app, publisher) = (read_role(source, "DB_APP_USER"), read_role(source, "DB_PUBLISHER_USER"));
        if app.is_some() && app == publisher {
            source.problem("DB_PUBLISHER_USER: must be another role than DB_APP_USER");
        }
        Self { app, publisher }
    }
}

/// The name of a role. Names that would have to be quoted are refused: nobody who types statements would quote them.
fn read_role(source: &mut Source, key: &str) -> Option<String> {
    let role = source.text(key)?;
    let mut bytes = role.bytes();
    let is_name = bytes.next().is_some_and(|b| b.is_ascii_lowercase() || b == b'_')
        && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if role.len() > 63 || !is_name {
        source.problem(format!("{key}: expected up to 63 lower-case letters, digits or '_', no digit first"));
        return None;
    }
    Some(role)
}

/// Makes the roles that are missing, and gives them their rights; their names. It may be repeated.
pub(super) async fn grant(
    db: &mut PgConnection,
    roles: &Roles,
    statement_timeout: Duration,
) -> sqlx::Result<Vec<String>> {
    let wanted = [(&roles.app, APP), (&roles.publisher, PUBLISHER)];
    let mut done = Vec::new();
    for (role, rights) in wanted {
        let Some(role) = role else { continue };
        sqlx::raw_sql(AssertSqlSafe(script(role, rights, statement_timeout))).execute(&mut *db).await?;
        done.push(role.clone());
    }
    Ok(done)
}

/// One transaction, as whatever is sent at once.
fn script(role: &str, rights: &[&str], statement_timeout: Duration) -> String {
    let grants: Vec<String> = rights.iter().map(|right| format!("GRANT {right} TO \"{role}\";")).collect();
    // Where a session can't bring them along: see `session_settings`. The search only knows its own once it was used here.
    let settings = session_settings(statement_timeout);
    let settings: Vec<String> = settings
        .iter()
        .map(|(name, value)| {
            format!(
                "EXECUTE format('ALTER ROLE \"{role}\" IN DATABASE %I SET {name} = %L', current_database(), '{value}');"
            )
        })
        .collect();
    format!(
        "SELECT similarity('', '');
        DO $$ BEGIN
            -- Another database of this server may be at the same.
            BEGIN
                IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN
                    CREATE ROLE \"{role}\" LOGIN;
                END IF;
            EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
            END;
            -- On RDS: the role logs in by IAM, and by nothing else.
            IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'rds_iam') AND NOT pg_has_role('{role}', 'rds_iam', 'MEMBER') THEN
                GRANT rds_iam TO \"{role}\";
            END IF;
            EXECUTE format('GRANT CONNECT ON DATABASE %I TO \"{role}\"', current_database());
            EXECUTE format('GRANT USAGE ON SCHEMA %I TO \"{role}\"', current_schema());
            {}
        END $$;
        {}",
        settings.join("\n            "),
        grants.join("\n        "),
    )
}

#[cfg(test)]
mod tests;
