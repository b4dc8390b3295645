//! The keys of an identity provider (RFC 7517): fetched when first needed, kept, and renewed when keys rotate.
//!
//! Time-outs, one fetch at a time and a pause between fetches keep a slow or lost provider from slowing requests whose
//! keys are known, and keep strangers from making us fetch by inventing key ids. The circuit breaker is for the provider's
//! sake: behind it nobody asks one that does not answer.

mod document;

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use jsonwebtoken::{Algorithm, DecodingKey};
use oms_core::{
    breaker::{Breaker, BreakerConfig},
    error::Error,
};
use tokio::{sync::Mutex, time::Instant};

pub use document::fetch_usable;
use document::{Failure, Key, client, fetch, is_outage, keys};

/// How old keys may get, and how often the provider is asked.
#[derive(Debug, Clone, Copy)]
struct Pace {
    /// Above this age the keys are renewed in the background.
    renew: Duration,
    /// Above this age they are no longer believed: a key that was withdrawn while the provider is away must end, too.
    trust: Duration,
    /// Pause after a fetch, before an unknown key id causes another.
    unknown: Duration,
    /// Pause after a failed fetch while there is no key at all.
    failed: Duration,
}

const PACE: Pace = Pace {
    renew: Duration::from_secs(600),
    trust: Duration::from_secs(24 * 3600),
    unknown: Duration::from_secs(30),
    failed: Duration::from_secs(1),
};

/// The key set of one provider.
#[derive(Clone)]
pub(crate) struct Jwks(Arc<Shared>);

struct Shared {
    url: String,
    algorithm: Algorithm,
    pace: Pace,
    breaker: Breaker,
    current: RwLock<Option<KeySet>>,
    /// Held during a fetch, so that there is one at a time.
    last: Mutex<Option<Attempt>>,
}

#[derive(Clone)]
struct KeySet {
    keys: Arc<[Key]>,
    fetched: Instant,
}

/// The fetch before, and the client that is built with the first of them.
struct Attempt {
    at: Instant,
    succeeded: bool,
    client: reqwest::Client,
}

impl KeySet {
    /// The key of this id; without an id, the only key there is.
    fn find(&self, kid: Option<&str>) -> Option<Arc<DecodingKey>> {
        match (kid, &*self.keys) {
            (None, [(_, only)]) => Some(only.clone()),
            (None, _) => None,
            (Some(kid), keys) => keys.iter().find(|(id, _)| id.as_deref() == Some(kid)).map(|(_, key)| key.clone()),
        }
    }
}

impl Jwks {
    pub(crate) fn new(url: String, algorithm: Algorithm, breaker: BreakerConfig) -> Self {
        Self::paced(url, algorithm, PACE, breaker)
    }

    fn paced(url: String, algorithm: Algorithm, pace: Pace, breaker: BreakerConfig) -> Self {
        let (current, last) = (RwLock::default(), Mutex::default());
        Self(Arc::new(Shared { url, algorithm, pace, breaker: Breaker::new("jwks", breaker), current, last }))
    }

    /// The key of this id, none when the provider has no such key; `Unavailable` when it can't be asked.
    pub(crate) async fn key(&self, kid: Option<&str>) -> Result<Option<Arc<DecodingKey>>, Error> {
        let shared = &self.0;
        if let Some(set) = shared.current()
            && let Some(key) = set.find(kid)
        {
            if set.fetched.elapsed() > shared.pace.renew {
                self.renew_in_background();
            }
            return Ok(Some(key));
        }
        let (shared, kid) = (shared.clone(), kid.map(str::to_owned));
        // A task of its own: a client that hangs up must not undo a fetch that others wait for.
        let found = tokio::spawn(async move { shared.find_or_fetch(kid.as_deref()).await }).await;
        found.unwrap_or_else(|error| Err(Error::internal(error)))
    }

    /// The old keys serve until the new ones are there, or until they are too old.
    fn renew_in_background(&self) {
        let shared = self.0.clone();
        tokio::spawn(async move {
            // Busy means that somebody else is at it.
            if let Ok(mut last) = shared.last.try_lock()
                && shared.may_fetch(last.as_ref(), true)
            {
                shared.fetch(&mut last).await;
            }
        });
    }
}

impl Shared {
    /// The keys, unless they are too old.
    fn current(&self) -> Option<KeySet> {
        let set = self.current.read().unwrap_or_else(PoisonError::into_inner).clone();
        set.filter(|set| set.fetched.elapsed() <= self.pace.trust)
    }

    async fn find_or_fetch(&self, kid: Option<&str>) -> Result<Option<Arc<DecodingKey>>, Error> {
        let mut last = self.last.lock().await;
        // Somebody else may have fetched while this request waited for the lock.
        let known = self.current();
        if let Some(key) = known.as_ref().and_then(|set| set.find(kid)) {
            return Ok(Some(key));
        }
        if self.may_fetch(last.as_ref(), known.is_some()) {
            self.fetch(&mut last).await;
        }
        match last.as_ref() {
            Some(attempt) if attempt.succeeded => Ok(self.current().and_then(|set| set.find(kid))),
            _ => Err(Error::Unavailable { cause: format!("no keys from {}", self.url) }),
        }
    }

    fn may_fetch(&self, last: Option<&Attempt>, known: bool) -> bool {
        let pause = if known { self.pace.unknown } else { self.pace.failed };
        last.is_none_or(|attempt| attempt.at.elapsed() >= pause)
    }

    async fn fetch(&self, last: &mut Option<Attempt>) {
        // What is not asked is no attempt: the pause after the last one goes on.
        let Ok(admission) = self.breaker.admit() else { return };
        let client = match last.take() {
            Some(attempt) => Ok(attempt.client),
            None => client(),
        };
        let client = match client {
            Ok(client) => client,
            Err(error) => return tracing::error!(%error, "no client for the JSON Web Key Set"),
        };
        let result = self.request(&client).await;
        match &result {
            Err(error) if is_outage(&**error) => admission.failed(),
            _ => admission.succeeded(),
        }
        let succeeded = result.is_ok();
        match result {
            Ok(keys) => {
                tracing::info!(url = self.url, keys = keys.len(), "JSON Web Key Set fetched");
                let set = KeySet { keys: keys.into(), fetched: Instant::now() };
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(set);
            }
            Err(error) => tracing::warn!(url = self.url, %error, "the JSON Web Key Set can't be fetched"),
        }
        *last = Some(Attempt { at: Instant::now(), succeeded, client });
    }

    async fn request(&self, client: &reqwest::Client) -> Result<Vec<Key>, Failure> {
        keys(&fetch(client, &self.url).await?, self.algorithm)
    }
}

#[cfg(test)]
pub(crate) mod tests;
