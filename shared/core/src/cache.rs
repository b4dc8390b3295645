//! The cache (specification 6): Redis with typed keys. Redis away means slower, never an error, never a lasting staleness.
//!
//! - An entity's entry is written only if nothing newer is there; a deletion leaves a tombstone with its version, which
//!   keeps late writes of older versions out and answers nothing itself.
//! - Documents show names of other types; such an entry carries the tenant's *names* generation, which a rename increments.
//! - Pages and searches carry the tenant's *content* generation, which every write increments.
//! - A generation that is missing is seeded from the clock, above every earlier one.
//!
//! Every key of a tenant has its hash tag, and every script has one key, so a Redis Cluster serves as well.

mod connection;
#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use redis::{Cmd, ErrorKind, RedisResult, Script, ScriptInvocation};
use tokio::sync::OnceCell;
use uuid::Uuid;

use self::connection::Connection;
use crate::{
    breaker::{Admission, Breaker, BreakerConfig},
    config::RedisConfig,
    error::Kind,
    event_log::LogEvent,
    id::TenantId,
};

/// After one failure the database, which is at hand, is asked at once for so long, instead of waiting for Redis again.
const REST: BreakerConfig = BreakerConfig { failures: 1, open: Duration::from_secs(1) };

/// Whether Redis answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheState {
    /// None is configured.
    Disabled,
    /// It answers.
    Healthy,
    /// It does not answer.
    Unreachable,
}

/// What the cache knows of a type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Lookup {
    /// Its document.
    Hit(String),
    /// Nothing; what is read now may be kept with this names generation.
    Miss(Option<i64>),
}

/// The cache; a clone is the same cache.
#[derive(Clone)]
pub struct Cache(Option<Arc<Inner>>);

struct Inner {
    config: RedisConfig,
    /// The one that all calls share. Another takes its place when Redis does not let it in.
    connection: Mutex<Arc<OnceCell<Connection>>>,
    breaker: Breaker,
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "Cache(redis)" } else { "Cache(none)" })
    }
}

impl Cache {
    /// A cache that connects when it is first asked; without a URL, no cache.
    pub fn new(config: &RedisConfig) -> Self {
        Self(config.url.is_some().then(|| {
            Arc::new(Inner {
                config: config.clone(),
                connection: Mutex::default(),
                breaker: Breaker::new("redis", REST),
            })
        }))
    }

    /// Whether Redis answers now.
    pub async fn check(&self) -> CacheState {
        let Some(inner) = &self.0 else { return CacheState::Disabled };
        match inner.run::<String>(&redis::cmd("PING")).await {
            Some(_) => CacheState::Healthy,
            None => CacheState::Unreachable,
        }
    }

    /// Counts an event within a window, over all processes: how many so far, or none when Redis is away.
    pub async fn count_failure(&self, key: &str, window: Duration) -> Option<u64> {
        let inner = self.0.as_ref()?;
        let key = format!("{}failures:{key}", inner.config.prefix);
        inner.script(&COUNT, &key, &[&window.as_millis().to_string()]).await
    }

    /// Looks up a type by id.
    pub(crate) async fn entity(&self, kind: Kind, tenant: &TenantId, id: Uuid) -> Lookup {
        let (mut documents, names) = self.entities(kind, tenant, &[id]).await;
        documents.pop().flatten().map_or(Lookup::Miss(names), Lookup::Hit)
    }

    /// Looks up types by id: the document of each that is there, and the names generation to keep the others with.
    pub(crate) async fn entities(
        &self,
        kind: Kind,
        tenant: &TenantId,
        ids: &[Uuid],
    ) -> (Vec<Option<String>>, Option<i64>) {
        let Some(inner) = &self.0 else { return (vec![None; ids.len()], None) };
        let keys = ids.iter().map(|id| inner.entity_key(kind, tenant, *id)).chain([inner.key(tenant, "names")]);
        let mut entries = inner.values(keys).await;
        let names = entries.pop().flatten().and_then(|names| names.parse().ok());
        let documents: Vec<_> = entries.iter().map(|entry| served(entry.as_deref()?, names)).collect();
        for document in &documents {
            count(kind.as_str(), document.is_some());
        }
        let lacking = names.is_none() && (ids.is_empty() || documents.contains(&None));
        (documents, if lacking { self.names(tenant).await } else { names })
    }

