//! Pages: sort orders and cursors. A cursor is opaque to clients: sort value at full precision, id, and a digest of what
//! was asked, so that a cursor can't be taken along to another filter or sort.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Datelike, Utc};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::{error::Result, fault::FaultKind, id::TenantId, input::parameter};

/// Page size when a client names none.
pub const DEFAULT_LIMIT: u32 = 50;
/// The greatest page size.
pub const MAX_LIMIT: u32 = 200;

/// What a list may be sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SortBy {
    /// By name, in the order of its bytes.
    #[default]
    Name,
    /// By display name, in the order of its bytes.
    DisplayName,
    /// By the time of creation.
    CreatedAt,
    /// By the time of the last write.
    UpdatedAt,
}

impl SortBy {
    /// Every sort key.
    pub const ALL: &[Self] = &[Self::Name, Self::DisplayName, Self::CreatedAt, Self::UpdatedAt];

    /// As clients write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::DisplayName => "displayName",
            Self::CreatedAt => "createdAt",
            Self::UpdatedAt => "updatedAt",
        }
    }

    /// Reads what clients write.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|sort| sort.as_str() == text)
    }

    pub(crate) fn column(self) -> &'static str {
        match self {
            Self::Name => "t.name",
            Self::DisplayName => "t.display_name",
            Self::CreatedAt => "t.created_at",
            Self::UpdatedAt => "t.updated_at",
        }
    }
}

/// A sort key and a direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sort {
    /// The key; the id decides between equals.
    pub by: SortBy,
    /// From the greatest down.
    pub descending: bool,
}

/// The value of the sort key where a page ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SortValue {
    /// Of a sort by text.
    Text(String),
    /// Of a sort by time, in microseconds.
    Time(DateTime<Utc>),
}

/// Where a page ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// Sort value of the last item.
    pub value: SortValue,
    /// Id of the last item.
    pub id: Uuid,
}

/// Marks what a cursor belongs to: eight bytes of a hash over tenant, filter and sort.
pub type Digest = [u8; 8];

/// Marks the cursors of a tenant's question.
pub fn digest(tenant: &TenantId, question: &str) -> Digest {
    let mut digest = Digest::default();
    digest.copy_from_slice(&Sha256::digest(format!("{tenant}\0{question}"))[..8]);
    digest
}

impl Position {
    /// The cursor that clients get.
    pub fn encode(&self, digest: Digest) -> String {
        let mut bytes = Vec::with_capacity(64);
        bytes.extend_from_slice(&digest);
        bytes.extend_from_slice(self.id.as_bytes());
        match &self.value {
            SortValue::Text(text) => {
                bytes.push(b't');
                bytes.extend_from_slice(text.as_bytes());
            }
            SortValue::Time(time) => {
                bytes.push(b'i');
                bytes.extend_from_slice(&time.timestamp_micros().to_be_bytes());
            }
        }
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a cursor back; one that is not ours, or belongs to another question, is `INVALID_CURSOR`.
    pub fn decode(cursor: &str, digest: Digest) -> Result<Self> {
        Self::read(cursor, digest).ok_or_else(|| parameter("cursor", FaultKind::Cursor))
    }

    fn read(cursor: &str, digest: Digest) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
        let (mark, rest) = bytes.split_at_checked(digest.len())?;
        let (id, rest) = rest.split_at_checked(16)?;
        if mark != digest {
            return None;
        }
        let value = match rest.split_first()? {
            (b't', text) => {
                let text = std::str::from_utf8(text).ok().filter(|text| !text.contains('\0'))?;
                SortValue::Text(text.to_owned())
            }
            (b'i', micros) => {
                let time = DateTime::from_timestamp_micros(i64::from_be_bytes(micros.try_into().ok()?))?;
                // Within what PostgreSQL can compare.
                SortValue::Time(Some(time).filter(|time| (1970..=9999).contains(&time.year()))?)
            }
            _ => return None,
        };
        Some(Self { value, id: Uuid::from_slice(id).ok()? })
    }
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    /// The items, in order.
    pub items: Vec<T>,
    /// Where each item stands, as a cursor: a transport that must cut the page short gives that of the last it kept.
    pub cursors: Vec<String>,
    /// Whether more follow after the last item.
    pub has_more: bool,
    /// How many there are in all, if asked for.
    pub total: Option<i64>,
}

impl<T> Default for Page<T> {
    fn default() -> Self {
        Self { items: Vec::new(), cursors: Vec::new(), has_more: false, total: None }
    }
}

impl<T> Page<T> {
    /// The cursor of the next page, if there is one.
    pub fn next_cursor(&self) -> Option<&str> {
        self.has_more.then(|| self.cursors.last()).flatten().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::error::Code;

    fn position() -> impl Strategy<Value = Position> {
        let text = "[^\0]{0,64}".prop_map(SortValue::Text);
        let time = (0_i64..250_000_000_000_000_000)
            .prop_filter_map("in range", |micros| DateTime::from_timestamp_micros(micros).map(SortValue::Time));
        (prop_oneof![text, time], any::<u128>()).prop_map(|(value, id)| Position { value, id: Uuid::from_u128(id) })
    }

    proptest! {
        #[test]
        fn a_cursor_reads_back_to_the_microsecond_and_is_url_safe(position in position(), digest: Digest) {
            let cursor = position.encode(digest);
            prop_assert!(cursor.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
            prop_assert_eq!(Position::decode(&cursor, digest).unwrap(), position);
        }

        #[test]
        fn a_cursor_of_another_question_is_refused(position in position(), digest: Digest, other: Digest) {
            prop_assume!(digest != other);
            let refused = Position::decode(&position.encode(digest), other).unwrap_err();
            prop_assert_eq!(refused.code(), Code::InvalidCursor);
        }

        #[test]
        fn nonsense_is_refused_and_never_panics(text in ".{0,120}", digest: Digest) {
            prop_assert_eq!(Position::decode(&text, digest).unwrap_err().code(), Code::InvalidCursor);
        }
    }
}
