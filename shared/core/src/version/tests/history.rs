use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

use crate::{
    Registry,
    fixture::{caller, code, created, deleted, key, link, linked, object, patched, referring, registry, with},
    version::{Action, compare},
};

/// Creates, updates, deletes by cascade and otherwise, restores; some writes are refused and some change nothing.
async fn a_mix_of_writes(oms: &Registry) {
    let acme = caller();
    let batch = [referring("Order", "customer", "Customer", true), object("Customer"), object("Shop")];
    oms.object_types.create_batch(&acme, &batch).await.unwrap();
    linked(oms, link("Places", "Customer", "Order")).await;
    linked(oms, link("In", "Shop", "Shop")).await;
    patched(oms, "Customer", json!({"name": "Client", "changeDescription": "as sales say"})).await;
    patched(oms, "Client", json!({"name": "Client"})).await;
    oms.link_types.update(&acme, &key("Places"), &json!({"cardinality": "ONE_TO_ONE"}), Some(1)).await.unwrap();
    oms.object_types.create(&acme, &object("Order")).await.unwrap_err();
    oms.object_types.delete(&acme, &key("Client"), None, true).await.unwrap_err();
    oms.object_types.update(&acme, &key("Order"), &json!({"category": "a"}), Some(7)).await.unwrap_err();
    oms.object_types.delete(&acme, &key("Shop"), None, true).await.unwrap();
    oms.object_types.restore(&acme, &key("Shop"), None).await.unwrap();
    oms.link_types.delete(&acme, &key("Places"), None, false).await.unwrap();
    oms.link_types.restore(&acme, &key("Places"), None).await.unwrap();
}

type Row = (String, Uuid, i32, String, Option<Value>);