    /// The ids that folded names had when they were last looked up. Check them against the entities: names move.
    pub(crate) async fn ids_of(&self, kind: Kind, tenant: &TenantId, names: &[String]) -> Vec<Option<Uuid>> {
        let Some(inner) = &self.0 else { return vec![None; names.len()] };
        let found = inner.values(names.iter().map(|name| inner.name_key(kind, tenant, name))).await;
        let ids: Vec<_> = found.iter().map(|id| Uuid::try_parse(id.as_deref()?).ok()).collect();
        for id in &ids {
            count(if kind == Kind::ObjectType { "object_type:name" } else { "link_type:name" }, id.is_some());
        }
        ids
    }

    /// Keeps which id a folded name has.
    pub(crate) async fn keep_name(&self, kind: Kind, tenant: &TenantId, name: &str, id: Uuid) {
        let Some(inner) = &self.0 else { return };
        inner.keep(&inner.name_key(kind, tenant, name), &id.to_string(), inner.config.ttl).await;
    }

    /// Keeps a type, unless something newer is there. `names` is the generation of the names that the document shows,
    /// none if it shows none; `document` none leaves a tombstone.
    pub(crate) async fn keep_entity(
        &self,
        kind: Kind,
        tenant: &TenantId,
        id: Uuid,
        version: i32,
        names: Option<i64>,
        document: Option<&str>,
    ) {
        let Some(inner) = &self.0 else { return };
        let shown = names.map_or_else(|| "*".to_owned(), |names| names.to_string());
        let entry = format!("{version} {shown} {}", document.unwrap_or_default());
        let key = inner.entity_key(kind, tenant, id);
        inner.tell(&SET_IF_NEWER, &key, &[&version.to_string(), &entry, &millis(inner.config.ttl).to_string()]).await;
    }

    /// Repeats what the cache should have been told of these events: nothing older than them is served, and pages from before
    /// them neither. What is there already, or newer, stays.
    pub(crate) async fn repeat(&self, events: &[LogEvent]) {
        let Some(inner) = &self.0 else { return };
        let ttl = millis(inner.config.ttl).to_string();
        // Later events of an entity say it all; so does one change of a tenant's content.
        let mut entities: HashMap<(Kind, Uuid), &LogEvent> = HashMap::new();
        let (mut tenants, mut renamed) = (HashSet::new(), HashSet::new());
        for event in events {
            entities.insert((event.kind(), event.entity_id), event);
            tenants.insert(&event.tenant);
            if event.renames() {
                renamed.insert(&event.tenant);
            }
        }
        let mut outdated: HashMap<&TenantId, Vec<(String, String)>> = HashMap::new();
        for ((kind, id), event) in entities {
            let key = inner.entity_key(kind, &event.tenant, id);
            outdated.entry(&event.tenant).or_default().push((key, event.version.to_string()));
        }
        for entries in outdated.values().flat_map(|entries| entries.chunks(OUTDATED_AT_ONCE)) {
            inner.outdate(entries, &ttl).await;
        }
        for tenant in renamed {
            self.names_changed(tenant).await;
        }
        for tenant in tenants {
            self.content_changed(tenant).await;
        }
    }

    /// The names generation, to be read before the documents that it shall mark.
    pub(crate) async fn names(&self, tenant: &TenantId) -> Option<i64> {
        self.generation(tenant, "names").await
    }

    /// Notes that a name changed hands: documents that show names are no longer served.
    pub(crate) async fn names_changed(&self, tenant: &TenantId) {
        self.next_generation(tenant, "names").await;
    }

    /// Notes that something changed: pages and searches so far are no longer served.
    pub(crate) async fn content_changed(&self, tenant: &TenantId) {
        self.next_generation(tenant, "content").await;
    }

    /// Looks up a page or a search; on a miss, the slot where to keep it.
    pub(crate) async fn page(
        &self,
        tenant: &TenantId,
        key_type: &'static str,
        key: &str,
    ) -> (Option<String>, Option<Slot>) {
        let Some(inner) = &self.0 else { return (None, None) };
        let Some(generation) = self.generation(tenant, "content").await else { return (None, None) };
        let slot = Slot(inner.key(tenant, &format!("{key_type}:{key}:{generation}")));
        let mut get = redis::cmd("GET");
        get.arg(&slot.0);
        let found = inner.run::<Option<String>>(&get).await.flatten();
        count(key_type, found.is_some());
        (found, Some(slot))
    }

    /// Keeps a page in its slot.
    pub(crate) async fn keep_page(&self, slot: Option<Slot>, page: &str) {
        let (Some(inner), Some(slot)) = (&self.0, slot) else { return };
        inner.keep(&slot.0, page, inner.config.ttl).await;
    }

