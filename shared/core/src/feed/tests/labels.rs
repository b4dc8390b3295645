use serde_json::json;
use sqlx::PgPool;

use super::{SOON, after, page, shown};
use crate::{
    Registry,
    feed::{EventFilter, Start},
    fixture::{caller, created, deleted, key, object, patched, registry, with},
};

fn of(categories: &[&str], tags: &[&str]) -> EventFilter {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    EventFilter { categories: texts(categories), tags: texts(tags), ..EventFilter::default() }
}

/// Moves through categories and tags: versions 1 to 7.
async fn history(oms: &Registry) {
    created(oms, with(object("Customer"), json!({"category": "sales", "tags": ["a", "b"]}))).await;
    patched(oms, "Customer", json!({"category": "support"})).await;
    patched(oms, "Customer", json!({"tags": ["b", "c"]})).await;
    patched(oms, "Customer", json!({"category": null, "tags": []})).await;
    patched(oms, "Customer", json!({"category": "sales"})).await;
    let id = oms.object_types.get(&caller(), &key("Customer")).await.unwrap().id.0.to_string();
    deleted(oms, "Customer").await;
    oms.object_types.restore(&caller(), &key(&id), None).await.unwrap();
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn an_event_is_of_the_labels_before_it_and_after_it(pool: PgPool) {
    let oms = registry(&pool);
    history(&oms).await;
    let ask = async |filter: EventFilter| {
        let page = page(&oms, &filter, &Start::Earliest, 100).await.unwrap();
        let watched = oms.feed.watch(&caller(), filter, &Start::Earliest).await.unwrap().next(SOON).await.unwrap();
        assert_eq!(shown(&watched), shown(&page));
        page.events.iter().map(|(event, _)| event.event.version).collect::<Vec<_>>()
    };
    assert_eq!(ask(of(&["sales"], &[])).await, [1, 2, 5, 6, 7]);
    assert_eq!(ask(of(&["support"], &[])).await, [2, 3, 4]);
    assert_eq!(ask(of(&["support", "sales"], &[])).await, [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(ask(of(&[], &["a"])).await, [1, 2, 3]);
    assert_eq!(ask(of(&[], &["c", "none"])).await, [3, 4]);
    assert_eq!(ask(of(&["support"], &["a"])).await, [2, 3]);
    assert_eq!(ask(EventFilter { names: vec!["other".into()], ..of(&["sales"], &[]) }).await, Vec::<i32>::new());
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn a_page_without_the_category_moves_on_all_the_same(pool: PgPool) {
    let oms = registry(&pool);
    for n in 0..6 {
        created(&oms, object(&format!("T{n}"))).await;
    }
    created(&oms, with(object("Customer"), json!({"category": "sales"}))).await;
    let filter = of(&["sales"], &[]);
    let (mut start, mut pages) = (Start::Earliest, Vec::new());
    loop {
        let next = page(&oms, &filter, &start, 3).await.unwrap();
        pages.push(shown(&next));
        start = after(&next.resume_token);
        if !next.has_more {
            break;
        }
    }
    assert_eq!(pages, [&[] as &[&str], &[], &["ObjectTypeCreated v1"]]);
    assert_eq!(shown(&page(&oms, &filter, &start, 3).await.unwrap()), [""; 0]);
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn labels_are_read_once_for_all_who_watch_and_only_if_somebody_asks(pool: PgPool) {
    let oms = registry(&pool);
    let watch = async |filter: EventFilter| {
        let mut watch = oms.feed.watch(&caller(), filter, &Start::Latest).await.unwrap();
        // The reader's first look is over when one of them waits.
        watch.next(std::time::Duration::from_millis(1)).await.unwrap();
        watch
    };
    let (mut all, mut sales) = (watch(EventFilter::default()).await, watch(of(&["sales"], &[])).await);
    let mut tagged = watch(of(&[], &["a"])).await;
    created(&oms, with(object("Customer"), json!({"category": "sales", "tags": ["a"]}))).await;
    let seen = all.next(SOON).await.unwrap().events.remove(0).0;
    assert!(seen.labels.get().is_none());
    let asked = sales.next(SOON).await.unwrap().events.remove(0).0;
    let read = asked.labels.get().unwrap().as_ref().unwrap();
    let again = tagged.next(SOON).await.unwrap().events.remove(0).0;
    assert!(std::ptr::eq(again.labels.get().unwrap().as_ref().unwrap(), read));
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn an_event_whose_labels_can_not_be_read_is_shown(pool: PgPool) {
    let oms = registry(&pool);
    history(&oms).await;
    oms.events.sequence().await.unwrap();
    sqlx::query("UPDATE events SET document = '{}' WHERE position = 3").execute(&pool).await.unwrap();
    let page = page(&oms, &of(&["sales"], &[]), &Start::Earliest, 100).await.unwrap();
    let positions: Vec<i64> = page.events.iter().map(|(event, _)| event.event.position).collect();
    assert_eq!(positions, [1, 2, 3, 5, 6, 7]);
}
