use std::collections::HashMap;

use chrono::{Duration, Utc};
use serde_json::json;
use sqlx::PgPool;

use crate::{
    audit::AuditFilter,
    context::{Context, Permission, Permissions},
    fixture::{at, caller, caller_of, code, refusal, registry},
};

fn roles() -> HashMap<String, Permissions> {
    let viewer = Permissions::default().with(Permission::ObjectTypeRead);
    [("viewer", viewer), ("editor", viewer.with(Permission::ObjectTypeWrite)), ("admin", Permissions::all())]
        .map(|(role, permissions)| (role.to_owned(), permissions))
        .into()
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn a_key_speaks_for_its_tenant_until_it_is_revoked(pool: PgPool) {
    let oms = registry(&pool);
    let (key, secret) =
        oms.api_keys.create(&caller(), &json!({"name": "ci", "roles": ["editor"]}), &roles()).await.unwrap();
    let identity = oms.api_keys.authenticate(secret.expose()).await.unwrap().unwrap();
    assert_eq!((identity.id.0, identity.tenant.as_str(), identity.name.as_str()), (key.id, "acme", "ci"));
    assert_eq!(identity.roles, ["editor"]);
    assert!(oms.api_keys.list(&caller()).await.unwrap()[0].last_used_at.is_some());

    let almost = format!("{}x", secret.expose());
    for wrong in [almost.as_str(), "oms_", "", &secret.expose()[4..], "oms_\0"] {
        assert_eq!(oms.api_keys.authenticate(wrong).await.unwrap(), None, "{wrong:?}");
    }
    assert_eq!(code(oms.api_keys.revoke(&caller_of("globex"), key.id).await), "API_KEY_NOT_FOUND");
    assert_eq!(oms.api_keys.list(&caller_of("globex")).await.unwrap(), []);
    assert!(oms.api_keys.authenticate(secret.expose()).await.unwrap().is_some());

    oms.api_keys.revoke(&caller(), key.id).await.unwrap();
    assert_eq!(oms.api_keys.authenticate(secret.expose()).await.unwrap(), None);
    let revoked = oms.api_keys.list(&caller()).await.unwrap()[0].revoked_at;
    oms.api_keys.revoke(&caller(), key.id).await.unwrap();
    assert_eq!(oms.api_keys.list(&caller()).await.unwrap()[0].revoked_at, revoked);
    assert!(revoked.is_some());
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn an_expired_key_is_no_key(pool: PgPool) {
    let oms = registry(&pool);
    let input = json!({"name": "ci", "roles": ["viewer"], "expiresAt": Utc::now() + Duration::hours(1)});
    let (_, secret) = oms.api_keys.create(&caller(), &input, &roles()).await.unwrap();
    assert!(oms.api_keys.authenticate(secret.expose()).await.unwrap().is_some());
    sqlx::query("UPDATE api_keys SET expires_at = now()").execute(&pool).await.unwrap();
    assert_eq!(oms.api_keys.authenticate(secret.expose()).await.unwrap(), None);
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn nothing_that_is_kept_or_shown_tells_the_secret(pool: PgPool) {
    let oms = registry(&pool);
    let (key, secret) =
        oms.api_keys.create(&caller(), &json!({"name": "ci", "roles": ["viewer"]}), &roles()).await.unwrap();
    let (_, other) =
        oms.api_keys.create(&caller(), &json!({"name": "ci", "roles": ["viewer"]}), &roles()).await.unwrap();
    assert!(secret != other && secret.expose().starts_with("oms_"));
    // 256 bits in base64.
    assert_eq!(secret.expose().len(), 4 + 43);
    let (kept, log): (String, String) = sqlx::query_as(
        "SELECT (SELECT string_agg(k::text, ' ') FROM api_keys k), (SELECT string_agg(a::text, ' ') FROM audit_logs a)",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    let shown = format!("{kept}{log}{key:?}{secret:?}{}", serde_json::to_string(&key).unwrap());
    assert!(!shown.contains(&secret.expose()[4..]));
    let hash: (Vec<u8>,) =
        sqlx::query_as("SELECT secret_hash FROM api_keys WHERE id = $1").bind(key.id).fetch_one(&pool).await.unwrap();
    assert_eq!(hash.0.len(), 32);
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn what_happens_to_keys_is_audited(pool: PgPool) {
    let oms = registry(&pool);
    let (key, _) = oms.api_keys.create(&caller(), &json!({"name": "ci", "roles": ["viewer"]}), &roles()).await.unwrap();
    oms.api_keys.revoke(&caller(), key.id).await.unwrap();
    oms.api_keys.revoke(&caller(), key.id).await.unwrap();
    let filter = AuditFilter { entity_id: Some(key.id), ..AuditFilter::default() };
    let entries = oms.audit.list(&caller(), &filter, None, 10).await.unwrap().items;
    assert_eq!(
        entries.iter().map(|e| (e.entity_type.as_str(), e.action.as_str())).collect::<Vec<_>>(),
        [("api_key", "REVOKE"), ("api_key", "CREATE")]
    );
    assert_eq!(entries[1].new_value, Some(json!({"name": "ci", "roles": ["viewer"]})));
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn every_fault_of_a_key_is_named_at_once(pool: PgPool) {
    let oms = registry(&pool);
    let create = async |input| refusal(oms.api_keys.create(&caller(), &input, &roles()).await);
    assert_eq!(create(json!({})).await, at([("/name", "REQUIRED_FIELD_MISSING"), ("/roles", "TOO_SHORT")]));
    assert_eq!(
        create(json!({"name": 1, "roles": ["", "root", "viewer", 7, "god"], "expiresAt": "2001-01-01T00:00:00Z", "secret": "x"})).await,
        at([
            ("/name", "INVALID_FIELD_TYPE"),
            ("/roles/0", "TOO_SHORT"),
            ("/roles/1", "INVALID_VALUE"),
            ("/roles/3", "INVALID_FIELD_TYPE"),
            ("/roles/4", "INVALID_VALUE"),
            ("/expiresAt", "INVALID_VALUE"),
            ("/secret", "UNKNOWN_FIELD"),
        ])
    );
    assert_eq!(create(json!({"name": "a", "roles": "viewer"})).await, at([("/roles", "INVALID_FIELD_TYPE")]));
    let nobody = Context { permissions: Permissions::default(), ..caller() };
    assert_eq!(code(oms.api_keys.create(&nobody, &json!({}), &roles()).await), "PERMISSION_DENIED");
    assert_eq!(code(oms.api_keys.list(&nobody).await), "PERMISSION_DENIED");
    assert_eq!(code(oms.api_keys.revoke(&nobody, uuid::Uuid::nil()).await), "PERMISSION_DENIED");
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn nobody_gives_a_role_that_may_do_more_than_they_may(pool: PgPool) {
    let oms = registry(&pool);
    let mine = roles()["viewer"].with(Permission::ApiKeyManage);
    let manager = Context { permissions: mine, ..caller() };
    let create = async |roles_of_key: &[&str]| {
        oms.api_keys.create(&manager, &json!({"name": "ci", "roles": roles_of_key}), &roles()).await
    };
    assert_eq!(
        refusal(create(&["viewer", "editor", "admin"]).await),
        at([("/roles/1", "PERMISSION_DENIED"), ("/roles/2", "PERMISSION_DENIED")])
    );
    assert_eq!(code(create(&["admin"]).await), "PERMISSION_DENIED");
    create(&["viewer"]).await.unwrap();
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn requests_that_use_a_key_together_note_its_use_once(pool: PgPool) {
    let oms = registry(&pool);
    let (_, secret) =
        oms.api_keys.create(&caller(), &json!({"name": "ci", "roles": ["viewer"]}), &roles()).await.unwrap();
    let mut first = pool.begin().await.unwrap();
    let noted: (chrono::DateTime<Utc>,) =
        sqlx::query_as("UPDATE api_keys SET last_used_at = now() RETURNING last_used_at")
            .fetch_one(&mut *first)
            .await
            .unwrap();
    let second = tokio::spawn({
        let (keys, secret) = (oms.api_keys.clone(), secret.expose().to_owned());
        async move { keys.authenticate(&secret).await }
    });
    let waits =
        "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')";
    while !sqlx::query_scalar::<_, bool>(waits).fetch_one(&pool).await.unwrap() {
        tokio::task::yield_now().await;
    }
    first.commit().await.unwrap();
    assert!(second.await.unwrap().unwrap().is_some());
    assert_eq!(oms.api_keys.list(&caller()).await.unwrap()[0].last_used_at, Some(noted.0));
}
