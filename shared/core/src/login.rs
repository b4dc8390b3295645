//! Logins by IAM, where what is sent as a password is a token that was signed a moment ago.

use std::{error, fmt, sync::Arc};

use crate::config::Secret;

/// Why a token was not signed.
pub type TokenError = Box<dyn error::Error + Send + Sync>;

/// Signs tokens. A process that has credentials of AWS gives it to the settings, see
/// [`Source::with_login_tokens`](crate::config::Source::with_login_tokens).
///
/// A token is looked at when a session begins, and is good for 15 minutes; what was begun goes on.
pub trait LoginTokens: fmt::Debug + Send + Sync {
    /// What the user sends to the PostgreSQL of this address.
    ///
    /// # Errors
    ///
    /// A name that can't be signed.
    fn for_database(&self, host: &str, port: u16, user: &str) -> Result<Secret, TokenError>;

    /// What the user sends to the ElastiCache Serverless cache of this name.
    ///
    /// # Errors
    ///
    /// A name that can't be signed.
    fn for_cache(&self, cache: &str, user: &str) -> Result<Secret, TokenError>;
}

/// Who logs in to a cache by IAM.
#[derive(Debug, Clone)]
pub struct CacheLogin {
    /// `REDIS_IAM_CACHE`: the cache's name, which is in its tokens in place of its address.
    pub cache: String,
    /// `REDIS_USER`: a user of the cache whose authentication is IAM.
    pub user: String,
    /// Signs the tokens.
    pub tokens: Arc<dyn LoginTokens>,
}
