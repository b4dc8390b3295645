use std::time::Duration;

use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

use super::{Cache, CacheState, Lookup};
use crate::{
    Registry,
    config::RedisConfig,
    entity::ListQuery,
    error::Kind,
    fixture::{
        cache, cached, caller, code, created, deleted, key, link, linked, object, patched, redis_config, referring,
        with,
    },
    id::TenantId,
    search::SearchQuery,
};

fn acme() -> TenantId {
    caller().tenant
}

async fn command<T: redis::FromRedisValue>(cache: &Cache, words: &[&str]) -> T {
    let mut command = redis::cmd(words[0]);
    command.arg(&words[1..]);
    cache.0.as_ref().unwrap().run(&command).await.expect("redis answers")
}

/// Forgets a key of the tenant, as Redis does when its memory is short.
async fn evict(cache: &Cache, key: &str) {
    let key = cache.0.as_ref().unwrap().key(&acme(), key);
    assert_eq!(command::<i64>(cache, &["DEL", &key]).await, 1, "{key} is not there");
}

/// Changes a type where the cache can't see it.
async fn change_behind_its_back(pool: &PgPool) {
    sqlx::query("UPDATE object_types SET display_name = 'changed'").execute(pool).await.unwrap();
}

async fn display_name(oms: &Registry, text: &str) -> String {
    oms.object_types.get(&caller(), &key(text)).await.unwrap().definition.display_name
}

async fn listed(oms: &Registry) -> Vec<String> {
    let page = oms.object_types.list(&caller(), &ListQuery::default()).await.unwrap();
    page.items.into_iter().map(|t| t.definition.display_name).collect()
}

async fn searched(oms: &Registry, text: &str) -> usize {
    oms.search.search(&caller(), SearchQuery { text, kind: None, limit: 10 }).await.unwrap().len()
}

#[tokio::test]
async fn an_older_version_never_takes_the_place_of_a_newer_one() {
    let (cache, id) = (cache(), Uuid::new_v4());
    let keep =
        async |version, document| cache.keep_entity(Kind::ObjectType, &acme(), id, version, None, document).await;
    let look = async || cache.entity(Kind::ObjectType, &acme(), id).await;
    assert!(matches!(look().await, Lookup::Miss(Some(_))));
    keep(9, Some("nine")).await;
    keep(8, Some("eight")).await;
    assert_eq!(look().await, Lookup::Hit("nine".into()));
    // As numbers, not as texts.
    keep(10, Some("ten")).await;
    assert_eq!(look().await, Lookup::Hit("ten".into()));
    // A tombstone outlives what was read before the deletion.
    keep(11, None).await;
    keep(10, Some("ten")).await;
    assert!(matches!(look().await, Lookup::Miss(Some(_))));
    keep(12, Some("restored")).await;
    assert_eq!(look().await, Lookup::Hit("restored".into()));
    // Same id, other kind or tenant: another entry.
    assert!(matches!(cache.entity(Kind::LinkType, &acme(), id).await, Lookup::Miss(_)));
    assert!(matches!(cache.entity(Kind::ObjectType, &"globex".parse().unwrap(), id).await, Lookup::Miss(_)));
}

#[tokio::test]
async fn a_document_that_shows_names_is_served_until_a_name_changes() {
    let (cache, id) = (cache(), Uuid::new_v4());
    let keep = async |names| cache.keep_entity(Kind::LinkType, &acme(), id, 1, Some(names), Some("doc")).await;
    let look = async || cache.entity(Kind::LinkType, &acme(), id).await;
    let Lookup::Miss(Some(names)) = look().await else { panic!("it knows nothing yet") };
    keep(names).await;
    assert_eq!(look().await, Lookup::Hit("doc".into()));
    cache.names_changed(&acme()).await;
    let next = cache.names(&acme()).await.unwrap();
    assert!(next > names);
    assert_eq!(look().await, Lookup::Miss(Some(next)));
    keep(next).await;
    assert_eq!(look().await, Lookup::Hit("doc".into()));
    // What was read without knowing the generation is not served.
    keep(0).await;
    assert_eq!(look().await, Lookup::Miss(Some(next)));
}

#[tokio::test]
async fn a_lost_generation_is_seeded_above_every_earlier_one() {
    let cache = cache();
    cache.names_changed(&acme()).await;
    let before = cache.names(&acme()).await.unwrap();
    let (_, slot) = cache.page(&acme(), "list", "k").await;
    cache.keep_page(slot, "page").await;
    assert_eq!(cache.page(&acme(), "list", "k").await.0.as_deref(), Some("page"));
    evict(&cache, "names").await;
    evict(&cache, "content").await;
    assert!(cache.names(&acme()).await.unwrap() > before);
    assert_eq!(cache.page(&acme(), "list", "k").await.0, None);
}

