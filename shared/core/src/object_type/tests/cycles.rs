use serde_json::json;
use sqlx::PgPool;

use crate::fixture::{at, caller, code, created, key, object, patched, reference, referring, refusal, registry, with};

const CIRCULAR: &str = "CIRCULAR_REFERENCE";

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn a_batch_closes_no_cycle_of_required_references(pool: PgPool) {
    let oms = registry(&pool);
    let refused = oms.object_types.create(&caller(), &referring("Node", "next", "NODE", true)).await;
    assert_eq!(refusal(refused), at([("/properties/0/referenceTo", CIRCULAR)]));

    let ring = |last: bool| {
        [
            referring("A", "b", "B", true),
            referring("B", "c", "C", true),
            referring("C", "a", "A", last),
            referring("D", "a", "A", true),
        ]
    };
    let refused = oms.object_types.create_batch(&caller(), &ring(true)).await;
    let places = ["/items/0", "/items/1", "/items/2"].map(|item| format!("{item}/properties/0/referenceTo"));
    assert_eq!(refusal(refused), at([(&*places[0], CIRCULAR), (&*places[1], CIRCULAR), (&*places[2], CIRCULAR)]));
    // One that may be left out lets instances begin there.
    oms.object_types.create_batch(&caller(), &ring(false)).await.unwrap();
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn an_update_closes_no_cycle_however_long(pool: PgPool) {
    let oms = registry(&pool);
    created(&oms, object("A")).await;
    created(&oms, referring("B", "a", "A", true)).await;
    created(&oms, referring("C", "b", "B", true)).await;
    created(&oms, object("Aside")).await;
    let closing = json!({"properties": [reference("aside", "Aside", true), reference("c", "C", true)]});
    let refused = oms.object_types.update(&caller(), &key("A"), &closing, None).await;
    // Only the reference that lies on the cycle is named.
    assert_eq!(refusal(refused), at([("/properties/1/referenceTo", CIRCULAR)]));
    let own =
        oms.object_types.update(&caller(), &key("A"), &json!({"properties": [reference("a", "A", true)]}), None).await;
    assert_eq!(refusal(own), at([("/properties/0/referenceTo", CIRCULAR)]));
    let nested =
        json!([{"name": "o", "dataType": "OBJECT", "required": true, "properties": [reference("c", "C", true)]}]);
    let refused = oms.object_types.update(&caller(), &key("A"), &json!({"properties": nested}), None).await;
    assert_eq!(refusal(refused), at([("/properties/0/properties/0/referenceTo", CIRCULAR)]));
    assert_eq!(oms.object_types.get(&caller(), &key("A")).await.unwrap().stamp.version, 1);

    // Fine as long as it may be left out, in whatever way; then it becomes required.
    let preset = with(reference("c", "C", true), json!({"defaultValue": "c-1"}));
    let list = json!({"name": "c", "dataType": "ARRAY", "itemType": "REFERENCE", "referenceTo": "C", "required": true});
    let within = json!({"name": "o", "dataType": "OBJECT", "properties": [reference("c", "C", true)]});
    for fine in [preset, list, within, reference("c", "C", false)] {
        patched(&oms, "A", json!({"properties": [fine]})).await;
    }
    let refused =
        oms.object_types.update(&caller(), &key("A"), &json!({"properties": [reference("c", "C", true)]}), None).await;
    assert_eq!(refusal(refused), at([("/properties/0/referenceTo", CIRCULAR)]));
    // The other way round is no cycle.
    patched(&oms, "C", json!({"properties": [reference("b", "B", true), reference("a", "A", true)]})).await;
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn of_two_updates_that_would_close_a_cycle_together_one_wins(pool: PgPool) {
    let oms = registry(&pool);
    let acme = caller();
    for round in 0..4 {
        let (a, b) = (format!("A{round}"), format!("B{round}"));
        created(&oms, object(&a)).await;
        created(&oms, object(&b)).await;
        let to = |name: &str| json!({"properties": [reference("p", name, true)]});
        let (to_a, to_b, key_a, key_b) = (to(&a), to(&b), key(&a), key(&b));
        let (one, two) = tokio::join!(
            oms.object_types.update(&acme, &key_a, &to_b, None),
            oms.object_types.update(&acme, &key_b, &to_a, None),
        );
        assert!(one.is_ok() != two.is_ok(), "round {round}: {one:?} {two:?}");
        assert_eq!(code(if one.is_ok() { two } else { one }), CIRCULAR);
    }
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn a_deleted_type_is_no_link_of_a_cycle(pool: PgPool) {
    let oms = registry(&pool);
    created(&oms, object("A")).await;
    created(&oms, referring("B", "a", "A", true)).await;
    crate::fixture::deleted(&oms, "B").await;
    created(&oms, object("C")).await;
    patched(&oms, "A", json!({"properties": [reference("c", "C", true)]})).await;
    let refused =
        oms.object_types.update(&caller(), &key("A"), &json!({"properties": [reference("b", "B", true)]}), None).await;
    assert_eq!(refusal(refused), at([("/properties/0/referenceTo", "REFERENCED_TYPE_NOT_FOUND")]));
    oms.object_types.restore(&caller(), &key("B"), None).await.unwrap();
    let refused =
        oms.object_types.update(&caller(), &key("C"), &json!({"properties": [reference("b", "B", true)]}), None).await;
    assert_eq!(refusal(refused), at([("/properties/0/referenceTo", CIRCULAR)]));
}