    /// The document of an automatic persisted query, by the SHA-256 that names it, in hexadecimal; none when it was never
    /// kept, is forgotten, or Redis is away. Whoever keeps one checks that it has this SHA-256.
    pub async fn persisted_query(&self, tenant: &TenantId, sha256: &str) -> Option<String> {
        let inner = self.0.as_ref()?;
        let mut get = redis::cmd("GET");
        get.arg(inner.persisted_query_key(tenant, sha256));
        let found = inner.run::<Option<String>>(&get).await.flatten();
        count("persisted_query", found.is_some());
        found
    }

    /// Keeps the document of an automatic persisted query for so long.
    pub async fn keep_persisted_query(&self, tenant: &TenantId, sha256: &str, document: &str, ttl: Duration) {
        let Some(inner) = &self.0 else { return };
        inner.keep(&inner.persisted_query_key(tenant, sha256), document, ttl).await;
    }

    /// Reads a generation.
    async fn generation(&self, tenant: &TenantId, name: &str) -> Option<i64> {
        let inner = self.0.as_ref()?;
        inner.script(&GENERATION, &inner.key(tenant, name), &[&clock(), "0"]).await
    }

    /// Begins the next generation.
    async fn next_generation(&self, tenant: &TenantId, name: &str) {
        if let Some(inner) = &self.0 {
            inner.tell(&GENERATION, &inner.key(tenant, name), &[&clock(), "1"]).await;
        }
    }
}

/// Microseconds since 1970: above what a generation that started earlier has been incremented to.
fn clock() -> String {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros().to_string()
}

static COUNT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local n = redis.call('INCR', KEYS[1]) \
         if n == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end \
         return n",
    )
});

static SET_IF_NEWER: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local known = tonumber(string.match(redis.call('GETRANGE', KEYS[1], 0, 11), '^(%d+) ')) \
         if known and known > tonumber(ARGV[1]) then return 0 end \
         redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) \
         return 1",
    )
});

/// Leaves a tombstone in place of what is older than a version; an entry of that version is as good as new.
const OUTDATE_SCRIPT: &str = "local known = tonumber(string.match(redis.call('GETRANGE', KEYS[1], 0, 11), '^(%d+) ')) \
     if known and known >= tonumber(ARGV[1]) then return 0 end \
     redis.call('SET', KEYS[1], ARGV[1] .. ' * ', 'PX', ARGV[2]) \
     return 1";

static OUTDATE: LazyLock<Script> = LazyLock::new(|| Script::new(OUTDATE_SCRIPT));

/// How many tombstones go in one pipeline: Redis serves others in between.
const OUTDATED_AT_ONCE: usize = 256;

static GENERATION: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if redis.call('EXISTS', KEYS[1]) == 0 then redis.call('SET', KEYS[1], ARGV[1]) \
         elseif ARGV[2] == '1' then redis.call('INCR', KEYS[1]) end \
         return tonumber(redis.call('GET', KEYS[1]))",
    )
});

/// Where a page is kept.
pub(crate) struct Slot(String);

/// The document of an entity's entry, if it may be served at this names generation.
fn served(entry: &str, names: Option<i64>) -> Option<String> {
    let (version, rest) = entry.split_once(' ')?;
    let (shown, document) = rest.split_once(' ')?;
    let fresh = shown == "*" || shown.parse::<i64>().ok() == Some(names?);
    version.parse::<i32>().ok().filter(|_| fresh && !document.is_empty())?;
    Some(document.to_owned())
}

fn count(key_type: &'static str, hit: bool) {
    let name = if hit { "oms_cache_hits_total" } else { "oms_cache_misses_total" };
    metrics::counter!(name, "cache_key_type" => key_type).increment(1);
}

impl Inner {
    fn key(&self, tenant: &TenantId, rest: &str) -> String {
        format!("{}{{{tenant}}}:{rest}", self.config.prefix)
    }

    fn entity_key(&self, kind: Kind, tenant: &TenantId, id: Uuid) -> String {
        self.key(tenant, &format!("{}:{id}", kind.as_str()))
    }

    fn name_key(&self, kind: Kind, tenant: &TenantId, name: &str) -> String {
        self.key(tenant, &format!("{}:name:{name}", kind.as_str()))
    }

    fn persisted_query_key(&self, tenant: &TenantId, sha256: &str) -> String {
        self.key(tenant, &format!("persisted_query:{sha256}"))
    }

