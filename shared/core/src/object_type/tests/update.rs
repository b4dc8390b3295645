use serde_json::json;
use sqlx::PgPool;

use crate::{
    error::Error,
    fixture::{
        at, caller, code, created, deleted, key, object, patched, reference, referring, refusal, registry, with,
    },
};

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn an_update_goes_to_the_expected_version_or_to_that_of_the_moment(pool: PgPool) {
    let oms = registry(&pool);
    let acme = caller();
    let first = created(&oms, object("Customer")).await;
    let second = oms.object_types.update(&acme, &key("Customer"), &json!({"category": "a"}), Some(1)).await.unwrap();
    assert_eq!((second.stamp.version, second.definition.category.as_deref()), (2, Some("a")));
    assert_eq!(second.stamp.created_at, first.stamp.created_at);
    assert!(second.stamp.updated_at >= first.stamp.updated_at);

    for stale in [1, 3] {
        let lost = oms.object_types.update(&acme, &key("Customer"), &json!({"category": "b"}), Some(stale)).await;
        assert!(matches!(lost, Err(Error::VersionConflict { actual: 2, expected }) if expected == stale), "{lost:?}");
    }
    let third = patched(&oms, &first.id.to_string(), json!({"category": null})).await;
    assert_eq!((third.stamp.version, third.definition.category.clone()), (3, None));
    assert_eq!(oms.object_types.get(&acme, &key("customer")).await.unwrap(), third);
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn of_updates_to_one_version_one_wins_and_without_a_version_none_is_lost(pool: PgPool) {
    let oms = registry(&pool);
    let acme = caller();
    created(&oms, object("Customer")).await;
    let name = key("Customer");
    let patches = ["category", "description", "displayName", "changeDescription"]
        .map(|field| json!({field: "x", "tags": [field]}));
    let raced = patches.iter().map(|patch| oms.object_types.update(&acme, &name, patch, Some(1)));
    let raced = futures::future::join_all(raced).await;
    let (won, lost): (Vec<_>, Vec<_>) = raced.into_iter().partition(Result::is_ok);
    assert_eq!(won.len(), 1);
    assert!(lost.into_iter().all(|result| code(result) == "VERSION_CONFLICT"));

    let patches = ["a", "b", "c", "d"].map(|field| json!({"metadata": {field: 1}}));
    let together = patches.iter().map(|patch| oms.object_types.update(&acme, &name, patch, None));
    for result in futures::future::join_all(together).await {
        result.unwrap();
    }
    let after = oms.object_types.get(&acme, &name).await.unwrap();
    assert_eq!((after.stamp.version, after.definition.metadata.len()), (6, 4));
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn a_patch_that_changes_nothing_makes_no_version(pool: PgPool) {
    let oms = registry(&pool);
    let input = json!({
        "properties": [reference("parent", "customer", false)], "tags": ["a", "b"], "metadata": {"far": [1e16]},
    });
    let made = created(&oms, with(object("Customer"), input)).await;
    let own = made.id.to_string();
    for patch in [
        json!({}),
        json!({"name": "Customer", "tags": ["a", "b"], "description": null, "changeDescription": "nothing"}),
        // A set, and a number that PostgreSQL gives back as an integer.
        json!({"tags": ["b", "a"], "metadata": {"far": [1e16]}}),
        json!({"properties": [reference("parent", "CUSTOMER", false)]}),
        json!({"properties": [reference("parent", &own, false)]}),
        serde_json::to_value(made.view()).unwrap(),
    ] {
        assert_eq!(patched(&oms, "Customer", patch.clone()).await, made, "{patch}");
    }
    assert_eq!(
        code(oms.object_types.update(&caller(), &key("Customer"), &json!({}), Some(2)).await),
        "VERSION_CONFLICT"
    );
    let rows: (i64, i64, i64) = sqlx::query_as(
        "SELECT (SELECT count(*) FROM type_versions), (SELECT count(*) FROM audit_logs), (SELECT count(*) FROM outbox)",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(rows, (1, 1, 1));
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn a_rename_frees_the_old_name_and_asks_for_the_new_one(pool: PgPool) {
    let oms = registry(&pool);
    let made = created(&oms, object("Customer")).await;
    created(&oms, object("Order")).await;
    let taken = oms.object_types.update(&caller(), &key("Customer"), &json!({"name": "ORDER"}), None).await;
    assert_eq!(refusal(taken), at([("/name", "OBJECT_TYPE_NAME_EXISTS")]));
    // Its own name in another case is its own.
    assert_eq!(patched(&oms, "Customer", json!({"name": "CUSTOMER"})).await.id, made.id);
    patched(&oms, "Customer", json!({"name": "Client"})).await;
    assert_eq!(code(oms.object_types.get(&caller(), &key("Customer")).await), "OBJECT_TYPE_NOT_FOUND");
    assert_ne!(created(&oms, object("Customer")).await.id, made.id);
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn references_are_set_moved_and_taken_away(pool: PgPool) {
    let oms = registry(&pool);
    for name in ["A", "B"] {
        created(&oms, object(name)).await;
    }
    created(&oms, referring("Order", "of", "A", true)).await;
    let edges = async || {
        let edges: Vec<(String, bool)> = sqlx::query_as(
            "SELECT t.name, r.required FROM type_references r JOIN object_types t ON t.id = r.target_id ORDER BY 1",
        )
        .fetch_all(&pool)
        .await
        .unwrap();
        edges
    };
    assert_eq!(edges().await, [("A".to_owned(), true)]);
    let unknown = json!({"properties": [reference("of", "C", true)]});
    let missing = oms.object_types.update(&caller(), &key("Order"), &unknown, None).await;
    assert_eq!(refusal(missing), at([("/properties/0/referenceTo", "REFERENCED_TYPE_NOT_FOUND")]));
    let moved =
        patched(&oms, "Order", json!({"properties": [reference("of", "b", false), reference("and", "A", true)]})).await;
    let shown = serde_json::to_value(moved.view()).unwrap();
    assert_eq!(shown["properties"][0]["referenceTo"], "B");
    assert_eq!(edges().await, [("A".to_owned(), true), ("B".to_owned(), false)]);
    // A list may be empty, and a default stands in: neither forces an instance of the target.
    let list =
        json!({"name": "and", "dataType": "ARRAY", "itemType": "REFERENCE", "referenceTo": "A", "required": true});
    let preset = with(reference("of", "B", true), json!({"defaultValue": "b-1"}));
    patched(&oms, "Order", json!({"properties": [preset, list]})).await;
    assert_eq!(edges().await, [("A".to_owned(), false), ("B".to_owned(), false)]);
    patched(&oms, "Order", json!({"properties": []})).await;
    assert_eq!(edges().await, []);
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn properties_keep_their_identity_through_a_rename(pool: PgPool) {
    let oms = registry(&pool);
    let input = json!({"properties": [{"name": "a", "dataType": "STRING"}, reference("b", "Customer", false)]});
    let before = created(&oms, with(object("Customer"), input)).await;
    let [a, b] = [0, 1].map(|i| before.definition.properties[i].id);
    let swapped = json!({"properties": [
        with(reference("a", "Customer", false), json!({"id": b.0})), {"id": a.0, "name": "b", "dataType": "STRING"},
    ]});
    let after = patched(&oms, "Customer", swapped).await;
    assert_eq!(after.definition.properties.iter().map(|p| p.id).collect::<Vec<_>>(), [b, a]);
    assert_eq!(after.definition.references, before.definition.references);
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn what_is_not_there_is_not_updated(pool: PgPool) {
    let oms = registry(&pool);
    let made = created(&oms, object("Customer")).await;
    deleted(&oms, "Customer").await;
    for text in ["Customer", &made.id.to_string(), "Nobody"] {
        let result = oms.object_types.update(&caller(), &key(text), &json!({"category": "a"}), None).await;
        assert_eq!(code(result), "OBJECT_TYPE_NOT_FOUND");
    }
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn an_instance_is_validated_against_the_type_of_now_or_of_a_version(pool: PgPool) {
    let oms = registry(&pool);
    let city = |required: bool| json!({"properties": [{"name": "city", "dataType": "STRING", "required": required}]});
    created(&oms, with(object("Address"), city(false))).await;
    patched(&oms, "Address", city(true)).await;
    let instances = vec![json!({}), json!({"city": "Ulm"}), json!({"city": 1, "zip": 2})];
    let codes = async |version| {
        let verdicts = oms.object_types.validate(&caller(), &key("address"), version, instances.clone()).await.unwrap();
        assert!(!verdicts.truncated && verdicts.each.iter().all(|one| one.valid == one.faults.is_empty()));
        verdicts.each.iter().map(|verdict| crate::fixture::places(&verdict.faults)).collect::<Vec<_>>()
    };
    let wrong = at([("/city", "INVALID_DATA_TYPE"), ("/zip", "UNKNOWN_PROPERTY")]);
    assert_eq!(codes(None).await, [at([("/city", "REQUIRED_FIELD_MISSING")]), vec![], wrong.clone()]);
    assert_eq!(codes(Some(1)).await, [vec![], vec![], wrong]);
    let many = vec![json!({}); 1_001];
    assert_eq!(
        refusal(oms.object_types.validate(&caller(), &key("Address"), None, many).await),
        at([("/instances", "TOO_MANY_ITEMS")])
    );
    assert_eq!(
        code(oms.object_types.validate(&caller(), &key("Address"), Some(9), instances.clone()).await),
        "VERSION_NOT_FOUND"
    );
}
