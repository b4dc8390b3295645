//! Names: parsed once, then they can't be wrong.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::fault::FaultKind;

/// The most characters of a name.
pub const MAX_NAME: usize = 64;

fn check(text: &str) -> Result<(), FaultKind> {
    let mut bytes = text.bytes();
    let form =
        bytes.next().is_some_and(|b| b.is_ascii_alphabetic()) && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !form {
        return Err(FaultKind::NameForm);
    }
    if text.len() > MAX_NAME {
        return Err(FaultKind::NameTooLong { actual: text.len() });
    }
    Ok(())
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident;)+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = FaultKind;

            fn from_str(text: &str) -> Result<Self, FaultKind> {
                check(text).map(|()| Self(text.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                match check(&text) {
                    Ok(()) => Ok(Self(text)),
                    Err(_) => Err(format!("{text:?} is not a name")),
                }
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )+};
}

names! {
    /// Name of an object type or link type: `^[a-zA-Z][a-zA-Z0-9_]*$`, at most 64 characters; unique without case.
    TypeName;
    /// Name of a property: the same form, unique within its level, with case.
    PropertyName;
}

impl TypeName {
    /// The form in which names are compared and looked up.
    pub fn folded(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

/// How a client names a type: by its id or by its name in any case.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TypeKey {
    /// By id.
    Id(Uuid),
    /// By name.
    Name(TypeName),
}

impl TypeKey {
    /// Hyphenated text of 36 characters is an id, everything else should be a name.
    pub fn parse(text: &str) -> Result<Self, FaultKind> {
        if text.len() == 36
            && let Ok(id) = Uuid::try_parse(text)
        {
            return Ok(Self::Id(id));
        }
        text.parse().map(Self::Name)
    }

    /// The id, if the key is one.
    pub fn id(&self) -> Option<Uuid> {
        match self {
            Self::Id(id) => Some(*id),
            Self::Name(_) => None,
        }
    }

    /// The folded name, if the key is one.
    pub fn folded_name(&self) -> Option<String> {
        match self {
            Self::Id(_) => None,
            Self::Name(name) => Some(name.folded()),
        }
    }
}

impl fmt::Display for TypeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_starts_with_a_letter_and_has_at_most_64_characters() {
        for good in ["A", "a_1", &"x".repeat(64)] {
            assert_eq!(good.parse::<TypeName>().unwrap().as_str(), good);
        }
        for bad in ["", "1a", "_a", "a-b", "a b", "고객", "a\n", "é"] {
            assert_eq!(bad.parse::<TypeName>(), Err(FaultKind::NameForm), "{bad:?}");
        }
        assert_eq!("x".repeat(65).parse::<PropertyName>(), Err(FaultKind::NameTooLong { actual: 65 }));
    }

    #[test]
    fn a_key_is_an_id_only_with_hyphens() {
        assert!(TypeKey::parse("01890a5d-ac96-774b-bcce-b302099a8057").unwrap().id().is_some());
        assert_eq!(TypeKey::parse("abcdefabcdefabcdefabcdefabcdefab").unwrap().id(), None);
        assert!(TypeKey::parse("not a name").is_err());
    }
}
