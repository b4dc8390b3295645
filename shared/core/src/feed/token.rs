//! Resume tokens: a place in the log that a client may come back to, signed, so that nobody can make one up.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use uuid::Uuid;

use crate::{
    error::{Error, Kind, Result},
    fault::FaultKind,
    id::TenantId,
    input::parameter,
};

const MAC: usize = 16;

/// A place in the log: everything up to it is known to whoever holds the token, but for the rest of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token {
    /// The life of the database that the position is from.
    pub(super) epoch: i64,
    /// The last position that is known.
    pub(super) position: i64,
    /// How far a snapshot has come that is not complete.
    pub(super) snapshot: Option<SnapshotPlace>,
}

/// A place in a snapshot: types of the kinds before this one are known, and those of this kind up to this id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SnapshotPlace {
    pub(super) kind: Kind,
    pub(super) after: Uuid,
}

impl SnapshotPlace {
    /// Before everything.
    pub(super) const START: Self = Self { kind: Kind::ObjectType, after: Uuid::nil() };
}

/// The byte of a kind within a token.
fn byte(kind: Kind) -> u8 {
    match kind {
        Kind::ObjectType => 1,
        Kind::LinkType => 2,
    }
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
        Self::read(text, key, tenant).ok_or_else(refused)
    }

    /// Reads back a token for a reader that knows nothing of snapshots: one from within a snapshot is refused as well, since
    /// the rest of it would be missed.
    pub(super) fn decode_event(text: &str, key: &[u8], tenant: &TenantId) -> Result<Self> {
        Self::read(text, key, tenant).filter(|token| token.snapshot.is_none()).ok_or_else(refused)
    }

    fn read(text: &str, key: &[u8], tenant: &TenantId) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        // A shorter code would verify too.
        let (place, mac) = bytes.split_last_chunk::<MAC>()?;
        let (epoch, rest) = place.split_first_chunk::<8>()?;
        let (position, rest) = rest.split_first_chunk::<8>()?;
        let snapshot = match rest.split_first() {
            None => None,
            Some((first, id)) => {
                let kind = [Kind::ObjectType, Kind::LinkType].into_iter().find(|kind| byte(*kind) == *first)?;
                Some(SnapshotPlace { kind, after: Uuid::from_slice(id).ok()? })
            }
        };
        let token = Self { epoch: i64::from_be_bytes(*epoch), position: i64::from_be_bytes(*position), snapshot };
        token.mac(key, tenant).ok()?.verify_truncated_left(mac).ok()?;
        Some(token)
    }

    /// Within a snapshot it is longer. Neither form can be taken for the other with a tenant that begins like the rest of it:
    /// no tenant begins with the byte of a kind.
    fn place(self) -> Vec<u8> {
        let mut place = [self.epoch.to_be_bytes(), self.position.to_be_bytes()].concat();
        if let Some(SnapshotPlace { kind, after }) = self.snapshot {
            place.push(byte(kind));
            place.extend_from_slice(after.as_bytes());
        }
        place
    }

    fn mac(self, key: &[u8], tenant: &TenantId) -> Result<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).map_err(Error::internal)?;
        mac.update(&self.place());
        mac.update(tenant.as_str().as_bytes());
        Ok(mac)
    }
}

fn refused() -> Error {
    parameter("after", FaultKind::ResumeToken)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn token() -> impl Strategy<Value = Token> {
        let place = (prop_oneof![Just(Kind::ObjectType), Just(Kind::LinkType)], any::<u128>());
        let place = place.prop_map(|(kind, after)| SnapshotPlace { kind, after: Uuid::from_u128(after) });
        (any::<i64>(), any::<i64>(), proptest::option::of(place)).prop_map(|(epoch, position, snapshot)| Token {
            epoch,
            position,
            snapshot,
        })
    }

    proptest! {
        #[test]
        fn a_token_reads_back_and_is_url_safe(token in token()) {
            let tenant = "acme".parse().unwrap();
            let text = token.encode(b"key", &tenant).unwrap();
            prop_assert!(text.len() <= 128 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
            prop_assert_eq!(Token::decode(&text, b"key", &tenant).unwrap(), token);
            // Who knows nothing of snapshots takes what is of none.
            let read = Token::decode_event(&text, b"key", &tenant);
            match token.snapshot {
                None => prop_assert_eq!(read.unwrap(), token),
                Some(_) => prop_assert_eq!(read.unwrap_err().code().as_str(), "INVALID_CURSOR"),
            }
        }

        #[test]
        fn a_changed_foreign_or_made_up_token_is_refused(
            token in token(), at in 0_usize..1000, by in 1_u8..64, text in ".{0,80}", bytes: Vec<u8>,
        ) {
            let good = token.encode(b"key", &"acme".parse().unwrap()).unwrap();
            let whole = URL_SAFE_NO_PAD.decode(&good).unwrap();
            let mut changed = whole.clone();
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
            prop_assert_eq!(code(&URL_SAFE_NO_PAD.encode(bytes), b"key", "acme"), "INVALID_CURSOR");
            // Nor does a part of the one form make the other: without the place in the snapshot, or with one put in.
            let (place, mac) = whole.split_at(whole.len() - MAC);
            let other = match token.snapshot {
                Some(_) => [&place[..16], mac].concat(),
                None => [place, &[1; 17], mac].concat(),
            };
            prop_assert_eq!(code(&URL_SAFE_NO_PAD.encode(other), b"key", "acme"), "INVALID_CURSOR");
        }
    }
}
