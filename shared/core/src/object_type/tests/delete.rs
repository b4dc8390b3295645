use serde_json::json;
use sqlx::PgPool;

use crate::{
    Registry,
    entity::Filter,
    error::{Error, Kind, Referrer},
    fixture::{
        caller, code, created, deleted, key, link, linked, object, patched, reference, referring, refusal, registry,
        with,
    },
};

/// What still uses a type, as the refusal to delete it says.
async fn users(oms: &Registry, name: &str, cascade: bool) -> Vec<Referrer> {
    match oms.object_types.delete(&caller(), &key(name), None, cascade).await {
        Err(Error::InUse { referrers }) => referrers,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

fn by_link(name: &str) -> Referrer {
    Referrer { kind: Kind::LinkType, name: name.into(), property: None }
}

fn by_property(name: &str, property: &str) -> Referrer {
    Referrer { kind: Kind::ObjectType, name: name.into(), property: Some(property.into()) }
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn a_type_in_use_stays_and_its_users_are_named(pool: PgPool) {
    let oms = registry(&pool);
    created(&oms, object("Customer")).await;
    created(&oms, object("Order")).await;
    linked(&oms, link("Places", "Customer", "Order")).await;
    linked(&oms, link("Knows", "Customer", "Customer")).await;
    let nested = json!({"properties": [{"name": "o", "dataType": "OBJECT", "properties": [reference("who", "Customer", false)]}]});
    created(&oms, with(object("Invoice"), nested)).await;

    assert_eq!(users(&oms, "Order", false).await, [by_link("Places")]);
    let all = [by_link("Knows"), by_link("Places"), by_property("Invoice", "who")];
    let mut found = users(&oms, "Customer", false).await;
    found.sort_by_key(|user| (user.kind != Kind::LinkType, user.name.clone()));
    assert_eq!(found, all);
    // Links may go with it; a property never does, and while it is there the links stay too.
    assert_eq!(users(&oms, "Customer", true).await, [by_property("Invoice", "who")]);
    assert_eq!(oms.link_types.count(&caller(), &Filter::default()).await.unwrap(), 2);

    deleted(&oms, "Invoice").await;
    let gone = oms.object_types.delete(&caller(), &key("Customer"), Some(1), true).await.unwrap();
    assert_eq!(gone.version, 2);
    assert_eq!(oms.link_types.count(&caller(), &Filter::default()).await.unwrap(), 0);
    assert_eq!(code(oms.link_types.get(&caller(), &key("Knows")).await), "LINK_TYPE_NOT_FOUND");
    deleted(&oms, "Order").await;
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn a_deleted_type_is_gone_and_its_name_can_be_taken(pool: PgPool) {
    let oms = registry(&pool);
    let first = created(&oms, referring("Customer", "parent", "Customer", false)).await;
    let conflict = oms.object_types.delete(&caller(), &key("Customer"), Some(2), false).await;
    assert!(matches!(conflict, Err(Error::VersionConflict { expected: 2, actual: 1 })), "{conflict:?}");
    deleted(&oms, "CUSTOMER").await;
    let id = first.id.to_string();
    for text in ["Customer", &id] {
        assert_eq!(code(oms.object_types.get(&caller(), &key(text)).await), "OBJECT_TYPE_NOT_FOUND");
        assert_eq!(code(oms.object_types.delete(&caller(), &key(text), None, false).await), "OBJECT_TYPE_NOT_FOUND");
    }
    let second = created(&oms, object("customer")).await;
    assert_ne!(second.id, first.id);
    // By name, that is the living one; the dead one is still found by its id.
    assert_eq!(oms.object_types.versions(&caller(), &key("Customer"), None, 10).await.unwrap().items.len(), 1);
    assert_eq!(oms.object_types.versions(&caller(), &key(&id), None, 10).await.unwrap().items.len(), 2);
    deleted(&oms, "Customer").await;
    created(&oms, object("Customer")).await;
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn a_restored_type_is_as_it_was_with_targets_by_their_names_of_now(pool: PgPool) {
    let oms = registry(&pool);
    created(&oms, object("Customer")).await;
    let order = created(&oms, referring("Order", "customer", "Customer", true)).await;
    assert_eq!(code(oms.object_types.restore(&caller(), &key("Order"), None).await), "NOT_DELETED");
    deleted(&oms, "Order").await;
    patched(&oms, "Customer", json!({"name": "Client"})).await;
    let conflict = oms.object_types.restore(&caller(), &key("Order"), Some(1)).await;
    assert!(matches!(conflict, Err(Error::VersionConflict { expected: 1, actual: 2 })), "{conflict:?}");

    let back = oms.object_types.restore(&caller(), &key("order"), Some(2)).await.unwrap();
    assert_eq!((back.id, back.stamp.version), (order.id, 3));
    assert_eq!(back.definition.properties, order.definition.properties);
    assert_eq!(serde_json::to_value(back.view()).unwrap()["properties"][0]["referenceTo"], "Client");
    assert_eq!(oms.object_types.get(&caller(), &key("Order")).await.unwrap(), back);
    // It holds its target again.
    assert_eq!(users(&oms, "Client", false).await, [by_property("Order", "customer")]);
    assert_eq!(code(oms.object_types.restore(&caller(), &key("Nobody"), None).await), "OBJECT_TYPE_NOT_FOUND");
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn a_type_is_not_restored_over_another_or_without_its_targets(pool: PgPool) {
    let oms = registry(&pool);
    created(&oms, object("Customer")).await;
    let order = created(&oms, referring("Order", "customer", "Customer", true)).await;
    let id = key(&order.id.to_string());
    deleted(&oms, "Order").await;
    created(&oms, object("ORDER")).await;
    deleted(&oms, "Customer").await;
    let refused = refusal(oms.object_types.restore(&caller(), &id, None).await);
    assert!(refused.contains(&("/name".to_owned(), "OBJECT_TYPE_NAME_EXISTS")), "{refused:?}");
    assert!(refused.iter().any(|(_, code)| *code == "REFERENCED_TYPE_NOT_FOUND"), "{refused:?}");
    // The living one has the name, and it is not deleted.
    assert_eq!(code(oms.object_types.restore(&caller(), &key("Order"), None).await), "NOT_DELETED");

    deleted(&oms, "Order").await;
    // By name it is the one deleted last.
    assert_eq!(
        oms.object_types.restore(&caller(), &key("Order"), None).await.unwrap().definition.name.as_str(),
        "ORDER"
    );
    deleted(&oms, "Order").await;
    oms.object_types.restore(&caller(), &key("Customer"), None).await.unwrap();
    assert_eq!(oms.object_types.restore(&caller(), &id, None).await.unwrap().stamp.version, 3);
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn a_self_reference_comes_back_with_its_type(pool: PgPool) {
    let oms = registry(&pool);
    created(&oms, referring("Node", "next", "Node", false)).await;
    deleted(&oms, "Node").await;
    let back = oms.object_types.restore(&caller(), &key("Node"), None).await.unwrap();
    assert_eq!(serde_json::to_value(back.view()).unwrap()["properties"][0]["referenceTo"], "Node");
    deleted(&oms, "Node").await;
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn of_a_deletion_and_a_new_use_at_the_same_time_one_wins(pool: PgPool) {
    let oms = registry(&pool);
    let acme = caller();
    for round in 0..4 {
        let name = format!("T{round}");
        created(&oms, object(&name)).await;
        let target = key(&name);
        let (input, by_link) =
            (referring(&format!("R{round}"), "p", &name, false), link(&format!("L{round}"), &name, &name));
        let delete = oms.object_types.delete(&acme, &target, None, false);
        let (deleted, used) = if round % 2 == 0 {
            let (deleted, used) = tokio::join!(delete, oms.object_types.create(&acme, &input));
            (deleted, used.map(drop))
        } else {
            let (deleted, used) = tokio::join!(delete, oms.link_types.create(&acme, &by_link));
            (deleted, used.map(drop))
        };
        match (deleted, used) {
            (Ok(_), Err(error)) => {
                let refused = refusal(Err::<(), _>(error));
                assert!(refused.iter().all(|(_, code)| *code == "REFERENCED_TYPE_NOT_FOUND"), "{refused:?}");
            }
            (Err(error), Ok(())) => assert_eq!(error.code().as_str(), "OBJECT_TYPE_IN_USE"),
            both => panic!("round {round}: {both:?}"),
        }
    }
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn a_type_is_deleted_and_restored_once(pool: PgPool) {
    let oms = registry(&pool);
    let acme = caller();
    let id = key(&created(&oms, object("Customer")).await.id.to_string());
    let deletions = futures::future::join_all((0..4).map(|_| oms.object_types.delete(&acme, &id, None, false))).await;
    assert_eq!(deletions.iter().filter(|result| result.is_ok()).count(), 1);
    for result in deletions.into_iter().filter(Result::is_err) {
        assert_eq!(code(result), "OBJECT_TYPE_NOT_FOUND");
    }
    let restorations = futures::future::join_all((0..4).map(|_| oms.object_types.restore(&acme, &id, None))).await;
    assert_eq!(restorations.iter().filter(|result| result.is_ok()).count(), 1);
    for result in restorations.into_iter().filter(Result::is_err) {
        assert_eq!(code(result), "NOT_DELETED");
    }
}

/// How many statements wait for a lock of another one.
async fn waiting(pool: &PgPool) -> i64 {
    let asked = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    sqlx::query_scalar(asked).fetch_one(pool).await.unwrap()
}

async fn blocked(pool: &PgPool) {
    while waiting(pool).await == 0 {
        tokio::task::yield_now().await;
    }
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn a_cascade_takes_links_as_they_are_when_it_comes_to_them(pool: PgPool) {
    let oms = registry(&pool);
    for name in ["A", "B", "C"] {
        created(&oms, object(name)).await;
    }
    let kept = linked(&oms, link("Kept", "A", "B")).await;
    let taken = linked(&oms, link("Taken", "A", "B")).await;

    // Somebody is about to redirect one link and to rename the other when the deletion comes.
    let mut ahead = pool.begin().await.unwrap();
    sqlx::query("SELECT FROM link_types FOR UPDATE").execute(&mut *ahead).await.unwrap();
    let others = async {
        blocked(&pool).await;
        created(&oms, object("D")).await;
        let redirect = "UPDATE link_types SET version = 2, source_object_type_id = \
            (SELECT id FROM object_types WHERE name = 'D') WHERE id = $1";
        sqlx::query(redirect).bind(kept.id.0).execute(&mut *ahead).await.unwrap();
        let rename = "UPDATE link_types SET version = 2, display_name = 'Changed' WHERE id = $1";
        sqlx::query(rename).bind(taken.id.0).execute(&mut *ahead).await.unwrap();
        ahead.commit().await.unwrap();
    };
    let (acme, target) = (caller(), key("A"));
    let (deletion, ()) = futures::join!(oms.object_types.delete(&acme, &target, None, true), others);
    deletion.unwrap();

    let live = oms.link_types.get(&caller(), &key("Kept")).await.unwrap();
    assert_eq!((live.ends.source.name.as_str(), live.stamp.version), ("D", 2));
    let last = oms.link_types.version(&caller(), &key(&taken.id.to_string()), 3).await.unwrap();
    assert_eq!(last.snapshot.definition.display_name, "Changed");
    let old: String = sqlx::query_scalar(
        "SELECT old_value->'definition'->>'displayName' FROM audit_logs WHERE entity_id = $1 AND action = 'DELETE'",
    )
    .bind(taken.id.0)
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(old, "Changed");
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn a_restored_type_and_an_update_close_no_cycle_together(pool: PgPool) {
    let oms = registry(&pool);
    created(&oms, object("A")).await;
    let returning = created(&oms, referring("T", "a", "A", true)).await;
    deleted(&oms, "T").await;

    // The update waits for A's row with a snapshot in which T is deleted. A restoration that slipped in now would be seen by
    // the foreign key, and not by the search for cycles. It needs A's row only to be there, so this lock does not hold it.
    let mut ahead = pool.begin().await.unwrap();
    sqlx::query("SELECT FROM object_types WHERE name = 'A' FOR NO KEY UPDATE").execute(&mut *ahead).await.unwrap();
    let target = returning.id.to_string();
    let (acme, a, t) = (caller(), key("A"), key(&target));
    let patch = json!({"properties": [reference("t", &target, true)]});
    let restored = std::cell::Cell::new(false);
    let restore = async {
        blocked(&pool).await;
        let restoration = oms.object_types.restore(&acme, &t, None).await;
        restored.set(true);
        restoration
    };
    let release = async {
        while !restored.get() && waiting(&pool).await < 2 {
            tokio::task::yield_now().await;
        }
        ahead.commit().await.unwrap();
    };
    let (update, restoration, ()) = futures::join!(oms.object_types.update(&acme, &a, &patch, None), restore, release);
    assert!(update.is_err() || restoration.is_err(), "both are live and require each other");
}
