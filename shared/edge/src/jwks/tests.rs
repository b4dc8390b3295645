use std::{
    net::SocketAddr,
    sync::atomic::{AtomicU16, AtomicUsize, Ordering},
};

use axum::{Json, Router, extract::State, http::StatusCode, response::IntoResponse, routing::get};
use serde_json::{Value, json};

use super::{document::MAX_BYTES, *};
use crate::authentication::tests::KeyPair;

/// An identity provider on this machine, whose keys change and which can be broken.
#[derive(Clone, Default)]
pub(crate) struct Provider {
    keys: Arc<std::sync::Mutex<Vec<Value>>>,
    /// What it answers instead of keys, unless it is 0.
    broken: Arc<AtomicU16>,
    fetches: Arc<AtomicUsize>,
}

impl Provider {
    pub(crate) async fn start(keys: &[&KeyPair]) -> (Self, String) {
        async fn serve(State(provider): State<Provider>) -> impl IntoResponse {
            provider.fetches.fetch_add(1, Ordering::SeqCst);
            if let Ok(status) = StatusCode::from_u16(provider.broken.load(Ordering::SeqCst)) {
                return status.into_response();
            }
            Json(json!({ "keys": *provider.keys.lock().unwrap() })).into_response()
        }
        let provider = Self::default();
        provider.publish(keys);
        let listener = tokio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let url = format!("http://{}/jwks.json", listener.local_addr().unwrap());
        let router = Router::new().route("/jwks.json", get(serve)).with_state(provider.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (provider, url)
    }

    pub(crate) fn publish(&self, keys: &[&KeyPair]) {
        *self.keys.lock().unwrap() = keys.iter().map(|key| key.jwk()).collect();
    }

    fn add(&self, key: Value) {
        self.keys.lock().unwrap().push(key);
    }

    fn breaks(&self, broken: bool) {
        self.answers(if broken { 500 } else { 0 });
    }

    fn answers(&self, status: u16) {
        self.broken.store(status, Ordering::SeqCst);
    }

    fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }
}

const NO_PAUSE: Pace = Pace { unknown: Duration::ZERO, failed: Duration::ZERO, ..PACE };

fn jwks(url: String, pace: Pace) -> Jwks {
    Jwks::paced(url, Algorithm::EdDSA, pace, BreakerConfig::default())
}

/// A key set that is fetched for each unknown key id.
pub(crate) fn eager(url: String) -> Jwks {
    jwks(url, NO_PAUSE)
}

#[tokio::test]
async fn a_rotated_key_is_found_and_a_withdrawn_one_is_not() {
    let (old, new) = (KeyPair::ed("old"), KeyPair::ed("new"));
    let (provider, url) = Provider::start(&[&old]).await;
    let jwks = jwks(url, NO_PAUSE);
    assert!(jwks.key(Some("old")).await.unwrap().is_some());
    provider.publish(&[&new]);
    assert!(jwks.key(Some("new")).await.unwrap().is_some());
    assert!(jwks.key(Some("old")).await.unwrap().is_none());
    assert_eq!(provider.fetches(), 3);
}

#[tokio::test]
async fn many_requests_at_once_cause_one_fetch_and_invented_ids_no_other() {
    let (provider, url) = Provider::start(&[&KeyPair::ed("only")]).await;
    let jwks = jwks(url, PACE);
    let asked: tokio::task::JoinSet<_> = std::iter::repeat_n(jwks.clone(), 20)
        .map(|jwks| async move { jwks.key(Some("only")).await.unwrap().is_some() })
        .collect();
    assert!(asked.join_all().await.into_iter().all(|found| found));
    for id in ["a", "b", "c"] {
        assert!(jwks.key(Some(id)).await.unwrap().is_none());
    }
    assert_eq!(provider.fetches(), 1);
}

#[tokio::test]
async fn a_lost_provider_is_unavailable_and_known_keys_keep_serving() {
    let key = KeyPair::ed("known");
    let (provider, url) = Provider::start(&[&key]).await;
    provider.breaks(true);
    let jwks = jwks(url, Pace { renew: Duration::ZERO, ..NO_PAUSE });
    assert!(matches!(jwks.key(Some("known")).await, Err(Error::Unavailable { .. })));
    provider.breaks(false);
    assert!(jwks.key(Some("known")).await.unwrap().is_some());
    provider.breaks(true);
    // Too old: renewed in the background, in vain.
    assert!(jwks.key(Some("known")).await.unwrap().is_some());
    assert!(jwks.key(Some("known")).await.unwrap().is_some());
    // Perhaps a new key that only the provider could tell us of.
    assert!(matches!(jwks.key(Some("rotated")).await, Err(Error::Unavailable { .. })));
}

