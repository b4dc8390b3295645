//! A database for one test: a copy of a migrated template, gone with its value.

use std::str::FromStr;

use oms_core::postgres::MIGRATOR;
use reqwest::Url;
use sqlx::{
    AssertSqlSafe, Connection, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::sync::OnceCell;

use crate::environment::database_url;

/// Serializes the test processes of one server while they make the template.
const TEMPLATE_LOCK: i64 = 0x6f6d_735f_7465_7374;

/// A database of its own.
#[derive(Debug)]
pub struct Database {
    server: String,
    name: String,
}

impl Database {
    /// A new, migrated database on the server of `DATABASE_URL`.
    pub async fn create() -> Self {
        Self::create_on(&database_url()).await
    }

    /// The same on another server.
    pub async fn create_on(server: &str) -> Self {
        let template = if server == database_url() {
            static TEMPLATE: OnceCell<String> = OnceCell::const_new();
            TEMPLATE.get_or_init(|| make_template(server)).await.clone()
        } else {
            make_template(server).await
        };
        let name = format!("oms_test_{}", uuid::Uuid::now_v7().simple());
        let mut connection = PgConnection::connect(server).await.unwrap();
        execute(&mut connection, format!("CREATE DATABASE {name} TEMPLATE {template}")).await;
        connection.close().await.unwrap();
        Self { server: server.to_owned(), name }
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> String {
        database_of(&self.server, &self.name)
    }

    /// Connections for looking at what was written; none is kept open.
    pub async fn pool(&self) -> PgPool {
        let options = PgConnectOptions::from_str(&self.url()).unwrap();
        PgPoolOptions::new().max_connections(2).min_connections(0).connect_with(options).await.unwrap()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let (server, name) = (self.server.clone(), self.name.clone());
        // A thread of its own, since a runtime can't be waited for inside another one.
        let done = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                // A test that stopped its server has nothing left to remove.
                if let Ok(mut connection) = PgConnection::connect(&server).await {
                    execute(&mut connection, format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await;
                }
            });
        });
        if done.join().is_err() && !std::thread::panicking() {
            panic!("the database {} was not removed", self.name);
        }
    }
}

/// Makes the template unless it is there. Its name tells the migrations it has, so that it can be kept.
async fn make_template(server: &str) -> String {
    let digest = MIGRATOR
        .iter()
        .flat_map(|migration| migration.checksum.iter())
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    let name = format!("oms_test_template_{digest:016x}");
    let unfinished = format!("{name}_unfinished");
    let mut connection = PgConnection::connect(server).await.unwrap();
    sqlx::query("SELECT pg_advisory_lock($1)").bind(TEMPLATE_LOCK).execute(&mut connection).await.unwrap();
    let there: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
        .bind(&name)
        .fetch_one(&mut connection)
        .await
        .unwrap();
    if !there {
        execute(&mut connection, format!("DROP DATABASE IF EXISTS {unfinished} WITH (FORCE)")).await;
        execute(&mut connection, format!("CREATE DATABASE {unfinished}")).await;
        let mut template = PgConnection::connect(&database_of(server, &unfinished)).await.unwrap();
        MIGRATOR.run(&mut template).await.unwrap();
        template.close().await.unwrap();
        execute(&mut connection, format!("ALTER DATABASE {unfinished} RENAME TO {name}")).await;
    }
    connection.close().await.unwrap();
    name
}

fn database_of(server: &str, name: &str) -> String {
    let mut url = Url::parse(server).unwrap();
    url.set_path(name);
    url.into()
}

async fn execute(connection: &mut PgConnection, statement: String) {
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(connection).await.unwrap();
}
