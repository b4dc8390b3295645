use serde_json::{Value, json};
use sqlx::PgPool;

use crate::{
    Registry,
    audit::AuditFilter,
    entity::{Filter, ListQuery},
    fixture::{at, caller, caller_of, code, created, deleted, object, patched, refusal, registry, with},
    object_type::ObjectType,
    page::{Sort, SortBy},
    search::SearchQuery,
};

fn names(types: &[ObjectType]) -> Vec<&str> {
    types.iter().map(|t| t.definition.name.as_str()).collect()
}

/// All pages of a list, two items at a time.
async fn all_pages(oms: &Registry, query: &ListQuery) -> Vec<ObjectType> {
    let mut query = ListQuery { limit: 2, ..query.clone() };
    let mut all = Vec::new();
    loop {
        let page = oms.object_types.list(&caller(), &query).await.unwrap();
        assert!(page.items.len() <= 2);
        query.cursor = page.next_cursor().map(str::to_owned);
        all.extend(page.items);
        if query.cursor.is_none() {
            return all;
        }
    }
}

async fn three_with_tags(oms: &Registry) {
    for (name, category, tags) in [
        ("Ant", json!("animal"), json!(["small", "red"])),
        ("Bee", json!("animal"), json!(["small"])),
        ("Car", Value::Null, json!(["red"])),
    ] {
        created(oms, with(object(name), json!({"category": category, "tags": tags}))).await;
    }
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn pages_in_every_order_show_each_type_once(pool: PgPool) {
    let oms = registry(&pool);
    // Made at the same moment, with the same display name: only the id tells them apart.
    let batch: Vec<Value> = ["b", "A", "_", "Z", "a1"]
        .iter()
        .enumerate()
        .map(|(i, suffix)| {
            with(object(&format!("T{suffix}")), json!({"displayName": if i < 3 { "고객" } else { "z" }}))
        })
        .collect();
    oms.object_types.create_batch(&caller(), &batch).await.unwrap();
    created(&oms, object("Later")).await;
    patched(&oms, "TZ", json!({"category": "x"})).await;
    for &by in SortBy::ALL {
        for descending in [false, true] {
            let list = ListQuery { sort: Sort { by, descending }, ..ListQuery::default() };
            let whole = oms.object_types.list(&caller(), &ListQuery { limit: 200, ..list.clone() }).await.unwrap();
            assert!(!whole.has_more && whole.next_cursor().is_none());
            let mut expected = whole.items.clone();
            expected.sort_by_key(|t| {
                let text = match by {
                    SortBy::Name => t.definition.name.to_string(),
                    SortBy::DisplayName => t.definition.display_name.clone(),
                    SortBy::CreatedAt | SortBy::UpdatedAt => String::new(),
                };
                let time = if by == SortBy::CreatedAt { t.stamp.created_at } else { t.stamp.updated_at };
                (text, Some(time).filter(|_| matches!(by, SortBy::CreatedAt | SortBy::UpdatedAt)), t.id)
            });
            if descending {
                expected.reverse();
            }
            assert_eq!(expected.len(), 6);
            assert_eq!(names(&whole.items), names(&expected), "{by:?} {descending}");
            assert_eq!(names(&all_pages(&oms, &list).await), names(&expected), "{by:?} {descending}");
        }
    }
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn filters_narrow_the_list_and_the_count_follows(pool: PgPool) {
    let oms = registry(&pool);
    three_with_tags(&oms).await;
    created(&oms, with(object("Gone"), json!({"tags": ["red"], "category": "animal"}))).await;
    deleted(&oms, "Gone").await;
    oms.object_types.create(&caller_of("globex"), &with(object("Other"), json!({"tags": ["red"]}))).await.unwrap();
    let tags = |tags: &[&str]| tags.iter().map(|tag| (*tag).to_owned()).collect::<Vec<_>>();
    for (filter, expected) in [
        (Filter::default(), &["Ant", "Bee", "Car"][..]),
        (Filter { category: Some("animal".into()), ..Filter::default() }, &["Ant", "Bee"]),
        (Filter { category: Some("Animal".into()), ..Filter::default() }, &[]),
        (Filter { any_tags: tags(&["small", "blue"]), ..Filter::default() }, &["Ant", "Bee"]),
        (Filter { any_tags: tags(&["small", "red"]), ..Filter::default() }, &["Ant", "Bee", "Car"]),
        (Filter { all_tags: tags(&["small", "red"]), ..Filter::default() }, &["Ant"]),
        (Filter { any_tags: tags(&["red"]), category: Some("animal".into()), ..Filter::default() }, &["Ant"]),
    ] {
        let list = ListQuery { filter: filter.clone(), limit: 1, count: true, ..ListQuery::default() };
        let page = oms.object_types.list(&caller(), &list).await.unwrap();
        assert_eq!(page.total, i64::try_from(expected.len()).ok(), "{filter:?}");
        assert_eq!(names(&all_pages(&oms, &list).await), expected, "{filter:?}");
    }
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn a_cursor_belongs_to_its_filter_sort_and_tenant(pool: PgPool) {
    let oms = registry(&pool);
    three_with_tags(&oms).await;
    let list = ListQuery { limit: 1, ..ListQuery::default() };
    let cursor = oms.object_types.list(&caller(), &list).await.unwrap().next_cursor().unwrap().to_owned();
    let after = ListQuery { cursor: Some(cursor.clone()), ..list.clone() };
    // The page size may change on the way.
    let rest = oms.object_types.list(&caller(), &ListQuery { limit: 7, ..after.clone() }).await.unwrap();
    assert_eq!(names(&rest.items), ["Bee", "Car"]);
    let red = Filter { any_tags: vec!["red".into()], ..Filter::default() };
    for other in [
        ListQuery { filter: red, ..after.clone() },
        ListQuery { sort: Sort { by: SortBy::Name, descending: true }, ..after.clone() },
        ListQuery { sort: Sort { by: SortBy::CreatedAt, descending: false }, ..after.clone() },
        ListQuery { cursor: Some("nonsense".into()), ..after.clone() },
        ListQuery { cursor: Some(String::new()), ..after.clone() },
    ] {
        assert_eq!(refusal(oms.object_types.list(&caller(), &other).await), at([("cursor", "INVALID_CURSOR")]));
    }
    assert_eq!(code(oms.object_types.list(&caller_of("globex"), &after).await), "INVALID_CURSOR");
    assert_eq!(code(oms.link_types.list(&caller(), &after).await), "INVALID_CURSOR");
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn a_cursor_stands_still_while_types_come_and_go(pool: PgPool) {
    let oms = registry(&pool);
    for name in ["B", "D", "F"] {
        created(&oms, object(name)).await;
    }
    let list = ListQuery { limit: 2, ..ListQuery::default() };
    let first = oms.object_types.list(&caller(), &list).await.unwrap();
    assert_eq!(names(&first.items), ["B", "D"]);
    // The one where the page ended goes, one comes before and one after it.
    deleted(&oms, "D").await;
    created(&oms, object("A")).await;
    created(&oms, object("E")).await;
    let next = ListQuery { cursor: first.next_cursor().map(str::to_owned), ..list };
    assert_eq!(names(&oms.object_types.list(&caller(), &next).await.unwrap().items), ["E", "F"]);
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn a_page_has_one_to_two_hundred_items(pool: PgPool) {
    let oms = registry(&pool);
    for limit in [0, 201] {
        let list = ListQuery { limit, ..ListQuery::default() };
        assert_eq!(refusal(oms.object_types.list(&caller(), &list).await), at([("limit", "INVALID_VALUE")]));
    }
    let page = oms.object_types.list(&caller(), &ListQuery::default()).await.unwrap();
    assert_eq!((page.items.len(), page.has_more, page.total), (0, false, None));
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn a_page_takes_no_more_out_of_the_database_than_it_should(pool: PgPool) {
    let oms = registry(&pool);
    for name in ["A", "B", "C", "D", "E"] {
        let size = if name == "D" { 9_000_000 } else { 3_000_000 };
        created(&oms, with(object(name), json!({"tags": ["heavy"], "metadata": {"text": "x".repeat(size)}}))).await;
    }
    let mut list = ListQuery { limit: 200, count: true, ..ListQuery::default() };
    let mut pages = Vec::new();
    loop {
        let page = oms.object_types.list(&caller(), &list).await.unwrap();
        assert_eq!(page.total, Some(5));
        pages.push(names(&page.items).join(" "));
        list.cursor = page.next_cursor().map(str::to_owned);
        if list.cursor.is_none() {
            break;
        }
    }
    assert_eq!(pages, ["A B", "C", "D", "E"]);

    let log = oms.audit.list(&caller(), &AuditFilter::default(), None, 200).await.unwrap();
    assert_eq!((log.items.len(), log.has_more), (1, true));
    let log = oms.audit.list(&caller(), &AuditFilter::default(), log.next_cursor(), 200).await.unwrap();
    assert_eq!((log.items.len(), log.has_more), (1, true), "one is greater than any page");
    let log = oms.audit.list(&caller(), &AuditFilter::default(), log.next_cursor(), 2).await.unwrap();
    assert_eq!((log.items.len(), log.has_more), (2, true));
    let log = oms.audit.list(&caller(), &AuditFilter::default(), log.next_cursor(), 2).await.unwrap();
    assert_eq!((log.items.len(), log.has_more), (1, false));

    let query = SearchQuery { text: "heavy", kind: None, limit: 100 };
    let found = oms.search.search(&caller(), query).await.unwrap();
    assert_eq!(found.len(), 2, "as many as fit");
}