#[tokio::test]
async fn a_page_is_kept_for_the_state_that_it_was_read_from() {
    let cache = cache();
    let (found, slot) = cache.page(&acme(), "list", "k").await;
    assert_eq!(found, None);
    // A write comes between the reading and the keeping.
    cache.content_changed(&acme()).await;
    cache.keep_page(slot, "old").await;
    assert_eq!(cache.page(&acme(), "list", "k").await.0, None);
}

#[tokio::test]
async fn every_entry_ends_by_itself() {
    let (cache, id) = (cache(), Uuid::new_v4());
    cache.keep_entity(Kind::ObjectType, &acme(), id, 1, None, Some("doc")).await;
    cache.keep_name(Kind::ObjectType, &acme(), "customer", id).await;
    let (_, slot) = cache.page(&acme(), "list", "k").await;
    let page = slot.as_ref().unwrap().0.clone();
    cache.keep_page(slot, "page").await;
    let inner = cache.0.as_ref().unwrap();
    let entity = inner.entity_key(Kind::ObjectType, &acme(), id);
    for key in [&entity, &inner.name_key(Kind::ObjectType, &acme(), "customer"), &page] {
        let left: i64 = command(&cache, &["PTTL", key]).await;
        assert!((1..=60_000).contains(&left), "{key}: {left}");
    }
}

#[tokio::test]
async fn failures_are_counted_within_their_window() {
    let cache = cache();
    let minute = Duration::from_secs(60);
    assert_eq!(cache.count_failure("ip", minute).await, Some(1));
    assert_eq!(cache.count_failure("ip", minute).await, Some(2));
    assert_eq!(cache.count_failure("other", minute).await, Some(1));
    let key = format!("{}failures:ip", cache.0.as_ref().unwrap().config.prefix);
    assert!(command::<i64>(&cache, &["PTTL", &key]).await > 0);
}

