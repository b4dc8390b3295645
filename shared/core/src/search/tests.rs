use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use serde_json::json;
use sqlx::PgPool;

use super::{Found, Hit, SearchQuery};
use crate::{
    Registry,
    context::{Context, Permission},
    error::Kind,
    fixture::{at, caller, caller_of, code, created, deleted, link, linked, object, patched, refusal, registry, with},
};

fn query(text: &str) -> SearchQuery<'_> {
    SearchQuery { text, kind: None, limit: 10 }
}

fn names(hits: Vec<Hit>) -> Vec<String> {
    let name = |hit: Hit| match hit.found {
        Found::ObjectType(found) => found.definition.name.to_string(),
        Found::LinkType(found) => found.definition.name.to_string(),
    };
    hits.into_iter().map(name).collect()
}

async fn found(oms: &Registry, text: &str) -> Vec<String> {
    names(oms.search.search(&caller(), query(text)).await.unwrap())
}

async fn addresses(oms: &Registry) {
    for (name, rest) in [
        ("PostalAddress", json!({"description": "Where letters go"})),
        ("Address", json!({"description": "Anything to be found at"})),
        (
            "Customer",
            json!({"displayName": "우리고객정보", "properties": [{"name": "homeAddress", "dataType": "STRING"}]}),
        ),
        ("OrderItem", json!({"tags": ["sales"], "category": "commerce"})),
        ("order_status", json!({"description": "How an order item is doing, at which address"})),
    ] {
        created(oms, with(object(name), rest)).await;
    }
    linked(oms, link("LivesAt", "Customer", "PostalAddress")).await;
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn the_exact_name_comes_first_then_names_then_properties_then_descriptions(pool: PgPool) {
    let oms = registry(&pool);
    addresses(&oms).await;
    assert_eq!(found(&oms, "address").await, ["Address", "PostalAddress", "Customer", "order_status"]);
    for text in ["PostalAddress", "postal address", "POSTAL-ADDRESS", "postaladdress"] {
        assert_eq!(found(&oms, text).await[0], "PostalAddress", "{text}");
    }
    // An exact name is one with underscores too, whatever else has its words.
    created(&oms, with(object("StatusOfOrder"), json!({"displayName": "Order Status Order Status"}))).await;
    assert_eq!(found(&oms, "order_status").await[0], "order_status");
    assert_eq!(found(&oms, "order status").await[0], "order_status");
    assert_eq!(found(&oms, "letters").await, ["PostalAddress"]);
    assert_eq!(found(&oms, "commerce").await, ["OrderItem"]);
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn words_of_a_name_and_beginnings_of_the_last_word_are_found(pool: PgPool) {
    let oms = registry(&pool);
    addresses(&oms).await;
    assert_eq!(found(&oms, "item").await[0], "OrderItem");
    assert_eq!(found(&oms, "post").await, ["PostalAddress"]);
    assert_eq!(found(&oms, "postal addr").await, ["PostalAddress"]);
    // Another form of an English word.
    assert_eq!(found(&oms, "letter").await, ["PostalAddress"]);
    assert_eq!(found(&oms, "lives").await, ["LivesAt"]);
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn what_is_spelled_alike_is_found_when_the_words_are_not_there(pool: PgPool) {
    let oms = registry(&pool);
    addresses(&oms).await;
    let alike = found(&oms, "adress").await;
    assert!(alike.contains(&"PostalAddress".to_owned()) && alike.contains(&"Address".to_owned()), "{alike:?}");
    assert_eq!(found(&oms, "xyzzy").await, Vec::<String>::new());
    // Whoever spells a name right is not guessed at.
    created(&oms, object("PostalAdress")).await;
    assert_eq!(found(&oms, "PostalAddress").await, ["PostalAddress"]);
    assert_eq!(found(&oms, "PostalAddres").await, ["PostalAddress", "PostalAdress"]);
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn korean_is_found_by_the_middle_of_a_word(pool: PgPool) {
    let oms = registry(&pool);
    addresses(&oms).await;
    for text in ["고객", "우리고객정보", "고객정보", "정보", "우리 정보"] {
        assert_eq!(found(&oms, text).await, ["Customer"], "{text}");
    }
    assert_eq!(found(&oms, "상품").await, Vec::<String>::new());
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn only_live_types_of_the_tenant_and_the_kind_are_found_as_they_are_now(pool: PgPool) {
    let oms = registry(&pool);
    addresses(&oms).await;
    let of = async |kind| {
        let query = SearchQuery { kind: Some(kind), ..query("lives") };
        names(oms.search.search(&caller(), query).await.unwrap())
    };
    assert_eq!(of(Kind::LinkType).await, ["LivesAt"]);
    assert_eq!(of(Kind::ObjectType).await, Vec::<String>::new());
    assert_eq!(names(oms.search.search(&caller_of("globex"), query("address")).await.unwrap()), Vec::<String>::new());
    patched(&oms, "Address", json!({"name": "Place", "displayName": "Place"})).await;
    deleted(&oms, "order_status").await;
    assert_eq!(found(&oms, "address").await, ["PostalAddress", "Customer"]);
    assert_eq!(found(&oms, "place").await, ["Place"]);
    let few = SearchQuery { limit: 1, ..query("address") };
    assert_eq!(names(oms.search.search(&caller(), few).await.unwrap()), ["PostalAddress"]);
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn whatever_is_typed_is_answered(pool: PgPool) {
    let oms = registry(&pool);
    addresses(&oms).await;
    let odd =
        ["' OR 1=1 --", "a & !b:*", "\\", "the", "½ ² ª", "<->", "ǅ İstanbul", "%_%", &"x ".repeat(100), "\u{fdfa}"];
    let mut runner = TestRunner::deterministic();
    let random: Vec<String> = (0..40).map(|_| "\\PC{1,60}".new_tree(&mut runner).unwrap().current()).collect();
    for text in odd.into_iter().chain(random.iter().map(String::as_str)) {
        let result = oms.search.search(&caller(), query(text)).await;
        assert!(result.is_ok(), "{text:?}: {result:?}");
    }
    assert_eq!(found(&oms, "?! --").await, Vec::<String>::new());
    for (wrong, place) in [
        (query(""), ("q", "TOO_SHORT")),
        (query("a\0"), ("q", "INVALID_TEXT")),
        (query(&"가".repeat(201)), ("q", "TOO_LONG")),
        (SearchQuery { limit: 0, ..query("a") }, ("limit", "INVALID_VALUE")),
        (SearchQuery { limit: 101, ..query("a") }, ("limit", "INVALID_VALUE")),
    ] {
        assert_eq!(refusal(oms.search.search(&caller(), wrong).await), at([place]));
    }
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn a_search_takes_the_right_to_read_what_it_finds(pool: PgPool) {
    let oms = registry(&pool);
    let objects = Context { permissions: [Permission::ObjectTypeRead].into_iter().collect(), ..caller() };
    let of = |kind| SearchQuery { kind, ..query("a") };
    assert!(oms.search.search(&objects, of(Some(Kind::ObjectType))).await.is_ok());
    for kind in [None, Some(Kind::LinkType)] {
        assert_eq!(code(oms.search.search(&objects, of(kind)).await), "PERMISSION_DENIED");
    }
}
