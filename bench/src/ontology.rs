//! What the databases are loaded with.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection, Row as _};

use crate::{environment::Environment, server::Server};

/// Types in one batch: the most that are taken.
const BATCH: usize = 1_000;

const KINDS: [&str; 20] = [
    "Customer",
    "Order",
    "Invoice",
    "Sensor",
    "Machine",
    "Plant",
    "Supplier",
    "Shipment",
    "Contract",
    "Employee",
    "Project",
    "Budget",
    "Asset",
    "Vehicle",
    "Route",
    "Ticket",
    "Account",
    "Payment",
    "Product",
    "Warehouse",
];
const AREAS: [&str; 10] =
    ["sales", "finance", "operations", "logistics", "quality", "people", "safety", "energy", "research", "service"];

/// An object type with so many properties; its name has the number in it.
pub(crate) fn object_type(number: usize, properties: usize) -> Value {
    let (kind, area) = (KINDS[number % KINDS.len()], AREAS[number / KINDS.len() % AREAS.len()]);
    let properties: Vec<Value> = (0..properties).map(property).collect();
    json!({
        "name": format!("{kind}{number}"),
        "displayName": format!("{kind} of {area} {number}"),
        "description": format!("What {area} knows of the {} number {number}.", kind.to_lowercase()),
        "category": area,
        "tags": [area, "bench"],
        "properties": properties,
    })
}

/// One of every sort in turn.
fn property(number: usize) -> Value {
    let name = format!("field{number}");
    match number % 5 {
        0 => json!({"name": name, "dataType": "STRING", "required": true,
            "validators": [{"type": "minLength", "value": 1}, {"type": "maxLength", "value": 200}]}),
        1 => json!({"name": name, "dataType": "NUMBER",
            "validators": [{"type": "min", "value": 0}, {"type": "max", "value": 1_000_000}]}),
        2 => json!({"name": name, "dataType": "BOOLEAN"}),
        3 => json!({"name": name, "dataType": "DATE"}),
        _ => {
            json!({"name": name, "dataType": "STRING", "validators": [{"type": "pattern", "value": "^[A-Z]{2}-[0-9]{4}$"}]})
        }
    }
}

/// Makes a database and fills it with so many object types of three properties. Nothing waits in the outbox, and the planner
/// knows what is there.
pub(crate) async fn load(environment: &Environment, database: &str, types: usize) -> Result<()> {
    create(environment, database).await?;
    let server = Server::oms(environment, database, &[]).await?;
    for first in (0..types).step_by(BATCH) {
        let items: Vec<Value> = (first..types.min(first + BATCH)).map(|number| object_type(number, 3)).collect();
        server.post("/api/v1/object-types:batch", &json!({"items": items})).await.context("loading")?;
    }
    settle(environment, database, server).await
}

/// Makes an empty database with the schema.
pub(crate) async fn create(environment: &Environment, database: &str) -> Result<()> {
    let mut admin = PgConnection::connect(&environment.database_url).await?;
    sqlx::query(sqlx::AssertSqlSafe(format!("CREATE DATABASE \"{database}\""))).execute(&mut admin).await?;
    Server::migrate(environment, database).await
}

/// Ends the server that has loaded it, with nothing left to do in the background.
pub(crate) async fn settle(environment: &Environment, database: &str, server: Server) -> Result<()> {
    // Whoever reads the feed moves on what is in the outbox.
    server.get("/api/v1/events?limit=1").await?;
    server.stop().await?;
    // What autovacuum would do in its own time, and would disturb the measuring with.
    let mut connection = PgConnection::connect(&environment.database(database)).await?;
    sqlx::query("VACUUM (ANALYZE)").execute(&mut connection).await?;
    Ok(())
}

/// The ids of live object types, in no order that means anything.
pub(crate) async fn ids(environment: &Environment, database: &str, most: i64) -> Result<Vec<String>> {
    let mut connection = PgConnection::connect(&environment.database(database)).await?;
    let rows = sqlx::query("SELECT id::text FROM object_types ORDER BY md5(id::text) LIMIT $1").bind(most);
    rows.fetch_all(&mut connection).await?.iter().map(|row| Ok(row.try_get(0)?)).collect()
}