#[tokio::test]
async fn persisted_queries_are_kept_for_their_tenant_and_their_time() {
    let (cache, minute) = (cache(), Duration::from_secs(60));
    let ask = async |tenant: &str| cache.persisted_query(&tenant.parse().unwrap(), "ab12").await;
    assert_eq!(ask("acme").await, None);
    cache.keep_persisted_query(&acme(), "ab12", "{ objectTypes { nodes { name } } }", minute).await;
    assert_eq!(ask("acme").await.as_deref(), Some("{ objectTypes { nodes { name } } }"));
    assert_eq!(ask("globex").await, None);
    assert_eq!(cache.persisted_query(&acme(), "ab13").await, None);
    let key = format!("{}{{acme}}:persisted_query:ab12", cache.0.as_ref().unwrap().config.prefix);
    let left: i64 = command(&cache, &["PTTL", &key]).await;
    assert!((1..=60_000).contains(&left), "{left}");
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn what_is_cached_is_served_without_the_database(pool: PgPool) {
    let oms = cached(&pool);
    let batch = [object("Customer"), referring("Order", "customer", "Customer", true)];
    let made = oms.object_types.create_batch(&caller(), &batch).await.unwrap();
    linked(&oms, link("Places", "Customer", "Order")).await;
    let link = oms.link_types.get(&caller(), &key("places")).await.unwrap();
    for text in ["customer", "order"] {
        oms.object_types.get(&caller(), &key(text)).await.unwrap();
    }
    let page = oms.object_types.list(&caller(), &ListQuery::default()).await.unwrap();
    assert_eq!(searched(&oms, "order").await, 1);
    pool.close().await;
    for made in &made {
        for text in [made.definition.name.to_string(), made.id.to_string()] {
            assert_eq!(oms.object_types.get(&caller(), &key(&text)).await.unwrap(), *made);
        }
    }
    assert_eq!(oms.link_types.get(&caller(), &key("PLACES")).await.unwrap(), link);
    assert_eq!(oms.object_types.list(&caller(), &ListQuery::default()).await.unwrap(), page);
    assert_eq!(searched(&oms, "order").await, 1);
    // What it has not seen yet, it can't know.
    assert_eq!(code(oms.object_types.get(&caller(), &key("Nobody")).await), "SERVICE_UNAVAILABLE");
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn a_write_is_seen_at_once_by_id_and_by_every_name(pool: PgPool) {
    let oms = cached(&pool);
    let made = created(&oms, object("Customer")).await;
    let id = made.id.to_string();
    assert_eq!(display_name(&oms, "Customer").await, "Customer");
    patched(&oms, "Customer", json!({"displayName": "new", "name": "Client"})).await;
    assert_eq!(display_name(&oms, &id).await, "new");
    assert_eq!(display_name(&oms, "Client").await, "new");
    assert_eq!(code(oms.object_types.get(&caller(), &key("Customer")).await), "OBJECT_TYPE_NOT_FOUND");

    // Another takes the old name, then the new one: a hit by name is checked against the type.
    let other = created(&oms, object("Customer")).await;
    assert_eq!(oms.object_types.get(&caller(), &key("Customer")).await.unwrap(), other);
    deleted(&oms, "Client").await;
    for text in ["Client", &id] {
        assert_eq!(code(oms.object_types.get(&caller(), &key(text)).await), "OBJECT_TYPE_NOT_FOUND");
    }
    let third = created(&oms, object("Client")).await;
    assert_eq!(oms.object_types.get(&caller(), &key("Client")).await.unwrap(), third);
    deleted(&oms, "Client").await;
    oms.object_types.restore(&caller(), &key(&id), None).await.unwrap();
    assert_eq!(oms.object_types.get(&caller(), &key("Client")).await.unwrap().id, made.id);
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn an_update_of_a_stale_entry_goes_to_the_version_of_now(pool: PgPool) {
    let (here, elsewhere) = (cached(&pool), cached(&pool));
    created(&here, object("Customer")).await;
    patched(&elsewhere, "Customer", json!({"category": "a", "displayName": "x"})).await;
    // Here it still has version 1: a no-op and a repeat of the old value come out right.
    assert_eq!(display_name(&here, "Customer").await, "Customer");
    assert_eq!(patched(&here, "Customer", json!({"displayName": "Customer"})).await.stamp.version, 3);
    let now = here.object_types.get(&caller(), &key("Customer")).await.unwrap();
    assert_eq!((now.definition.category.as_deref(), now.definition.display_name.as_str()), (Some("a"), "Customer"));

    // What is read-only is compared with what is there now, too.
    let elsewhere_now = patched(&elsewhere, "Customer", json!({"category": null})).await;
    let repeated = with(serde_json::to_value(elsewhere_now.view()).unwrap(), json!({"category": "b"}));
    assert_eq!(patched(&here, "Customer", repeated).await.stamp.version, 5);
    let next = here.object_types.update(&caller(), &key("Customer"), &json!({"category": "c"}), Some(5)).await.unwrap();
    assert_eq!(next.stamp.version, 6);
    patched(&elsewhere, "Customer", json!({"category": "d"})).await;
    here.object_types.delete(&caller(), &key("Customer"), None, false).await.unwrap();
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn whoever_is_told_to_read_it_again_is_not_given_the_old_one(pool: PgPool) {
    // As after a kill between commit and cache: this cache was not told of the write, and no publisher tells it.
    let (here, elsewhere) = (cached(&pool), cached(&pool));
    created(&here, object("Customer")).await;
    let made = created(&here, referring("Order", "customer", "Customer", true)).await;
    linked(&here, link("Places", "Customer", "Order")).await;
    for name in ["Customer", "Order"] {
        // Read, it is in the cache with the names that it shows.
        assert_eq!(display_name(&here, name).await, name);
        patched(&elsewhere, name, json!({"displayName": "x"})).await;
        assert_eq!(display_name(&here, name).await, name, "it still has version 1");
        let lost = here.object_types.update(&caller(), &key(name), &json!({"category": "b"}), Some(1)).await;
        assert_eq!(code(lost), "VERSION_CONFLICT");
        let again = here.object_types.get(&caller(), &key(name)).await.unwrap();
        assert_eq!((again.stamp.version, again.definition.display_name.as_str()), (2, "x"));
        let won = here.object_types.update(&caller(), &key(name), &json!({"category": "b"}), Some(2)).await.unwrap();
        assert_eq!(won.stamp.version, 3);
    }
    patched(&elsewhere, &made.id.to_string(), json!({"displayName": "y"})).await;
    let lost = here.object_types.delete(&caller(), &key("Order"), Some(3), true).await;
    assert_eq!(code(lost), "VERSION_CONFLICT");
    assert_eq!(display_name(&here, "Order").await, "y", "nor after a deletion that lost");
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn a_rename_shows_wherever_the_name_is_shown(pool: PgPool) {
    let oms = cached(&pool);
    created(&oms, object("Customer")).await;
    created(&oms, referring("Order", "customer", "Customer", true)).await;
    linked(&oms, link("Places", "Customer", "Order")).await;
    let shown = async || {
        let order = oms.object_types.get(&caller(), &key("Order")).await.unwrap();
        let link = oms.link_types.get(&caller(), &key("Places")).await.unwrap();
        let page = oms.link_types.list(&caller(), &ListQuery::default()).await.unwrap();
        let order: Value = serde_json::to_value(order.view()).unwrap();
        [
            order["properties"][0]["referenceTo"].as_str().unwrap().to_owned(),
            link.ends.source.name,
            page.items[0].ends.source.name.clone(),
        ]
    };
    for name in ["Customer", "Client", "CLIENT"] {
        if name != "Customer" {
            patched(&oms, if name == "Client" { "Customer" } else { "Client" }, json!({"name": name})).await;
        }
        for _ in 0..2 {
            assert_eq!(shown().await, [name; 3]);
        }
    }
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn lists_and_searches_are_served_from_the_cache_until_anything_is_written(pool: PgPool) {
    let oms = cached(&pool);
    created(&oms, object("Customer")).await;
    assert_eq!(listed(&oms).await, ["Customer"]);
    assert_eq!(searched(&oms, "extra").await, 0);
    change_behind_its_back(&pool).await;
    sqlx::query("UPDATE object_types SET search = search_vector('extra', '', '')").execute(&pool).await.unwrap();
    assert_eq!(listed(&oms).await, ["Customer"]);
    assert_eq!(searched(&oms, "extra").await, 0);
    // Any write, also one of another kind.
    linked(&oms, link("Knows", "Customer", "Customer")).await;
    assert_eq!(listed(&oms).await, ["changed"]);
    assert_eq!(searched(&oms, "extra").await, 1);
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn searches_for_other_words_are_other_searches(pool: PgPool) {
    let oms = cached(&pool);
    created(&oms, object("OrderItem")).await;
    created(&oms, object("ItemOrder")).await;
    // One word that only the one has, then two words that both have.
    let (oms, without_cache) = (oms.search, crate::fixture::registry(&pool).search);
    for text in ["orderitem", "orderItem", "orderitem"] {
        let query = SearchQuery { text, kind: None, limit: 10 };
        let (cached, direct) = (oms.search(&caller(), query).await, without_cache.search(&caller(), query).await);
        assert_eq!(cached.unwrap(), direct.unwrap(), "{text}");
    }
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn without_redis_everything_is_right_and_only_slower(pool: PgPool) {
    // One refuses connections, the other takes them and never says a word.
    let refusing = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    for (round, address) in [refusing, silent.local_addr().unwrap()].into_iter().enumerate() {
        let url = format!("redis://{address}");
        let config = RedisConfig { timeout: Duration::from_millis(50), ..redis_config(Some(&url), "") };
        let cache = Cache::new(&config);
        assert_eq!(cache.check().await, CacheState::Unreachable);
        cache.keep_persisted_query(&acme(), "ab12", "{ a }", Duration::from_secs(60)).await;
        assert_eq!(cache.persisted_query(&acme(), "ab12").await, None);
        let oms = Registry::new(pool.clone(), cache);
        let name = format!("T{round}");
        created(&oms, referring(&name, "own", &name, false)).await;
        assert_eq!(display_name(&oms, &name).await, name);
        patched(&oms, &name, json!({"displayName": format!("new{round}")})).await;
        assert_eq!(display_name(&oms, &name).await, format!("new{round}"));
        let many = oms.object_types.get_many(&caller(), &[key("Nobody"), key(&name)]).await.unwrap();
        assert_eq!(many[1].as_ref().unwrap().definition.display_name, format!("new{round}"));
        assert_eq!(listed(&oms).await.len(), 1);
        assert_eq!(searched(&oms, &name).await, 1);
        deleted(&oms, &name).await;
        assert_eq!(code(oms.object_types.get(&caller(), &key(&name)).await), "OBJECT_TYPE_NOT_FOUND");
        assert_eq!(listed(&oms).await.len(), 0);
    }
}

#[tokio::test]
async fn it_says_whether_it_is_there() {
    assert_eq!(cache().check().await, CacheState::Healthy);
    assert_eq!(Cache::new(&redis_config(None, "")).check().await, CacheState::Disabled);
}
