//! The code of now: it writes beside the release, and reads what the release wrote.

use std::{collections::HashMap, fmt::Debug};

use serde_json::json;
use sqlx::PgPool;

use super::session::Failure;
use crate::{
    audit::AuditFilter,
    entity::ListQuery,
    feed::{EventFilter, Start},
    fixture::{caller_of, key, link, object, referring, registry, with},
    idempotency::IdempotencyKey,
    search::SearchQuery,
};

/// What a caller may ask for at once.
const PAGE: u32 = 200;

fn named<T, E: Debug>(what: &str) -> impl FnOnce(Result<T, E>) -> Result<T, Failure> {
    let what = what.to_owned();
    move |result| result.map_err(|error| Failure::new("the code of now", what, format!("{error:?}")))
}

/// Every kind of write once, on new types.
pub(super) async fn writes(pool: &PgPool, tenant: &str, n: u64) -> Result<(), Failure> {
    let (oms, mut caller) = (registry(pool), caller_of(tenant));
    let (customer, order, places) = (format!("Customer_{n}"), format!("Order_{n}"), format!("Places_{n}"));
    let types = [object(&customer), referring(&order, "buyer", &customer, true)];
    caller.idempotency = Some(IdempotencyKey { key: format!("key-{n}"), route: "POST /".into(), body_hash: [1; 32] });
    named("create object types")(oms.object_types.create_batch(&caller, &types).await)?;
    named("create them again")(oms.object_types.create_batch(&caller, &types).await)?;
    caller.idempotency = None;
    named("create a link type")(oms.link_types.create(&caller, &link(&places, &customer, &order)).await)?;
    let patch = json!({"description": "who buys"});
    named("update")(oms.object_types.update(&caller, &key(&customer), &patch, Some(1)).await)?;
    let patch = json!({"cardinality": "MANY_TO_MANY"});
    named("update a link type")(oms.link_types.update(&caller, &key(&places), &patch, Some(1)).await)?;
    named("delete with links")(oms.object_types.delete(&caller, &key(&order), Some(1), true).await)?;
    named("restore")(oms.object_types.restore(&caller, &key(&order), None).await)?;
    named("restore a link type")(oms.link_types.restore(&caller, &key(&places), None).await)?;

    let roles = HashMap::from([("admin".to_owned(), caller.permissions)]);
    let input = json!({"name": "ci", "roles": ["admin"]});
    let (api_key, secret) = named("create an API key")(oms.api_keys.create(&caller, &input, &roles).await)?;
    named("use an API key")(oms.api_keys.authenticate(secret.expose()).await)?;
    named("revoke an API key")(oms.api_keys.revoke(&caller, api_key.id).await)?;

    named("sequence")(oms.events.sequence().await)?;
    let mut claims = named("connect a publisher")(oms.events.claimer().await)?;
    let claimed = named("claim")(claims.claim(16).await)?;
    let events = named("read what is to be published")(claims.next(&claimed, 1_000).await)?;
    let reached: HashMap<i16, i64> = events.iter().map(|event| (event.partition, event.position)).collect();
    let reached: Vec<(i16, i64)> = reached.into_iter().collect();
    named("move checkpoints")(claims.advance(&reached).await)?;
    named("release")(claims.release().await)?;
    claims.close().await;
    named("sweep")(oms.sweep().await)
}

/// Reads all that the release left for a tenant, and goes on with it.
pub(super) async fn reads(pool: &PgPool, tenant: &str) -> Result<(), Failure> {
    let (oms, caller) = (registry(pool), caller_of(tenant));
    let names = async |table: &str, of: &str| -> Vec<String> {
        let sql = format!(
            "SELECT name FROM {table} WHERE tenant_id = '{tenant}' AND NOT is_deleted AND name LIKE '{of}\\_%' ORDER BY name"
        );
        sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_all(pool).await.unwrap()
    };
    let (orders, early) = (names("object_types", "Order").await, names("object_types", "Early").await);
    assert!(!orders.is_empty() && !early.is_empty(), "there is something to read");
    for name in orders.iter().chain(&early) {
        let read = named("read an object type")(oms.object_types.get(&caller, &key(name)).await)?;
        assert_eq!(read.definition.name.to_string(), *name);
    }
    for name in &orders {
        let versions = named("list versions")(oms.object_types.versions(&caller, &key(name), None, PAGE).await)?;
        let newest = i32::try_from(versions.items.len()).unwrap();
        named("compare versions")(oms.object_types.compare(&caller, &key(name), 1, newest).await)?;
        let patch = with(json!({}), json!({"description": "of now"}));
        let updated = named("update what the release wrote")(
            oms.object_types.update(&caller, &key(name), &patch, Some(newest)).await,
        )?;
        assert_eq!(updated.stamp.version, newest + 1);
    }
    let list = ListQuery { limit: PAGE, count: true, ..ListQuery::default() };
    let page = named("list object types")(oms.object_types.list(&caller, &list).await)?;
    assert!(page.total >= i64::try_from(orders.len() + early.len()).ok());
    named("list link types")(oms.link_types.list(&caller, &list).await)?;
    let query = SearchQuery { text: "order", kind: None, limit: 100 };
    let hits = named("search")(oms.search.search(&caller, query).await)?;
    assert!(!hits.is_empty(), "what the release wrote is found");
    let audit = named("list audit entries")(oms.audit.list(&caller, &AuditFilter::default(), None, PAGE).await)?;
    assert!(!audit.items.is_empty());
    named("list API keys")(oms.api_keys.list(&caller).await)?;
    let feed = oms.feed.page(&caller, &EventFilter::default(), &Start::Earliest, PAGE).await;
    for (event, _) in &named("read the feed")(feed)?.events {
        named("show an event")(event.json())?;
    }
    Ok(())
}
