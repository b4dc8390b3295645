//! Idempotency keys: a repeated write is answered as the first was, from the versions that it made.

pub(crate) mod repository;
#[cfg(test)]
mod tests;

/// How long an answer is remembered.
pub const RETENTION_HOURS: i32 = 24;

/// A client's key with what it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// What the client sent, 1 to 255 characters.
    pub key: String,
    /// Method and path: the same key on another route is another key.
    pub route: String,
    /// SHA-256 of the body and of what else shapes the write.
    pub body_hash: [u8; 32],
}
