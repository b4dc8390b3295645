mod pages;
mod types;

use serde_json::{Value, json};
use sqlx::PgPool;

use crate::{
    Registry,
    context::{Context, Permission, Permissions},
    error::Error,
    fault::FaultKind,
    fixture::{cached, caller, code, created, key, link, linked, object, referring, with},
    link_type::End,
    name::TypeKey,
    object_type::ObjectType,
};

fn keys(texts: &[&str]) -> Vec<TypeKey> {
    texts.iter().map(|text| key(text)).collect()
}

/// Customer, Order that refers to it, and the links Places between them and Knows among customers.
async fn shop(oms: &Registry) -> (ObjectType, ObjectType) {
    let customer = created(oms, object("Customer")).await;
    let order = created(oms, referring("Order", "customer", "Customer", true)).await;
    linked(oms, link("Places", "Customer", "Order")).await;
    linked(oms, link("Knows", "Customer", "Customer")).await;
    (customer, order)
}

fn heavy(input: Value, bytes: usize) -> Value {
    with(input, json!({"metadata": {"text": "x".repeat(bytes)}}))
}

/// How many fitted, of how many, when it was too much.
fn too_much<T: std::fmt::Debug>(result: Result<T, Error>) -> (usize, usize) {
    match result {
        Err(Error::Invalid { faults, .. }) => match faults[0].kind {
            FaultKind::TooMany { max, actual } => (max, actual),
            ref other => panic!("expected too many, got {other:?}"),
        },
        other => panic!("expected a refusal, got {other:?}"),
    }
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn who_may_not_read_is_refused_before_anything_is_asked(pool: PgPool) {
    let oms = cached(&pool);
    let (customer, _) = shop(&oms).await;
    let id = customer.id.0;
    oms.object_types.get_many(&caller(), &keys(&["Customer"])).await.unwrap();
    pool.close().await;
    let (objects, links) = (&oms.object_types, &oms.link_types);
    for reader in [Permission::ObjectTypeRead, Permission::LinkTypeRead] {
        let context = &Context { permissions: Permissions::default().with(reader), ..caller() };
        let expected = |read| if read == reader { "SERVICE_UNAVAILABLE" } else { "PERMISSION_DENIED" };
        let (object, link) = (expected(Permission::ObjectTypeRead), expected(Permission::LinkTypeRead));
        // Customer is in the cache.
        let known = objects.get_many(context, &keys(&["Customer"])).await;
        assert_eq!(known.is_ok(), reader == Permission::ObjectTypeRead);
        assert_eq!(code(objects.get_many(context, &keys(&["Order"])).await), object);
        assert_eq!(code(objects.first_versions(context, &[id], 1).await), object);
        assert_eq!(code(objects.snapshots(context, &[(id, 1)]).await), object);
        assert_eq!(code(links.get_many(context, &keys(&["Places"])).await), link);
        assert_eq!(code(links.first_links(context, End::Source, &[id], 1, false).await), link);
    }
    // Who asks for nothing gets it without the database.
    assert_eq!(objects.get_many(&caller(), &[]).await.unwrap(), []);
    assert_eq!(objects.first_versions(&caller(), &[], 1).await.unwrap(), []);
    assert_eq!(objects.snapshots(&caller(), &[]).await.unwrap(), []);
    assert_eq!(links.first_links(&caller(), End::Source, &[], 1, true).await.unwrap(), []);
}
