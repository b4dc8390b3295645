use oms_events::{EntityKind, Event, EventType, SCHEMA_VERSION};
use serde_json::{Value, json};
use sqlx::PgPool;

use super::all;
use crate::fixture::{created, link, linked, object, patched, registry, with};

const MAX: usize = 240 * 1024;

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn an_event_carries_the_whole_type_as_the_api_shows_it(pool: PgPool) {
    let oms = registry(&pool);
    let properties = json!([
        {"name": "email", "dataType": "STRING", "required": true, "validators": [{"type": "pattern", "value": "@"}]},
        {"name": "tier", "dataType": "NUMBER", "defaultValue": 1.5, "metadata": {"unit": "star"}},
        {"name": "homes", "dataType": "ARRAY", "itemType": "OBJECT", "properties": [{"name": "city", "dataType": "STRING"}]},
        {"name": "friend", "dataType": "REFERENCE", "referenceTo": "Customer"},
    ]);
    let datasets = json!([{"datasetRid": "ri.1", "name": "customers"}]);
    let fields = json!({"tags": ["core"], "category": "sales", "properties": properties, "baseDatasets": datasets});
    let customer = created(&oms, with(object("Customer"), fields)).await;
    let link = linked(&oms, link("owns", "Customer", "Customer")).await;
    let renamed = patched(&oms, "Customer", json!({"name": "Client"})).await;
    oms.events.sequence().await.unwrap();
    let log = all(&pool).await;
    let texts: Vec<String> = log.iter().map(|event| event.to_json(MAX).unwrap()).collect();
    let events: Vec<Event> = texts.iter().map(|text| serde_json::from_str(text).unwrap()).collect();

    // What consumers read into the crate's own types writes back to the same JSON: nothing is lost on the way.
    for (event, text) in events.iter().zip(&texts) {
        assert_eq!(serde_json::to_value(event).unwrap(), serde_json::from_str::<Value>(text).unwrap());
    }
    let json = |value: &Value| serde_json::from_value::<oms_events::ObjectType>(value.clone()).unwrap();
    assert_eq!(events[0].data.object_type, Some(json(&serde_json::to_value(customer.view()).unwrap())));
    assert_eq!(
        events[1].data.link_type,
        Some(serde_json::from_value(serde_json::to_value(link.view()).unwrap()).unwrap())
    );
    assert_eq!(events[2].data.object_type, Some(json(&serde_json::to_value(renamed.view()).unwrap())));

    let update = &events[2];
    assert_eq!(
        (update.event_type, update.data.version, update.data.actor.as_str()),
        (EventType::ObjectTypeUpdated, 2, "ada")
    );
    assert_eq!(update.entity_id, customer.id.0);
    assert_eq!(
        serde_json::to_value(&update.data.changes).unwrap(),
        json!([{"field": "name", "oldValue": "Customer", "newValue": "Client", "type": "modified"}])
    );
    assert_eq!(update.correlation_id.as_deref(), Some("c-1"));
    assert_eq!(
        (
            update.metadata.tenant_id.as_str(),
            update.metadata.position,
            update.metadata.epoch,
            update.metadata.schema_version
        ),
        ("acme", 3, 1, SCHEMA_VERSION)
    );
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn an_event_that_is_too_large_becomes_a_claim_check_that_leads_to_the_version(pool: PgPool) {
    let oms = registry(&pool);
    let large = created(&oms, with(object("Large"), json!({"description": "x".repeat(9_000)}))).await;
    oms.events.sequence().await.unwrap();
    let log = all(&pool).await;
    let whole: Event = serde_json::from_str(&log[0].to_json(MAX).unwrap()).unwrap();
    assert!(whole.data.claim_check.is_none() && whole.data.object_type.is_some());

    let text = log[0].to_json(8_192).unwrap();
    assert!(text.len() < 1_024, "{text}");
    let event: Event = serde_json::from_str(&text).unwrap();
    assert!(event.data.object_type.is_none());
    assert_eq!((event.id, event.data.version, &event.metadata), (whole.id, 1, &whole.metadata));
    let check = event.data.claim_check.unwrap();
    assert_eq!((check.entity_kind, check.entity_id, check.version), (EntityKind::ObjectType, large.id.0, 1));
    assert_eq!(check.href, format!("/api/v1/object-types/{}/versions/1", large.id));
    assert!(check.bytes > 9_000);
}
