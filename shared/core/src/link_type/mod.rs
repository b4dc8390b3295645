//! Link types: relations between two object types.

pub(crate) mod repository;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use crate::{
    context::Permission,
    definition::{Definition, DefinitionView, Draft, Stamp, TypeRef, WantedEnd},
    entity::{Entity, Rights, Service},
    error::{Code, Error, Kind, Result},
    id::LinkTypeId,
    property::texts,
    version::{ChangeType, FieldChange},
};

texts! {
    /// How many objects may stand on each side of a link (specification 3.1).
    Cardinality {
        /// One source has one target.
        OneToOne = "ONE_TO_ONE",
        /// One source has many targets.
        OneToMany = "ONE_TO_MANY",
        /// Many on both sides.
        ManyToMany = "MANY_TO_MANY",
    }
}

/// A link type.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LinkType {
    /// Its identity.
    pub id: LinkTypeId,
    /// What it links.
    pub ends: Ends,
    /// What it is.
    pub definition: Definition,
    /// Who wrote it, when.
    pub stamp: Stamp,
}

/// What a link type links.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ends {
    /// Where links start.
    pub source: TypeRef,
    /// Where they end; may be the source itself.
    pub target: TypeRef,
    /// How many on each side.
    pub cardinality: Cardinality,
}

/// One end of a link type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum End {
    /// Where links start.
    Source,
    /// Where they end.
    Target,
}

/// The use cases of link types.
pub type LinkTypes = Service<LinkType>;

/// The public shape of a link type: one in every version of the API.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = LinkType))]
#[serde(rename_all = "camelCase")]
pub struct LinkTypeView<'a> {
    /// Its identity.
    pub id: Uuid,
    /// Current name of the object type where links start.
    pub source: &'a str,
    /// Its id.
    pub source_object_type_id: Uuid,
    /// Current name of the object type where links end.
    pub target: &'a str,
    /// Its id.
    pub target_object_type_id: Uuid,
    /// How many on each side.
    pub cardinality: Cardinality,
    /// What it is.
    #[serde(flatten)]
    pub definition: DefinitionView<'a>,
    /// Who wrote it, when.
    #[serde(flatten)]
    pub stamp: &'a Stamp,
}

impl LinkType {
    /// The public shape.
    pub fn view(&self) -> LinkTypeView<'_> {
        LinkTypeView {
            id: self.id.0,
            source: &self.ends.source.name,
            source_object_type_id: self.ends.source.id.0,
            target: &self.ends.target.name,
            target_object_type_id: self.ends.target.id.0,
            cardinality: self.ends.cardinality,
            definition: self.definition.view(),
            stamp: &self.stamp,
        }
    }
}

impl Entity for LinkType {
    const KIND: Kind = Kind::LinkType;
    const INVALID: Code = Code::InvalidLinkType;
    const NOT_FOUND: Code = Code::LinkTypeNotFound;
    const RIGHTS: Rights =
        Rights { read: Permission::LinkTypeRead, write: Permission::LinkTypeWrite, delete: Permission::LinkTypeDelete };

    fn id(&self) -> Uuid {
        self.id.0
    }

    fn definition(&self) -> &Definition {
        &self.definition
    }

    fn stamp(&self) -> &Stamp {
        &self.stamp
    }

    fn to_json(&self) -> Result<serde_json::Value> {
        serde_json::to_value(self.view()).map_err(Error::internal)
    }

    fn ends(&self) -> Option<&Ends> {
        Some(&self.ends)
    }

    fn preview(&self, draft: &Draft) -> Self {
        let end = |known: &TypeRef, wanted: &WantedEnd| {
            if crate::definition::same(known, &wanted.key) {
                known.clone()
            } else {
                crate::definition::as_written(&wanted.key)
            }
        };
        let ends = draft.ends.as_ref().map_or_else(
            || self.ends.clone(),
            |wanted| Ends {
                source: end(&self.ends.source, &wanted.source),
                target: end(&self.ends.target, &wanted.target),
                cardinality: wanted.cardinality,
            },
        );
        Self { ends, definition: draft.preview(&self.definition), ..self.clone() }
    }

    fn shows_names(&self) -> bool {
        true
    }

    fn compare_ends(&self, new: &Self, changes: &mut Vec<FieldChange>) {
        for (field, old, new) in
            [("source", &self.ends.source, &new.ends.source), ("target", &self.ends.target, &new.ends.target)]
        {
            // By identity: a renamed object type is no change of the link type.
            if old.id != new.id {
                changes.push(FieldChange::modified(field, json!(old.name), json!(new.name)));
            }
        }
        if self.ends.cardinality != new.ends.cardinality {
            changes.push(FieldChange {
                field: "cardinality".to_owned(),
                old_value: Some(json!(self.ends.cardinality)),
                new_value: Some(json!(new.ends.cardinality)),
                change_type: ChangeType::Modified,
            });
        }
    }
}
