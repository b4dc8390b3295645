use serde_json::{Value, json};
use sqlx::PgPool;

use crate::{
    Registry,
    entity::{Filter, ListQuery},
    fixture::{
        at, caller, code, created, deleted, key, link, linked, object, patched, reference, referring, refusal,
        registry, with,
    },
    link_type::{Cardinality, LinkType},
};

async fn customer_and_order(oms: &Registry) {
    created(oms, object("Customer")).await;
    created(oms, object("Order")).await;
}

async fn updated(oms: &Registry, name: &str, patch: Value) -> LinkType {
    oms.link_types.update(&caller(), &key(name), &patch, None).await.unwrap()
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn a_link_type_shows_its_ends_by_their_names_of_now(pool: PgPool) {
    let oms = registry(&pool);
    customer_and_order(&oms).await;
    let customer = oms.object_types.get(&caller(), &key("Customer")).await.unwrap().id;
    let made = linked(&oms, link("Places", &customer.to_string(), "ORDER")).await;
    let shown = serde_json::to_value(made.view()).unwrap();
    assert_eq!((&shown["source"], &shown["target"]), (&json!("Customer"), &json!("Order")));
    assert_eq!(shown["sourceObjectTypeId"], json!(customer));
    assert_eq!(oms.link_types.get(&caller(), &key("PLACES")).await.unwrap(), made);

    patched(&oms, "Customer", json!({"name": "Client"})).await;
    let now = oms.link_types.get(&caller(), &key("places")).await.unwrap();
    assert_eq!((now.ends.source.name.as_str(), now.stamp.version), ("Client", 1));
    let listed = oms.link_types.list(&caller(), &ListQuery::default()).await.unwrap();
    assert_eq!(listed.items, [now]);
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn a_batch_names_every_end_and_target_that_is_not_there(pool: PgPool) {
    let oms = registry(&pool);
    customer_and_order(&oms).await;
    linked(&oms, link("Taken", "Customer", "Order")).await;
    // The links of a batch are no object types: `L1` is not there as an end.
    let with_reference = with(link("L3", "Order", "Order"), json!({"properties": [reference("r", "Nobody", false)]}));
    let batch =
        [link("L1", "Customer", "Nowhere"), link("L2", "L1", "Order"), with_reference, link("TAKEN", "Order", "Order")];
    assert_eq!(
        refusal(oms.link_types.create_batch(&caller(), &batch).await),
        at([
            ("/items/0/target", "REFERENCED_TYPE_NOT_FOUND"),
            ("/items/1/source", "REFERENCED_TYPE_NOT_FOUND"),
            ("/items/2/properties/0/referenceTo", "REFERENCED_TYPE_NOT_FOUND"),
            ("/items/3/name", "LINK_TYPE_NAME_EXISTS"),
        ])
    );
    assert_eq!(oms.link_types.count(&caller(), &Filter::default()).await.unwrap(), 1);
    // A name of an object type is free for a link type.
    linked(&oms, link("Customer", "Customer", "Customer")).await;
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn ends_and_cardinality_are_patched_and_compared(pool: PgPool) {
    let oms = registry(&pool);
    customer_and_order(&oms).await;
    let made = linked(&oms, link("Places", "Customer", "Order")).await;
    let same = updated(&oms, "Places", json!({"source": "CUSTOMER", "target": made.ends.target.id.to_string()})).await;
    assert_eq!(same, made);
    let moved = updated(&oms, "Places", json!({"target": "Customer", "cardinality": "MANY_TO_MANY"})).await;
    assert_eq!((moved.stamp.version, moved.ends.target.name.as_str()), (2, "Customer"));
    assert_eq!(moved.ends.cardinality, Cardinality::ManyToMany);
    let compared = oms.link_types.compare(&caller(), &key("Places"), 1, 2).await.unwrap();
    let fields: Vec<_> = compared.changes.iter().map(|change| change.field.as_str()).collect();
    assert_eq!(fields, ["target", "cardinality"]);
    // The end that was left is free to go.
    deleted(&oms, "Order").await;
    let gone = oms.link_types.update(&caller(), &key("Places"), &json!({"source": "Order"}), None).await;
    assert_eq!(refusal(gone), at([("/source", "REFERENCED_TYPE_NOT_FOUND")]));
    let read_only = oms.link_types.update(&caller(), &key("Places"), &json!({"sourceObjectTypeId": "x"}), None).await;
    assert_eq!(refusal(read_only), at([("/sourceObjectTypeId", "READ_ONLY_FIELD")]));
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn a_link_type_is_deleted_and_restored_with_its_ends(pool: PgPool) {
    let oms = registry(&pool);
    customer_and_order(&oms).await;
    linked(&oms, link("Places", "Customer", "Order")).await;
    let gone = oms.link_types.delete(&caller(), &key("Places"), Some(1), false).await.unwrap();
    assert_eq!(code(oms.link_types.get(&caller(), &key("Places")).await), "LINK_TYPE_NOT_FOUND");
    deleted(&oms, "Order").await;
    let id = key(&gone.id.to_string());
    assert_eq!(
        refusal(oms.link_types.restore(&caller(), &id, None).await),
        // There is no body to point into.
        at([("", "REFERENCED_TYPE_NOT_FOUND")])
    );
    oms.object_types.restore(&caller(), &key("Order"), None).await.unwrap();
    patched(&oms, "Order", json!({"name": "Purchase"})).await;
    let back = oms.link_types.restore(&caller(), &id, None).await.unwrap();
    assert_eq!((back.stamp.version, back.ends.target.name.as_str()), (3, "Purchase"));
    assert_eq!(code(oms.object_types.delete(&caller(), &key("Purchase"), None, false).await), "OBJECT_TYPE_IN_USE");
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn a_reference_of_a_link_type_holds_its_target(pool: PgPool) {
    let oms = registry(&pool);
    customer_and_order(&oms).await;
    created(&oms, object("Shop")).await;
    let shop = json!({"properties": [reference("at", "Shop", true)]});
    linked(&oms, with(link("Places", "Customer", "Order"), shop)).await;
    let refused = oms.object_types.delete(&caller(), &key("Shop"), None, true).await.unwrap_err();
    let crate::error::Error::InUse { referrers } = refused else { panic!("{refused}") };
    assert_eq!(
        (referrers.len(), referrers[0].name.as_str(), referrers[0].property.as_deref()),
        (1, "Places", Some("at"))
    );
    // Links that go with an end let go of what they refer to; and they close no cycle of object types.
    patched(&oms, "Shop", json!({"properties": [reference("who", "Customer", true)]})).await;
    patched(&oms, "Shop", json!({"properties": []})).await;
    oms.object_types.delete(&caller(), &key("Customer"), None, true).await.unwrap();
    deleted(&oms, "Shop").await;
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn links_are_listed_by_their_ends_and_cardinality(pool: PgPool) {
    let oms = registry(&pool);
    customer_and_order(&oms).await;
    let order = oms.object_types.get(&caller(), &key("Order")).await.unwrap().id.to_string();
    created(&oms, referring("Lone", "x", "Order", false)).await;
    linked(&oms, link("Knows", "Customer", "Customer")).await;
    linked(&oms, with(link("Places", "Customer", "Order"), json!({"cardinality": "ONE_TO_ONE", "tags": ["t"]}))).await;
    linked(&oms, link("Pleases", "Order", "Customer")).await;
    let none = Filter::default;
    for (filter, expected) in [
        (none(), &["Knows", "Places", "Pleases"][..]),
        (Filter { source: Some(key("CUSTOMER")), ..none() }, &["Knows", "Places"]),
        (Filter { target: Some(key("customer")), ..none() }, &["Knows", "Pleases"]),
        (Filter { source: Some(key(&order)), ..none() }, &["Pleases"]),
        (Filter { source: Some(key("Customer")), target: Some(key(&order)), ..none() }, &["Places"]),
        (Filter { either_end: Some(key(&order)), ..none() }, &["Places", "Pleases"]),
        (Filter { either_end: Some(key("Order")), any_tags: vec!["t".into()], ..none() }, &["Places"]),
        (Filter { cardinality: Some(Cardinality::OneToMany), ..none() }, &["Knows", "Pleases"]),
        (Filter { either_end: Some(key("Lone")), ..none() }, &[]),
        (Filter { source: Some(key("Nobody")), ..none() }, &[]),
    ] {
        let list = ListQuery { filter: filter.clone(), count: true, ..ListQuery::default() };
        let page = oms.link_types.list(&caller(), &list).await.unwrap();
        let names: Vec<_> = page.items.iter().map(|link| link.definition.name.as_str()).collect();
        assert_eq!(names, expected, "{filter:?}");
        assert_eq!(page.total, i64::try_from(expected.len()).ok());
    }
}
