//! A write that waits, after its outbox row was inserted and before it commits, until the test lets it go.

use sqlx::{Connection, PgConnection};

use crate::{database::Database, wait::until};

const HOLD: &str = "
    CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM pg_advisory_xact_lock(4711);
        RETURN NULL;
    END
    $$;
    CREATE TRIGGER hold AFTER INSERT ON outbox FOR EACH ROW
        WHEN (NEW.document::text LIKE '%\"Late\"%') EXECUTE FUNCTION hold();
    SELECT pg_advisory_lock(4711)";

/// Holds every write of a type that is named `Late`.
#[derive(Debug)]
pub struct HeldWrite(PgConnection);

impl HeldWrite {
    /// From now on.
    pub async fn prepare(database: &Database) -> Self {
        let mut holding = PgConnection::connect(&database.url()).await.unwrap();
        sqlx::raw_sql(HOLD).execute(&mut holding).await.unwrap();
        Self(holding)
    }

    /// Waits until a write is held.
    pub async fn until_it_waits(&mut self) {
        until("the late write does not wait", async || {
            let waits =
                "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = 4711)";
            sqlx::query_scalar::<_, bool>(waits).fetch_one(&mut self.0).await.unwrap().then_some(())
        })
        .await;
    }

    /// Lets it commit.
    pub async fn release(mut self) {
        sqlx::query("SELECT pg_advisory_unlock(4711)").execute(&mut self.0).await.unwrap();
    }
}
