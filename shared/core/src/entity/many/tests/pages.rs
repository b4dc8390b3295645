use serde_json::json;
use sqlx::PgPool;
use uuid::Uuid;

use super::{heavy, shop, too_much};
use crate::{
    entity::{Filter, ListQuery},
    fixture::{at, caller, caller_of, code, created, deleted, key, link, linked, object, patched, refusal, registry},
    link_type::{End, LinkType},
    name::TypeKey,
    page::Page,
    version::VersionInfo,
};

fn links_of(end: End, id: Uuid) -> ListQuery {
    let id = Some(TypeKey::Id(id));
    let filter = match end {
        End::Source => Filter { source: id, ..Filter::default() },
        End::Target => Filter { target: id, ..Filter::default() },
    };
    ListQuery { filter, ..ListQuery::default() }
}

fn link_names(page: &Page<LinkType>) -> String {
    page.items.iter().map(|link| link.definition.name.as_str()).collect::<Vec<_>>().join(" ")
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn the_first_links_are_the_first_page_of_a_list(pool: PgPool) {
    let oms = registry(&pool);
    let mut ids = Vec::new();
    for name in ["Hub", "Leaf", "Lone"] {
        ids.push(created(&oms, object(name)).await.id.0);
    }
    for (name, source, target) in [
        ("b", "Hub", "Leaf"),
        ("Z", "Hub", "Hub"),
        ("A_", "Leaf", "Hub"),
        ("a1", "Hub", "Leaf"),
        ("C", "Hub", "Leaf"),
        ("Gone", "Hub", "Leaf"),
        ("A", "Leaf", "Leaf"),
    ] {
        linked(&oms, link(name, source, target)).await;
    }
    oms.link_types.delete(&caller(), &key("Gone"), None, false).await.unwrap();
    // What is not there, and what is asked for twice.
    ids.extend([Uuid::new_v4(), ids[0]]);
    for end in [End::Source, End::Target] {
        for (limit, count) in [(1, true), (2, false), (3, true), (4, false), (200, true)] {
            let pages = oms.link_types.first_links(&caller(), end, &ids, limit, count).await.unwrap();
            assert_eq!(pages.len(), ids.len());
            for (page, id) in pages.into_iter().zip(&ids) {
                let list = ListQuery { limit, count, ..links_of(end, *id) };
                assert_eq!(page, oms.link_types.list(&caller(), &list).await.unwrap(), "{end:?} {id} {limit}");
            }
        }
    }
    let pages = oms.link_types.first_links(&caller(), End::Source, &ids, 2, true).await.unwrap();
    assert_eq!(pages.iter().map(link_names).collect::<Vec<_>>(), ["C Z", "A A_", "", "", "C Z"]);
    assert_eq!(pages.iter().map(|page| page.total.unwrap()).collect::<Vec<_>>(), [4, 2, 0, 0, 4]);
    let next = ListQuery { cursor: pages[0].next_cursor().map(str::to_owned), ..links_of(End::Source, ids[0]) };
    assert_eq!(link_names(&oms.link_types.list(&caller(), &next).await.unwrap()), "a1 b");
    assert_eq!(
        code(oms.link_types.list(&caller(), &ListQuery { filter: Filter::default(), ..next }).await),
        "INVALID_CURSOR"
    );

    let foreign = oms.link_types.first_links(&caller_of("globex"), End::Source, &ids, 2, true).await.unwrap();
    assert!(foreign.iter().all(|page| page.items.is_empty() && !page.has_more && page.total == Some(0)));
    for limit in [0, 201] {
        let refused = oms.link_types.first_links(&caller(), End::Source, &ids, limit, false).await;
        assert_eq!(refusal(refused), at([("limit", "INVALID_VALUE")]));
        assert_eq!(
            refusal(oms.object_types.first_versions(&caller(), &ids, limit).await),
            at([("limit", "INVALID_VALUE")])
        );
    }
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn pages_of_links_share_the_bytes_that_one_read_may_hold(pool: PgPool) {
    let oms = registry(&pool);
    let mut ids = Vec::new();
    for name in ["A", "B", "C"] {
        ids.push(created(&oms, object(name)).await.id.0);
    }
    for name in ["A1", "A2", "B1", "B2"] {
        linked(&oms, heavy(link(name, &name[..1], "C"), 3_000_000)).await;
    }
    let first = async |ids: &[Uuid]| oms.link_types.first_links(&caller(), End::Source, ids, 200, true).await;
    let pages = first(&ids).await.unwrap();
    assert_eq!(
        pages.iter().map(link_names).collect::<Vec<_>>(),
        ["A1", "B1", ""],
        "the first of each before the second of any"
    );
    assert_eq!(pages.iter().map(|page| page.has_more).collect::<Vec<_>>(), [true, true, false]);
    assert_eq!(pages[0].total, Some(2));
    let next = ListQuery { cursor: pages[0].next_cursor().map(str::to_owned), ..links_of(End::Source, ids[0]) };
    assert_eq!(link_names(&oms.link_types.list(&caller(), &next).await.unwrap()), "A2");

    linked(&oms, heavy(link("C1", "C", "C"), 9_000_000)).await;
    let pages = first(&ids[2..]).await.unwrap();
    assert_eq!((link_names(&pages[0]).as_str(), pages[0].has_more), ("C1", false), "one is never too much");
    // There is no cursor to the first item of a page.
    assert_eq!(too_much(first(&ids).await), (2, 3));
}

fn told(page: &Page<VersionInfo>) -> Vec<i32> {
    page.items.iter().map(|info| info.version).collect()
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn the_first_versions_are_the_first_page_of_versions(pool: PgPool) {
    let oms = registry(&pool);
    let (customer, order) = shop(&oms).await;
    for category in ["a", "b", "c"] {
        patched(&oms, "Customer", json!({"category": category, "changeDescription": category})).await;
    }
    let gone = created(&oms, object("Gone")).await;
    deleted(&oms, "Gone").await;
    let mut ids = vec![order.id.0, customer.id.0, gone.id.0, customer.id.0];
    for limit in [1, 2, 3, 4, 200] {
        let pages = oms.object_types.first_versions(&caller(), &ids, limit).await.unwrap();
        assert_eq!(pages.len(), ids.len());
        for (page, id) in pages.iter().zip(&ids) {
            let listed = oms.object_types.versions(&caller(), &TypeKey::Id(*id), None, limit).await.unwrap();
            assert_eq!(*page, listed, "{id} {limit}");
        }
    }
    let places = oms.link_types.get(&caller(), &key("Places")).await.unwrap().id.0;
    ids.extend([places, Uuid::new_v4()]);
    let pages = oms.object_types.first_versions(&caller(), &ids, 3).await.unwrap();
    assert_eq!(
        pages.iter().map(told).collect::<Vec<_>>(),
        [vec![1], vec![4, 3, 2], vec![2, 1], vec![4, 3, 2], vec![], vec![]]
    );
    let next = pages[1].next_cursor();
    assert_eq!(told(&oms.object_types.versions(&caller(), &TypeKey::Id(ids[1]), next, 3).await.unwrap()), [1]);
    assert_eq!(told(&oms.link_types.first_versions(&caller(), &[places], 1).await.unwrap()[0]), [1]);
    let foreign = oms.object_types.first_versions(&caller_of("globex"), &ids, 3).await.unwrap();
    assert!(foreign.iter().all(|page| page.items.is_empty() && !page.has_more));
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn pages_of_versions_share_the_bytes_that_one_read_may_hold(pool: PgPool) {
    let oms = registry(&pool);
    let ids: Vec<Uuid> = (0..50).map(|_| Uuid::now_v7()).collect();
    sqlx::query(
        "INSERT INTO type_versions (tenant_id, entity_id, version, entity_kind, action, snapshot, change_description, created_by)
        SELECT 'acme', id, version, 'object_type', 'UPDATE', '{}', repeat('고객', 500), 'ada'
        FROM unnest($1::uuid[]) AS id, generate_series(1, 100) AS version",
    )
    .bind(&ids)
    .execute(&pool)
    .await
    .unwrap();
    let pages = oms.object_types.first_versions(&caller(), &ids, 200).await.unwrap();
    let lengths: Vec<_> = pages.iter().map(|page| page.items.len()).collect();
    let (least, most) = (lengths.iter().min().unwrap(), lengths.iter().max().unwrap());
    // 8 MiB of 3,200 bytes each, the same for all.
    assert_eq!((lengths.iter().sum::<usize>(), most - least), (2_621, 1));
    for (page, id) in pages.iter().zip(&ids) {
        let rest = oms.object_types.versions(&caller(), &TypeKey::Id(*id), page.next_cursor(), 200).await.unwrap();
        assert_eq!(page.items.len() + rest.items.len(), 100);
    }
}