    /// The values of keys, all of one tenant, in their order.
    async fn values(&self, keys: impl IntoIterator<Item = String>) -> Vec<Option<String>> {
        let keys: Vec<String> = keys.into_iter().collect();
        if keys.is_empty() {
            return Vec::new();
        }
        let mut get = redis::cmd("MGET");
        get.arg(&keys);
        self.run(&get).await.unwrap_or_else(|| vec![None; keys.len()])
    }

    async fn keep(&self, key: &str, value: &str, ttl: Duration) {
        let mut set = redis::cmd("SET");
        set.arg(key).arg(value).arg("PX").arg(millis(ttl));
        self.run::<()>(&set).await;
    }

    async fn run<T: redis::FromRedisValue>(&self, command: &Cmd) -> Option<T> {
        self.ask(async |connection: &mut Connection| command.query_async(connection).await).await
    }

    async fn script<T: redis::FromRedisValue>(&self, script: &Script, key: &str, arguments: &[&str]) -> Option<T> {
        let call = invocation(script, key, arguments);
        self.ask(async |connection: &mut Connection| call.invoke_async(connection).await).await
    }

    /// A script that others rely on: while Redis rests it is tried all the same, and once more after a failure, since other
    /// processes may reach a Redis that this one could not for a moment.
    async fn tell(&self, script: &Script, key: &str, arguments: &[&str]) {
        let call = invocation(script, key, arguments);
        let admission = self.breaker.insist();
        let again = admission.is_permitted();
        let invoke = async |connection: &mut Connection| call.invoke_async::<i64>(connection).await;
        let mut told = self.attempt(admission, invoke).await;
        if told.is_none() && again {
            told = self.attempt(self.breaker.insist(), invoke).await;
        }
        if told.is_none() {
            tracing::warn!(key, "redis was not told of a change; entries may be old until they expire");
        }
    }

    /// Leaves tombstones for keys of one tenant, each for a version, in one pipeline; one by one when that fails, as
    /// whatever others rely on.
    async fn outdate(&self, entries: &[(String, String)], ttl: &str) {
        let mut pipeline = redis::pipe();
        for (index, (key, version)) in entries.iter().enumerate() {
            // Redis knows the script by its hash once it has run.
            match index {
                0 => pipeline.cmd("EVAL").arg(OUTDATE_SCRIPT),
                _ => pipeline.cmd("EVALSHA").arg(OUTDATE.get_hash()),
            };
            pipeline.arg(1).arg(key).arg(version).arg(ttl).ignore();
        }
        let run = async |connection: &mut Connection| pipeline.query_async::<()>(connection).await;
        if self.attempt(self.breaker.insist(), run).await.is_none() {
            let told = entries.iter().map(|(key, version)| async { self.tell(&OUTDATE, key, &[version, ttl]).await });
            futures::future::join_all(told).await;
        }
    }

    /// A call whose answer the database can give too.
    async fn ask<T>(&self, call: impl AsyncFnOnce(&mut Connection) -> RedisResult<T>) -> Option<T> {
        self.attempt(self.breaker.admit().ok()?, call).await
    }

    /// One call within the time-out; a failure gives Redis a rest.
    async fn attempt<T>(
        &self,
        admission: Admission<'_>,
        call: impl AsyncFnOnce(&mut Connection) -> RedisResult<T>,
    ) -> Option<T> {
        let shared = self.connection().clone();
        let work = async {
            let mut connection = shared.get_or_try_init(|| Connection::open(&self.config)).await?.clone();
            call(&mut connection).await
        };
        let failure = match tokio::time::timeout(self.config.timeout, work).await {
            Ok(Ok(value)) => {
                admission.succeeded();
                return Some(value);
            }
            Ok(Err(error)) => {
                if error.kind() == ErrorKind::AuthenticationFailed {
                    self.forget(&shared);
                }
                error.to_string()
            }
            Err(_) => "time-out".to_owned(),
        };
        // An error of its own counts too: a Redis that can't serve is as good as none.
        admission.failed();
        tracing::warn!(error = failure, "redis does not answer; the database serves instead");
        None
    }

    fn connection(&self) -> MutexGuard<'_, Arc<OnceCell<Connection>>> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The manager of a single connection that was refused when it was opened again would repeat the refusal for ever.
    fn forget(&self, refused: &Arc<OnceCell<Connection>>) {
        let mut connection = self.connection();
        if Arc::ptr_eq(&connection, refused) {
            *connection = Arc::default();
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn invocation<'a>(script: &'a Script, key: &str, arguments: &[&str]) -> ScriptInvocation<'a> {
    let mut call = script.prepare_invoke();
    call.key(key);
    for argument in arguments {
        call.arg(*argument);
    }
    call
}
