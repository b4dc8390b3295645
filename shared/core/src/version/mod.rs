//! Versions: every create, update, delete and restore keeps a snapshot; any two can be compared.

mod diff;
pub(crate) mod repository;
#[cfg(test)]
mod tests;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use diff::compare;
pub use oms_events::{ChangeType, FieldChange};

/// The change of a field that may have been absent before or be absent now; none if both are the same.
pub(crate) fn change(field: impl Into<String>, old: Option<Value>, new: Option<Value>) -> Option<FieldChange> {
    let change_type = match (&old, &new) {
        (old, new) if same(old.as_ref(), new.as_ref()) => return None,
        (None, _) => ChangeType::Added,
        (_, None) => ChangeType::Removed,
        _ => ChangeType::Modified,
    };
    Some(FieldChange { field: field.into(), old_value: old, new_value: new, change_type })
}

/// Whether two values mean the same: PostgreSQL gives back a large float as the integer it is.
fn same(old: Option<&Value>, new: Option<&Value>) -> bool {
    match (old, new) {
        (Some(Value::Number(old)), Some(Value::Number(new))) => crate::property::compare_numbers(old, new).is_eq(),
        (Some(Value::Array(old)), Some(Value::Array(new))) => {
            old.len() == new.len() && old.iter().zip(new).all(|(old, new)| same(Some(old), Some(new)))
        }
        (Some(Value::Object(old)), Some(Value::Object(new))) => {
            old.len() == new.len() && old.iter().all(|(key, value)| same(Some(value), new.get(key)))
        }
        (old, new) => old == new,
    }
}

/// What made a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "UPPERCASE")]
pub enum Action {
    /// The type was created.
    Create,
    /// The type was changed.
    Update,
    /// The type was deleted.
    Delete,
    /// The deleted type was restored.
    Restore,
}

/// A version of a type, without its snapshot.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct VersionInfo {
    /// 1, and one more with every write.
    pub version: i32,
    /// What made it.
    pub action: Action,
    /// Why, if the writer said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change_description: Option<String>,
    /// When.
    pub created_at: DateTime<Utc>,
    /// By whom.
    pub created_by: String,
}

/// A version of a type with the type as it was.
#[derive(Debug, Clone, PartialEq)]
pub struct Version<E> {
    /// What made it, when.
    pub info: VersionInfo,
    /// The type as it was; names of referenced types as they were.
    pub snapshot: E,
}

/// Two versions and what changed between them.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison<E> {
    /// The version compared from.
    pub from: Version<E>,
    /// The version compared to.
    pub to: Version<E>,
    /// What changed.
    pub changes: Vec<FieldChange>,
}
