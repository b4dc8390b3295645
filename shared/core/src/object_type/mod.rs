//! Object types: the things a company reasons about.

pub(crate) mod repository;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    context::Permission,
    definition::{Definition, DefinitionView, Draft, Stamp},
    entity::{Entity, Rights, Service},
    error::{Code, Error, Kind, Result},
    id::ObjectTypeId,
    version::FieldChange,
};

/// An object type (specification 4.2).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ObjectType {
    /// Its identity.
    pub id: ObjectTypeId,
    /// What it is.
    pub definition: Definition,
    /// Who wrote it, when.
    pub stamp: Stamp,
}

/// The use cases of object types.
pub type ObjectTypes = Service<ObjectType>;

/// The public shape of an object type, with every field (API version 2).
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = ObjectType))]
pub struct ObjectTypeView<'a> {
    /// Its identity.
    pub id: Uuid,
    /// What it is.
    #[serde(flatten)]
    pub definition: DefinitionView<'a>,
    /// Who wrote it, when.
    #[serde(flatten)]
    pub stamp: &'a Stamp,
}

impl ObjectType {
    /// The public shape.
    pub fn view(&self) -> ObjectTypeView<'_> {
        ObjectTypeView { id: self.id.0, definition: self.definition.view(), stamp: &self.stamp }
    }
}

impl Entity for ObjectType {
    const KIND: Kind = Kind::ObjectType;
    const INVALID: Code = Code::InvalidObjectType;
    const NOT_FOUND: Code = Code::ObjectTypeNotFound;
    const RIGHTS: Rights = Rights {
        read: Permission::ObjectTypeRead,
        write: Permission::ObjectTypeWrite,
        delete: Permission::ObjectTypeDelete,
    };

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

    fn preview(&self, draft: &Draft) -> Self {
        Self { definition: draft.preview(&self.definition), ..self.clone() }
    }

    fn shows_names(&self) -> bool {
        !self.definition.references.is_empty()
    }

    fn compare_ends(&self, _new: &Self, _changes: &mut Vec<FieldChange>) {}
}
