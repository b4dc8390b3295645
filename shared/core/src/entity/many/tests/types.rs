use serde_json::json;
use sqlx::PgPool;
use uuid::Uuid;

use super::{heavy, keys, shop, too_much};
use crate::{
    Registry,
    cache::Lookup,
    error::Kind,
    fixture::{cached, caller, caller_of, code, created, deleted, key, object, patched, registry},
    object_type::ObjectType,
};

async fn many(oms: &Registry, texts: &[&str]) -> Vec<Option<ObjectType>> {
    oms.object_types.get_many(&caller(), &keys(texts)).await.unwrap()
}

/// The names of what was found, `-` for nothing.
async fn names(oms: &Registry, texts: &[&str]) -> Vec<String> {
    let found = many(oms, texts).await;
    found.iter().map(|one| one.as_ref().map_or("-".to_owned(), |one| one.definition.name.to_string())).collect()
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn types_come_in_the_order_of_their_keys_and_none_for_what_is_not_there(pool: PgPool) {
    let direct = registry(&pool);
    let (customer, order) = shop(&direct).await;
    let gone = created(&direct, object("Gone")).await;
    deleted(&direct, "Gone").await;
    let foreign = direct.object_types.create(&caller_of("globex"), &object("Foreign")).await.unwrap();
    let places = direct.link_types.get(&caller(), &key("Places")).await.unwrap();
    let knows = direct.link_types.get(&caller(), &key("Knows")).await.unwrap();
    let (customer_id, places_id) = (customer.id.to_string(), places.id.to_string());
    let nobody = Uuid::new_v4().to_string();
    for oms in [direct, cached(&pool)] {
        // With nothing in the cache, and with everything.
        for _ in 0..2 {
            let texts = ["ORDER", &customer_id, "Nobody", &nobody, "order", &gone.id.to_string(), "Gone", "Customer"];
            let expected = [Some(&order), Some(&customer), None, None, Some(&order), None, None, Some(&customer)];
            assert_eq!(many(&oms, &texts).await, expected.map(Option::<&_>::cloned));
            assert_eq!(
                many(&oms, &[&foreign.id.to_string(), "Foreign", &places_id, "Places"]).await,
                [const { None }; 4]
            );
            let texts = keys(&["Knows", &customer_id, &places_id, "KNOWS", "Customer"]);
            let links = oms.link_types.get_many(&caller(), &texts).await.unwrap();
            assert_eq!(links, [Some(knows.clone()), None, Some(places.clone()), Some(knows.clone()), None]);
        }
    }
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn what_was_read_once_is_served_by_id_and_name_without_the_database(pool: PgPool) {
    let oms = cached(&pool);
    let (customer, order) = shop(&oms).await;
    let link = oms.link_types.get_many(&caller(), &keys(&["Places"])).await.unwrap();
    // Order by its id alone: that it has this name is noted along with it.
    assert_eq!(many(&oms, &["customer", &order.id.to_string()]).await, [Some(customer.clone()), Some(order.clone())]);
    pool.close().await;
    let texts = ["Order", &customer.id.to_string(), &order.id.to_string(), "CUSTOMER"];
    let expected = [&order, &customer, &order, &customer].map(|one| Some(one.clone()));
    assert_eq!(many(&oms, &texts).await, expected);
    assert_eq!(oms.object_types.get(&caller(), &key("Order")).await.unwrap(), order);
    let places = link[0].as_ref().unwrap().id.to_string();
    assert_eq!(oms.link_types.get_many(&caller(), &keys(&[&places])).await.unwrap(), link);
    assert_eq!(code(oms.object_types.get_many(&caller(), &keys(&["Order", "Nobody"])).await), "SERVICE_UNAVAILABLE");
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn only_what_the_cache_lacks_is_read(pool: PgPool) {
    let oms = cached(&pool);
    let mut ids = Vec::new();
    for name in ["A", "B", "C"] {
        ids.push(created(&oms, object(name)).await.id.0);
    }
    let texts: Vec<String> = ids.iter().map(Uuid::to_string).collect();
    // A creation keeps what it made: only B is forgotten, and C is nothing that this release could read.
    sqlx::query("UPDATE object_types SET display_name = 'read', version = 2").execute(&pool).await.unwrap();
    oms.cache.keep_entity(Kind::ObjectType, &caller().tenant, ids[1], 1, None, None).await;
    oms.cache.keep_entity(Kind::ObjectType, &caller().tenant, ids[2], 1, None, Some("{}")).await;
    for texts in [["C", "A", "B"], [&texts[2], &texts[0], &texts[1]]] {
        let found = many(&oms, &texts).await;
        let shown: Vec<_> = found.into_iter().map(|one| one.unwrap().definition.display_name).collect();
        assert_eq!(shown, ["read", "A", "read"]);
    }
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn a_renamed_type_is_found_by_its_new_name_only(pool: PgPool) {
    let oms = cached(&pool);
    let (customer, _) = shop(&oms).await;
    let id = customer.id.to_string();
    assert_eq!(names(&oms, &["Customer", "Client", &id]).await, ["Customer", "-", "Customer"]);
    let linked_to = async || oms.link_types.get_many(&caller(), &keys(&["Places"])).await.unwrap()[0].clone().unwrap();
    assert_eq!(linked_to().await.ends.source.name, "Customer");

    patched(&oms, "Customer", json!({"name": "Client"})).await;
    for _ in 0..2 {
        assert_eq!(names(&oms, &["Customer", "Client", &id]).await, ["-", "Client", "Client"]);
        assert_eq!(names(&oms, &["Customer"]).await, ["-"]);
        // Who shows the name shows the new one.
        assert_eq!(linked_to().await.ends.source.name, "Client");
        let order = serde_json::to_value(many(&oms, &["Order"]).await[0].as_ref().unwrap().view()).unwrap();
        assert_eq!(order["properties"][0]["referenceTo"], "Client");
    }

    // Both names change hands while the cache knows them.
    let other = created(&oms, object("Customer")).await;
    for _ in 0..2 {
        let found = many(&oms, &["Customer", &id, "Client"]).await;
        let found: Vec<_> = found.into_iter().map(|one| one.unwrap().id).collect();
        assert_eq!(found, [other.id, customer.id, customer.id]);
    }
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn what_is_read_while_a_name_changes_is_not_served_as_new(pool: PgPool) {
    let oms = cached(&pool);
    let (_, order) = shop(&oms).await;
    let mut held = pool.begin().await.unwrap();
    sqlx::query("LOCK TABLE object_types IN ACCESS EXCLUSIVE MODE").execute(&mut *held).await.unwrap();
    let reading = tokio::spawn({
        let oms = oms.clone();
        async move { many(&oms, &["Order"]).await }
    });
    let waiting =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while sqlx::query_scalar::<_, i64>(waiting).fetch_one(&pool).await.unwrap() == 0 {
        tokio::task::yield_now().await;
    }
    oms.cache.names_changed(&caller().tenant).await;
    held.rollback().await.unwrap();
    assert_eq!(reading.await.unwrap(), [Some(order.clone())]);
    let kept = oms.cache.entity(Kind::ObjectType, &caller().tenant, order.id.0).await;
    assert!(matches!(kept, Lookup::Miss(Some(_))), "{kept:?}");
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn more_than_one_read_may_hold_is_refused_from_the_cache_as_from_the_database(pool: PgPool) {
    let (direct, oms) = (registry(&pool), cached(&pool));
    let mut snapshots = Vec::new();
    for (name, bytes) in [("A", 3_000_000), ("B", 3_000_000), ("C", 3_000_000), ("Z", 9_000_000)] {
        snapshots.push((created(&direct, heavy(object(name), bytes)).await.id.0, 1));
    }
    for oms in [&direct, &oms, &oms] {
        let get = async |texts: &[&str]| oms.object_types.get_many(&caller(), &keys(texts)).await;
        assert_eq!(too_much(get(&["A", "B", "C"]).await), (2, 3));
        assert_eq!(names(oms, &["A", "B", "a", "Nobody"]).await, ["A", "B", "A", "-"]);
        assert_eq!(names(oms, &["C"]).await, ["C"]);
        assert_eq!(too_much(get(&["A", "B", "C"]).await), (2, 3));
        assert_eq!(names(oms, &["Z", "Z", "Nobody"]).await, ["Z", "Z", "-"], "one is never too much");
        for texts in [["A", "Z"], ["Z", "A"]] {
            assert_eq!(too_much(get(&texts).await), (1, 2));
        }
    }
    let read = async |places: &[usize]| {
        let versions: Vec<_> = places.iter().map(|place| snapshots[*place]).collect();
        oms.object_types.snapshots(&caller(), &versions).await
    };
    assert_eq!(too_much(read(&[0, 1, 2]).await), (2, 3));
    assert_eq!(too_much(read(&[3, 0]).await), (1, 2));
    for places in [&[2, 0][..], &[3]] {
        assert!(read(places).await.unwrap().iter().all(Option::is_some), "{places:?}");
    }
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn snapshots_come_in_the_order_asked_for_and_none_for_what_is_not_there(pool: PgPool) {
    let oms = registry(&pool);
    let (first, order) = shop(&oms).await;
    let second = patched(&oms, "Customer", json!({"name": "Client"})).await;
    let gone = created(&oms, object("Gone")).await;
    deleted(&oms, "Gone").await;
    let places = oms.link_types.get(&caller(), &key("Places")).await.unwrap();
    let customer = first.id.0;
    let asked = [
        (customer, 2),
        (gone.id.0, 1),
        (customer, 3),
        (order.id.0, 1),
        (customer, 2),
        (customer, 1),
        (Uuid::new_v4(), 1),
        (places.id.0, 1),
    ];
    let found = oms.object_types.snapshots(&caller(), &asked).await.unwrap();
    // Names as they were, not as they are.
    let expected = [Some(&second), Some(&gone), None, Some(&order), Some(&second), Some(&first), None, None];
    assert_eq!(found, expected.map(Option::<&_>::cloned));
    let link = oms.link_types.snapshots(&caller(), &[(places.id.0, 1)]).await.unwrap();
    assert_eq!(link[0].as_ref().unwrap().ends.source.name, "Customer");
    let foreign = oms.object_types.snapshots(&caller_of("globex"), &asked).await.unwrap();
    assert_eq!(foreign, [const { None }; 8]);
}