async fn rows(pool: &PgPool, sql: &'static str) -> Vec<Row> {
    sqlx::query_as(sql).fetch_all(pool).await.unwrap()
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn versions_audit_and_outbox_agree_one_to_one(pool: PgPool) {
    let oms = registry(&pool);
    a_mix_of_writes(&oms).await;
    let versions = rows(
        &pool,
        "SELECT entity_kind, entity_id, version, action, snapshot FROM type_versions ORDER BY entity_id, version",
    )
    .await;
    let outbox = rows(
        &pool,
        "SELECT entity_kind, entity_id, version,
            CASE regexp_replace(event_type, '^(ObjectType|LinkType)', '')
                WHEN 'Created' THEN 'CREATE' WHEN 'Updated' THEN 'UPDATE' WHEN 'Deleted' THEN 'DELETE' WHEN 'Restored' THEN 'RESTORE' END,
            document
        FROM outbox WHERE starts_with(event_type, CASE entity_kind WHEN 'object_type' THEN 'Object' ELSE 'Link' END)
        ORDER BY entity_id, version",
    )
    .await;
    assert_eq!(versions.len(), 5 + 2 + 2 + 1 + 2);
    assert_eq!(outbox, versions);

    let audit = rows(
        &pool,
        "SELECT entity_type, entity_id, (metadata->>'version')::integer, action, new_value FROM audit_logs ORDER BY 2, 3",
    )
    .await;
    let without_deleted = versions.iter().cloned().map(|(kind, id, version, action, document)| {
        let document = document.filter(|_| action != "DELETE");
        (kind, id, version, action, document)
    });
    assert_eq!(audit, without_deleted.collect::<Vec<_>>());

    // Events leave in the order of writing: each entity's versions from 1 up, links before the object type they go with.
    let order =
        rows(&pool, "SELECT entity_kind, entity_id, version, event_type, changes FROM outbox ORDER BY seq").await;
    let gone: Vec<_> = order.iter().filter(|row| row.3.ends_with("Deleted")).map(|row| row.3.as_str()).collect();
    assert_eq!(gone, ["LinkTypeDeleted", "ObjectTypeDeleted", "LinkTypeDeleted"]);
    for (_, id, ..) in &versions {
        let own: Vec<_> = order.iter().filter(|row| row.1 == *id).map(|row| row.2).collect();
        assert!(own[0] == 1 && own.windows(2).all(|pair| pair[1] == pair[0] + 1), "{own:?}");
    }
    let renamed = order.iter().find(|row| row.3 == "ObjectTypeUpdated").unwrap();
    let change = json!([{"field": "name", "oldValue": "Customer", "newValue": "Client", "type": "modified"}]);
    assert_eq!(renamed.4, Some(change));
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn who_wrote_what_from_where_stands_beside_every_write(pool: PgPool) {
    let oms = registry(&pool);
    let acme = crate::context::Context { traceparent: Some("00-1-2-01".into()), ..caller() };
    oms.object_types.create(&acme, &with(object("Customer"), json!({"changeDescription": "first"}))).await.unwrap();
    let row: (String, String, String, Value) =
        sqlx::query_as("SELECT actor, host(ip_address), user_agent, metadata FROM audit_logs")
            .fetch_one(&pool)
            .await
            .unwrap();
    assert_eq!((row.0.as_str(), row.1.as_str(), row.2.as_str()), ("ada", "192.0.2.7", "tests/1"));
    let told = json!({"correlationId": "c-1", "traceparent": "00-1-2-01", "version": 1, "changeDescription": "first"});
    assert_eq!(row.3, told);
    let event: (String, String, String, String) =
        sqlx::query_as("SELECT tenant_id, actor, correlation_id, traceparent FROM outbox")
            .fetch_one(&pool)
            .await
            .unwrap();
    assert_eq!(event, ("acme".into(), "ada".into(), "c-1".into(), "00-1-2-01".into()));
    assert!(oms.events.oldest_unpublished_age().await.unwrap().is_some());
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn the_audit_log_only_grows(pool: PgPool) {
    let oms = registry(&pool);
    created(&oms, object("Customer")).await;
    for change in ["UPDATE audit_logs SET actor = 'eve'", "DELETE FROM audit_logs", "TRUNCATE audit_logs"] {
        let refused = sqlx::query(change).execute(&pool).await.unwrap_err();
        assert_eq!(refused.as_database_error().unwrap().code().as_deref(), Some("42501"), "{change}");
    }
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn versions_are_listed_read_and_compared_also_when_the_type_is_gone(pool: PgPool) {
    let oms = registry(&pool);
    let acme = caller();
    let first = created(&oms, object("Customer")).await;
    let second = patched(&oms, "Customer", json!({"category": "a", "changeDescription": "why not"})).await;
    let third = patched(&oms, "Customer", json!({"name": "Client"})).await;
    deleted(&oms, "Client").await;
    oms.object_types.restore(&acme, &key("Client"), None).await.unwrap();
    deleted(&oms, "Client").await;

    let id = key(&first.id.to_string());
    let listed = oms.object_types.versions(&acme, &id, None, 4).await.unwrap();
    use Action::{Create, Delete, Restore, Update};
    let told: Vec<_> = listed.items.iter().map(|info| (info.version, info.action)).collect();
    assert_eq!(told, [(6, Delete), (5, Restore), (4, Delete), (3, Update)]);
    let next = listed.next_cursor().unwrap();
    let rest = oms.object_types.versions(&acme, &id, Some(next), 4).await.unwrap();
    assert_eq!(rest.next_cursor(), None);
    let told: Vec<_> =
        rest.items.iter().map(|info| (info.version, info.action, info.change_description.as_deref())).collect();
    assert_eq!(told, [(2, Update, Some("why not")), (1, Create, None)]);

    let other = created(&oms, object("Other")).await;
    for (context, text, expected) in [
        (&acme, "Nobody", "OBJECT_TYPE_NOT_FOUND"),
        (&acme, "Other", "INVALID_CURSOR"),
        (&acme, &other.id.to_string(), "INVALID_CURSOR"),
        (&crate::fixture::caller_of("globex"), &first.id.to_string(), "OBJECT_TYPE_NOT_FOUND"),
    ] {
        assert_eq!(code(oms.object_types.versions(context, &key(text), Some(next), 4).await), expected, "{text}");
    }
    assert_eq!(code(oms.object_types.versions(&acme, &key("Nobody"), Some("?"), 4).await), "OBJECT_TYPE_NOT_FOUND");

    for entity in [&first, &second, &third] {
        let version = oms.object_types.version(&acme, &id, entity.stamp.version).await.unwrap();
        assert_eq!(&version.snapshot, entity);
    }
    let compared = oms.object_types.compare(&acme, &id, 1, 3).await.unwrap();
    assert_eq!(compared.changes, compare(&first, &third));
    let fields: Vec<_> = compared.changes.iter().map(|change| change.field.as_str()).collect();
    assert_eq!(fields, ["name", "category"]);
    assert_eq!(oms.object_types.compare(&acme, &id, 2, 2).await.unwrap().changes, []);
    for number in [0, 7, -1] {
        assert_eq!(code(oms.object_types.version(&acme, &id, number).await), "VERSION_NOT_FOUND");
        assert_eq!(code(oms.object_types.compare(&acme, &id, 1, number).await), "VERSION_NOT_FOUND");
    }
    assert_eq!(code(oms.object_types.version(&acme, &key("Client"), 1).await), "OBJECT_TYPE_NOT_FOUND");
    // A link type of the same id there is none.
    assert_eq!(code(oms.link_types.version(&acme, &id, 1).await), "LINK_TYPE_NOT_FOUND");
}
