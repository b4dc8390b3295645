//! Creating a thousand object types in one batch, against COPY of the same rows into the same tables.

use std::time::Instant;

use anyhow::Result;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection, postgres::PgPoolCopyExt as _};

use super::Bench;
use crate::{
    measure::alternate,
    ontology,
    report::{Goal, Row},
    server::Server,
};

const DATABASE: &str = "bench_batch";
const TYPES: usize = 1_000;

/// The tables that a batch writes, referred to before those that refer.
const TABLES: [&str; 4] = ["object_types", "type_versions", "audit_logs", "outbox"];

pub(crate) async fn measure(bench: &mut Bench) -> Result<Vec<Row>> {
    let environment = &bench.environment;
    ontology::create(environment, DATABASE).await?;
    let server = Server::oms(environment, DATABASE, &[]).await?;
    let pool = sqlx::PgPool::connect(&environment.database(DATABASE)).await?;

    // The rows of a batch, as the tables have them.
    server.post("/api/v1/object-types:batch", &items(0)).await?;
    let mut copies = Vec::new();
    for table in TABLES {
        let columns = columns(&pool, table).await?;
        let mut stream = pool.copy_out_raw(&format!("COPY {table} ({columns}) TO STDOUT")).await?;
        let mut rows = Vec::new();
        while let Some(chunk) = futures::TryStreamExt::try_next(&mut stream).await? {
            rows.extend_from_slice(&chunk);
        }
        copies.push((format!("COPY {table} ({columns}) FROM STDIN"), String::from_utf8(rows)?));
    }

    let (mut batch, mut copied) = (0, 0);
    let pairs = alternate(
        bench.rounds(15, 5),
        async || {
            batch += 1;
            let items = items(batch);
            let started = Instant::now();
            server.post("/api/v1/object-types:batch", &items).await?;
            Ok(rate(started))
        },
        async || {
            copied += 1;
            // Rows of another tenant: no key is there yet.
            let rows: Vec<(&str, String)> =
                copies.iter().map(|(copy, rows)| (copy.as_str(), of_tenant(rows, copied))).collect();
            let mut connection = PgConnection::connect(&environment.database(DATABASE)).await?;
            let started = Instant::now();
            sqlx::query("BEGIN").execute(&mut connection).await?;
            for (copy, rows) in rows {
                let mut copy = connection.copy_in_raw(copy).await?;
                copy.send(rows.as_bytes()).await?;
                copy.finish().await?;
            }
            sqlx::query("COMMIT").execute(&mut connection).await?;
            let rate = rate(started);
            connection.close().await?;
            Ok(rate)
        },
    );
    let row = Row::new("batch create 1,000", "1/s", &pairs.await?, Some(Goal::AtLeast(0.3)));
    server.stop().await?;
    Ok(vec![row])
}

/// Types each second.
fn rate(started: Instant) -> f64 {
    TYPES as f64 / started.elapsed().as_secs_f64()
}

fn items(batch: usize) -> Value {
    let items: Vec<Value> =
        (batch * TYPES..(batch + 1) * TYPES).map(|number| ontology::object_type(number, 10)).collect();
    json!({"items": items})
}

/// The columns that can be written.
async fn columns(pool: &sqlx::PgPool, table: &str) -> Result<String> {
    let columns: (String,) = sqlx::query_as(
        "SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
        WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = '' AND attidentity = ''",
    )
    .bind(table)
    .fetch_one(pool)
    .await?;
    Ok(columns.0)
}

/// The rows with another tenant, which is a column of each.
fn of_tenant(rows: &str, number: usize) -> String {
    rows.lines()
        .map(|line| {
            line.split('\t')
                .map(|field| if field == "default" { format!("tenant{number}") } else { field.to_owned() })
                .collect::<Vec<_>>()
                .join("\t")
                + "\n"
        })
        .collect()
}
