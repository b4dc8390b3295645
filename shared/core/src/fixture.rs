//! What the tests of this crate share: callers, a registry without a cache, short ways to write definitions.

use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Map, Value, json};
use sqlx::PgPool;

use crate::{
    Registry,
    cache::Cache,
    config::{RedisConfig, Secret},
    context::{Context, Permissions},
    error::Error,
    fault::Fault,
    idempotency::IdempotencyKey,
    input::Faults,
    link_type::LinkType,
    login::{LoginTokens, TokenError},
    name::TypeKey,
    object_type::ObjectType,
};

/// Somebody of the tenant `acme` who may do everything.
pub(crate) fn caller() -> Context {
    caller_of("acme")
}

pub(crate) fn caller_of(tenant: &str) -> Context {
    Context {
        tenant: tenant.parse().unwrap(),
        actor: "ada".into(),
        permissions: Permissions::all(),
        expires_at: None,
        ip: Some([192, 0, 2, 7].into()),
        user_agent: Some("tests/1".into()),
        correlation_id: "c-1".into(),
        traceparent: None,
        idempotency: None,
    }
}

/// A caller that repeats a request: `body` stands for the request's body.
pub(crate) fn caller_with_key(key: &str, body: u8) -> Context {
    let idempotency = IdempotencyKey { key: key.into(), route: "POST /".into(), body_hash: [body; 32] };
    Context { idempotency: Some(idempotency), ..caller() }
}

/// A registry that asks only the database.
pub(crate) fn registry(pool: &PgPool) -> Registry {
    Registry::new(pool.clone(), Cache::new(&redis_config(None, "")))
}

/// A cache of its own: nobody else has its prefix.
pub(crate) fn cache() -> Cache {
    let url = std::env::var("REDIS_URL");
    let url = url.expect("these tests need a Redis: set REDIS_URL, or run them with `cargo xtask test`");
    Cache::new(&redis_config(Some(&url), &format!("{}:", uuid::Uuid::new_v4())))
}

/// A registry with a cache of its own.
pub(crate) fn cached(pool: &PgPool) -> Registry {
    Registry::new(pool.clone(), cache())
}

pub(crate) fn redis_config(url: Option<&str>, prefix: &str) -> RedisConfig {
    RedisConfig {
        url: url.map(Secret::new),
        login: None,
        cluster: false,
        prefix: prefix.to_owned(),
        ttl: std::time::Duration::from_secs(60),
        // Longer than any pause of a busy machine: a time-out would make the tests of the cache guess.
        timeout: std::time::Duration::from_secs(10),
    }
}

/// Tells the same tokens until it is told to go on, as if a while were over.
#[derive(Debug, Default)]
pub(crate) struct Tokens(AtomicU32);

impl Tokens {
    /// From now on it tells those of this number.
    pub(crate) fn tell(&self, number: u32) {
        self.0.store(number, Ordering::SeqCst);
    }
}

impl LoginTokens for Tokens {
    fn for_database(&self, host: &str, port: u16, user: &str) -> Result<Secret, TokenError> {
        Ok(Secret::new(format!("{host}:{port}:{user}:{}", self.0.load(Ordering::SeqCst))))
    }

    fn for_cache(&self, cache: &str, user: &str) -> Result<Secret, TokenError> {
        Ok(Secret::new(format!("{cache}:{user}:{}", self.0.load(Ordering::SeqCst))))
    }
}

pub(crate) fn key(text: &str) -> TypeKey {
    TypeKey::parse(text).unwrap()
}

pub(crate) async fn created(oms: &Registry, input: Value) -> ObjectType {
    oms.object_types.create(&caller(), &input).await.unwrap()
}

pub(crate) async fn linked(oms: &Registry, input: Value) -> LinkType {
    oms.link_types.create(&caller(), &input).await.unwrap()
}

/// A merge patch of an object type, whatever its version.
pub(crate) async fn patched(oms: &Registry, name: &str, patch: Value) -> ObjectType {
    oms.object_types.update(&caller(), &key(name), &patch, None).await.unwrap()
}

pub(crate) async fn deleted(oms: &Registry, name: &str) {
    oms.object_types.delete(&caller(), &key(name), None, false).await.unwrap();
}

pub(crate) fn object(name: &str) -> Value {
    json!({"name": name, "displayName": name})
}

pub(crate) fn link(name: &str, source: &str, target: &str) -> Value {
    json!({"name": name, "displayName": name, "source": source, "target": target, "cardinality": "ONE_TO_MANY"})
}

/// An object type with one property that refers to another type.
pub(crate) fn referring(name: &str, property: &str, target: &str, required: bool) -> Value {
    with(object(name), json!({"properties": [reference(property, target, required)]}))
}

pub(crate) fn reference(name: &str, target: &str, required: bool) -> Value {
    json!({"name": name, "dataType": "REFERENCE", "referenceTo": target, "required": required})
}

/// The object with more fields.
pub(crate) fn with(mut object: Value, fields: Value) -> Value {
    let Value::Object(fields) = fields else { panic!("not an object: {fields}") };
    object.as_object_mut().unwrap().extend::<Map<_, _>>(fields);
    object
}

/// Where each fault is and its code, in order of the places.
pub(crate) fn places(faults: &[Fault]) -> Vec<(String, &'static str)> {
    let mut places: Vec<_> = faults.iter().map(|f| (f.location.to_string(), f.kind.code().as_str())).collect();
    places.sort();
    places
}

pub(crate) fn places_of(faults: Faults) -> Vec<(String, &'static str)> {
    places(&faults.into_vec())
}

/// The faults that an operation was refused for.
pub(crate) fn refusal<T: std::fmt::Debug>(result: Result<T, Error>) -> Vec<(String, &'static str)> {
    match result {
        Err(Error::Invalid { faults, .. }) => places(&faults),
        other => panic!("expected a refused input, got {other:?}"),
    }
}

/// The code that an operation was refused with.
pub(crate) fn code<T: std::fmt::Debug>(result: Result<T, Error>) -> &'static str {
    result.expect_err("an error").code().as_str()
}

/// Places as tests write them.
pub(crate) fn at<const N: usize>(places: [(&str, &'static str); N]) -> Vec<(String, &'static str)> {
    let mut places: Vec<_> = places.into_iter().map(|(place, code)| (place.to_owned(), code)).collect();
    places.sort();
    places
}
