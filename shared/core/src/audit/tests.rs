use chrono::Duration;
use serde_json::json;
use sqlx::PgPool;

use super::{AuditEntry, AuditFilter, FailedLogin};
use crate::{
    Registry,
    context::{Context, Permissions},
    fixture::{at, caller, caller_of, code, created, deleted, link, linked, object, patched, refusal, registry},
};

async fn list(oms: &Registry, filter: &AuditFilter) -> Vec<AuditEntry> {
    oms.audit.list(&caller(), filter, None, 200).await.unwrap().items
}

async fn actions(oms: &Registry, filter: AuditFilter) -> Vec<String> {
    list(oms, &filter).await.into_iter().map(|entry| entry.action).collect()
}

fn login() -> FailedLogin {
    FailedLogin {
        tenant: caller().tenant,
        reason: "expired",
        ip: Some("2001:db8::1".parse().unwrap()),
        user_agent: None,
        correlation_id: "c-9".into(),
        traceparent: None,
    }
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn entries_are_filtered_newest_first(pool: PgPool) {
    let oms = registry(&pool);
    let customer = created(&oms, object("Customer")).await;
    linked(&oms, link("Knows", "Customer", "Customer")).await;
    let bob = Context { actor: "bob".into(), ..caller() };
    oms.object_types.create(&bob, &object("Order")).await.unwrap();
    patched(&oms, "Customer", json!({"category": "a"})).await;
    deleted(&oms, "Order").await;
    oms.object_types.create(&caller_of("globex"), &object("Customer")).await.unwrap();
    let all = list(&oms, &AuditFilter::default()).await;

    let none = AuditFilter::default;
    assert_eq!(actions(&oms, none()).await, ["DELETE", "UPDATE", "CREATE", "CREATE", "CREATE"]);
    assert_eq!(actions(&oms, AuditFilter { entity_type: Some("link_type".into()), ..none() }).await, ["CREATE"]);
    assert_eq!(actions(&oms, AuditFilter { entity_id: Some(customer.id.0), ..none() }).await, ["UPDATE", "CREATE"]);
    assert_eq!(actions(&oms, AuditFilter { actor: Some("bob".into()), ..none() }).await, ["CREATE"]);
    let by_ada = AuditFilter { actor: Some("ada".into()), action: Some("CREATE".into()), ..none() };
    assert_eq!(actions(&oms, by_ada).await, ["CREATE", "CREATE"]);
    // From the first moment on, and before the second.
    let (update, delete) = (all[1].created_at, all[0].created_at);
    assert_eq!(actions(&oms, AuditFilter { since: Some(update), until: Some(delete), ..none() }).await, ["UPDATE"]);
    let later = delete + Duration::microseconds(1);
    assert_eq!(actions(&oms, AuditFilter { since: Some(later), ..none() }).await, Vec::<String>::new());
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn an_entry_shows_the_type_before_and_after_as_every_other_answer_does(pool: PgPool) {
    let oms = registry(&pool);
    let before = created(&oms, object("Customer")).await;
    let after = patched(&oms, "Customer", json!({"displayName": "고객", "changeDescription": "why"})).await;
    deleted(&oms, "Customer").await;
    let entries = list(&oms, &AuditFilter::default()).await;
    let shown = |t: &crate::object_type::ObjectType| serde_json::to_value(t.view()).ok();
    let values: Vec<_> = entries.iter().map(|entry| (entry.old_value.clone(), entry.new_value.clone())).collect();
    assert_eq!(values, [(shown(&after), None), (shown(&before), shown(&after)), (None, shown(&before))]);
    let update = &entries[1];
    assert_eq!(update.metadata, json!({"correlationId": "c-1", "version": 2, "changeDescription": "why"}));
    assert_eq!(update.ip_address.as_deref(), Some("192.0.2.7"));
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn pages_show_each_entry_once_also_those_of_one_moment(pool: PgPool) {
    let oms = registry(&pool);
    let batch: Vec<_> = (0..5).map(|i| object(&format!("T{i}"))).collect();
    oms.object_types.create_batch(&caller(), &batch).await.unwrap();
    created(&oms, object("Later")).await;
    let all = list(&oms, &AuditFilter::default()).await;
    assert_eq!(all.len(), 6);
    let (mut paged, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let page = oms.audit.list(&caller(), &AuditFilter::default(), cursor.as_deref(), 4).await.unwrap();
        cursor = page.next_cursor().map(str::to_owned);
        paged.extend(page.items);
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(paged, all);
    for (cursor, limit, place) in [
        (Some("nonsense"), 4, ("cursor", "INVALID_CURSOR")),
        (None, 0, ("limit", "INVALID_VALUE")),
        (None, 201, ("limit", "INVALID_VALUE")),
    ] {
        assert_eq!(refusal(oms.audit.list(&caller(), &AuditFilter::default(), cursor, limit).await), at([place]));
    }
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn a_failed_login_is_recorded_without_an_entity(pool: PgPool) {
    let oms = registry(&pool);
    oms.audit.record_failed_login(login()).await.unwrap();
    let entries = list(&oms, &AuditFilter { action: Some("LOGIN_FAILED".into()), ..AuditFilter::default() }).await;
    let [entry] = &entries[..] else { panic!("{entries:?}") };
    assert_eq!(
        (entry.entity_type.as_str(), entry.entity_id, entry.actor.as_str()),
        ("authentication", None, "anonymous")
    );
    assert_eq!(entry.ip_address.as_deref(), Some("2001:db8::1"));
    assert_eq!(entry.metadata, json!({"reason": "expired", "correlationId": "c-9"}));
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn the_log_takes_the_right_to_read_it(pool: PgPool) {
    let oms = registry(&pool);
    let nobody = Context { permissions: Permissions::default(), ..caller() };
    assert_eq!(code(oms.audit.list(&nobody, &AuditFilter::default(), None, 1).await), "PERMISSION_DENIED");
}