#[tokio::test]
async fn old_keys_are_renewed_in_the_background() {
    let (provider, url) = Provider::start(&[&KeyPair::ed("old")]).await;
    let jwks = jwks(url, Pace { renew: Duration::ZERO, ..NO_PAUSE });
    assert!(jwks.key(Some("old")).await.unwrap().is_some());
    provider.publish(&[]);
    while jwks.0.current().is_some_and(|set| set.find(Some("old")).is_some()) {
        let _ = jwks.key(Some("old")).await;
        tokio::task::yield_now().await;
    }
    assert!(provider.fetches() >= 2);
}

#[tokio::test]
async fn keys_for_other_uses_are_left_out_and_strange_ones_do_no_harm() {
    let good = KeyPair::ed("good");
    let (provider, url) = Provider::start(&[&good, &KeyPair::ec("elliptic")]).await;
    let variant = |id: &str, name: &str, value: Value| {
        let mut jwk = good.jwk();
        jwk["kid"] = json!(id);
        jwk[name] = value;
        jwk
    };
    provider.add(variant("encrypts", "use", json!("enc")));
    provider.add(variant("signs-only", "key_ops", json!(["sign"])));
    provider.add(variant("other-algorithm", "alg", json!("RS256")));
    provider.add(json!({ "kty": "oct", "kid": "secret", "k": "AAAA" }));
    provider.add(json!({ "kty": "quantum", "kid": "strange" }));
    provider.add(json!("nonsense"));
    let jwks = jwks(url, PACE);
    assert!(jwks.key(Some("good")).await.unwrap().is_some());
    for id in ["elliptic", "encrypts", "signs-only", "other-algorithm", "secret", "strange"] {
        assert!(jwks.key(Some(id)).await.unwrap().is_none(), "{id}");
    }
    assert!(jwks.key(None).await.unwrap().is_some(), "the only key needs no id");
}

#[tokio::test]
async fn keys_are_believed_for_a_day_at_most() {
    async fn hours_go_by(hours: u64) {
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(hours * 3600)).await;
        tokio::time::resume();
    }
    let (provider, url) = Provider::start(&[&KeyPair::ed("known")]).await;
    let jwks = jwks(url, NO_PAUSE);
    assert!(jwks.key(Some("known")).await.unwrap().is_some());
    provider.breaks(true);
    hours_go_by(23).await;
    assert!(jwks.key(Some("known")).await.unwrap().is_some());
    hours_go_by(2).await;
    assert!(matches!(jwks.key(Some("known")).await, Err(Error::Unavailable { .. })));
    provider.breaks(false);
    assert!(jwks.key(Some("known")).await.unwrap().is_some());
}

#[tokio::test]
async fn a_key_set_without_end_is_not_read() {
    let (provider, url) = Provider::start(&[&KeyPair::ed("known")]).await;
    provider.add(json!({ "kid": "x".repeat(MAX_BYTES) }));
    assert!(matches!(jwks(url, NO_PAUSE).key(Some("known")).await, Err(Error::Unavailable { .. })));
}

#[tokio::test]
async fn a_provider_that_is_away_is_left_alone_and_one_that_refuses_is_not() {
    let (provider, url) = Provider::start(&[&KeyPair::ed("known")]).await;
    let away = |open| Jwks::paced(url.clone(), Algorithm::EdDSA, NO_PAUSE, BreakerConfig { failures: 3, open });
    let fails = async |jwks: &Jwks| assert!(matches!(jwks.key(Some("known")).await, Err(Error::Unavailable { .. })));

    provider.breaks(true);
    let jwks = away(Duration::from_secs(3_600));
    for _ in 0..10 {
        fails(&jwks).await;
    }
    assert_eq!(provider.fetches(), 3);

    let jwks = away(Duration::from_millis(1));
    for _ in 0..3 {
        fails(&jwks).await;
    }
    provider.breaks(false);
    let deadline = Instant::now() + Duration::from_secs(30);
    while jwks.key(Some("known")).await.is_err() {
        assert!(Instant::now() < deadline, "it was not asked again");
        tokio::task::yield_now().await;
    }

    provider.answers(404);
    let (jwks, before) = (away(Duration::from_secs(3_600)), provider.fetches());
    for _ in 0..10 {
        fails(&jwks).await;
    }
    assert_eq!(provider.fetches() - before, 10);
}
