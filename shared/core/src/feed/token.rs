//! Resume tokens: a place in the log that a client may come back to, signed, so that nobody can make one up.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::{
    error::{Error, Result},
    fault::FaultKind,
    id::TenantId,
    input::parameter,
};

const MAC: usize = 16;

/// A place in the log: everything up to it is known to whoever holds the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token {
    /// The life of the database that the position is from.
    pub(super) epoch: i64,
    /// The last position that is known.
    pub(super) position: i64,
}

impl Token {
    /// The text that clients get. It belongs to its tenant.
    pub(super) fn encode(self, key: &[u8], tenant: &TenantId) -> Result<String> {
        let place = self.place();
        let mac = self.mac(key, tenant)?.finalize().into_bytes();
        Ok(URL_SAFE_NO_PAD.encode([place.as_slice(), mac.get(..MAC).unwrap_or_default()].concat()))
    }

    /// Reads a token back; one that is not ours, or of another tenant, is `INVALID_CURSOR`.
    pub(super) fn decode(text: &str, key: &[u8], tenant: &TenantId) -> Result<Self> {
        Self::read(text, key, tenant).ok_or_else(|| parameter("after", FaultKind::ResumeToken))
    }

    fn read(text: &str, key: &[u8], tenant: &TenantId) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (epoch, rest) = bytes.split_first_chunk::<8>()?;
        let (position, mac) = rest.split_first_chunk::<8>()?;
        let token = Self { epoch: i64::from_be_bytes(*epoch), position: i64::from_be_bytes(*position) };
        // A shorter one would verify too.
        if mac.len() != MAC {
            return None;
        }
        token.mac(key, tenant).ok()?.verify_truncated_left(mac).ok()?;
        Some(token)
    }

    fn place(self) -> [u8; 16] {
        let mut place = [0; 16];
        place[..8].copy_from_slice(&self.epoch.to_be_bytes());
        place[8..].copy_from_slice(&self.position.to_be_bytes());
        place
    }

    fn mac(self, key: &[u8], tenant: &TenantId) -> Result<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).map_err(Error::internal)?;
        mac.update(&self.place());
        mac.update(tenant.as_str().as_bytes());
        Ok(mac)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_token_reads_back_and_is_url_safe(epoch: i64, position: i64) {
            let (token, tenant) = (Token { epoch, position }, "acme".parse().unwrap());
            let text = token.encode(b"key", &tenant).unwrap();
            prop_assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
            prop_assert_eq!(Token::decode(&text, b"key", &tenant).unwrap(), token);
        }

        #[test]
        fn a_changed_foreign_or_made_up_token_is_refused(epoch: i64, position: i64, at in 0_usize..43, by in 1_u8..64, text in ".{0,80}") {
            let (token, tenant) = (Token { epoch, position }, "acme".parse().unwrap());
            let good = token.encode(b"key", &tenant).unwrap();
            let mut changed = URL_SAFE_NO_PAD.decode(&good).unwrap();
            let at = at % changed.len();
            changed[at] ^= by;
            let code = |text: &str, key: &[u8], tenant: &str| {
                Token::decode(text, key, &tenant.parse().unwrap()).unwrap_err().code().as_str()
            };
            prop_assert_eq!(code(&URL_SAFE_NO_PAD.encode(changed), b"key", "acme"), "INVALID_CURSOR");
            prop_assert_eq!(code(&good, b"another", "acme"), "INVALID_CURSOR");
            prop_assert_eq!(code(&good, b"key", "globex"), "INVALID_CURSOR");
            prop_assert_eq!(code(&good[..good.len() - 1], b"key", "acme"), "INVALID_CURSOR");
            prop_assert_eq!(code(&text, b"key", "acme"), "INVALID_CURSOR");
        }
    }
}
