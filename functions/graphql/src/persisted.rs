//! Automatic persisted queries: a client sends the hash of a document, and the document itself only when the hash is not
//! known here (Apollo's protocol, version 1). Redis keeps them, per tenant; when it is away, every hash is unknown.

use std::time::Duration;

use oms_core::{Registry, id::TenantId};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::refusal::Refusal;

/// How long a document is kept after it was last sent.
const TTL: Duration = Duration::from_secs(24 * 60 * 60);
/// Longer documents, in bytes, are not kept.
const MAX_KEPT: usize = 256 * 1024;

/// The SHA-256 of a document, in lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hash(String);

impl Hash {
    /// Reads `persistedQuery` among the extensions of a request.
    pub(crate) fn read(extensions: &Value) -> Result<Option<Self>, Refusal> {
        let Some(query) = extensions.get("persistedQuery").filter(|query| !query.is_null()) else { return Ok(None) };
        let hash = query.get("sha256Hash").and_then(Value::as_str).map(str::to_ascii_lowercase);
        let hash = hash.filter(|hash| hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit()));
        match (query.get("version").and_then(Value::as_u64), hash) {
            (Some(1), Some(hash)) => Ok(Some(Self(hash))),
            _ => Err(Refusal::Parameter {
                name: "extensions.persistedQuery",
                expected: "an object with 'version': 1 and 'sha256Hash': the SHA-256 of the query in hexadecimal digits",
            }),
        }
    }

    /// The document: the one that was sent, or the one that is kept.
    pub(crate) async fn document(
        &self,
        sent: Option<String>,
        registry: &Registry,
        tenant: &TenantId,
    ) -> Result<String, Refusal> {
        match sent {
            Some(document) => {
                let digest: String = Sha256::digest(&document).iter().map(|byte| format!("{byte:02x}")).collect();
                if digest == self.0 { Ok(document) } else { Err(Refusal::WrongHash) }
            }
            None => registry.cache.persisted_query(tenant, &self.0).await.ok_or(Refusal::UnknownHash),
        }
    }

    /// Keeps a document that was sent and found good.
    pub(crate) async fn keep(&self, document: &str, registry: &Registry, tenant: &TenantId) {
        if document.len() <= MAX_KEPT {
            registry.cache.keep_persisted_query(tenant, &self.0, document, TTL).await;
        }
    }
}
