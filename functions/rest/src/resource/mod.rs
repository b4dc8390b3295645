//! The routes that object types and link types share, one file per group of endpoints.

mod create;
mod list;
mod read;
mod table;
mod update;
mod validate;
mod versions;

use http::{HeaderValue, header};
use oms_core::{
    Registry,
    definition::PropertyView,
    entity::{Service, Store},
    error::Kind,
    link_type::{LinkType, LinkTypeView},
    object_type::{ObjectType, ObjectTypeView},
    page::Page,
};
use serde::Serialize;
use uuid::Uuid;

pub(crate) use table::{CURSOR, LIMIT, operations};

use crate::{call::ApiVersion, precondition::etag};

/// A kind of type as a REST resource.
pub(crate) trait Resource: Store {
    /// The segment of its paths.
    const SEGMENT: &'static str;
    /// Its name in the document: of schemas and, in small letters, of fields.
    const SCHEMA: &'static str;

    fn service(registry: &Registry) -> &Service<Self>;
    fn shape(&self, version: ApiVersion) -> Shape<'_>;
}

impl Resource for ObjectType {
    const SEGMENT: &'static str = "object-types";
    const SCHEMA: &'static str = "ObjectType";

    fn service(registry: &Registry) -> &Service<Self> {
        &registry.object_types
    }

    fn shape(&self, version: ApiVersion) -> Shape<'_> {
        Shape::object_type(self, version)
    }
}

impl Resource for LinkType {
    const SEGMENT: &'static str = "link-types";
    const SCHEMA: &'static str = "LinkType";

    fn service(registry: &Registry) -> &Service<Self> {
        &registry.link_types
    }

    fn shape(&self, _: ApiVersion) -> Shape<'_> {
        Shape::link_type(self)
    }
}

/// A type as an answer shows it.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Shape<'a> {
    Trimmed(TrimmedObjectType<'a>),
    ObjectType(ObjectTypeView<'a>),
    LinkType(LinkTypeView<'a>),
}

/// An object type in version 1 of the API (specification 16.3).
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = ObjectTypeV1)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TrimmedObjectType<'a> {
    /// Its identity.
    id: Uuid,
    /// Unique among the live types of its kind, compared without case.
    name: &'a str,
    /// For people.
    display_name: &'a str,
    /// In the order they were given.
    properties: Vec<PropertyView<'a>>,
}

impl<'a> Shape<'a> {
    pub(crate) fn object_type(object_type: &'a ObjectType, version: ApiVersion) -> Self {
        match version {
            ApiVersion::V2 => Self::ObjectType(object_type.view()),
            ApiVersion::V1 => {
                let definition = &object_type.definition;
                Self::Trimmed(TrimmedObjectType {
                    id: object_type.id.0,
                    name: definition.name.as_str(),
                    display_name: &definition.display_name,
                    properties: definition.property_views(),
                })
            }
        }
    }

    pub(crate) fn link_type(link_type: &'a LinkType) -> Self {
        Self::LinkType(link_type.view())
    }
}

/// The cursor after the last item that an answer has room for.
pub(crate) fn next_cursor<T>(page: &Page<T>, kept: usize) -> Option<&str> {
    if kept == page.items.len() {
        return page.next_cursor();
    }
    page.cursors.get(kept.checked_sub(1)?).map(String::as_str)
}

/// Marks an answer with the version it shows.
fn tag(response: &mut axum::response::Response, version: i32) {
    response.headers_mut().insert(header::ETAG, etag(version));
}

/// Where a type is found.
fn location<R: Resource>(id: Uuid) -> Option<HeaderValue> {
    HeaderValue::try_from(format!("/api/v1/{}/{id}", R::SEGMENT)).ok()
}

/// `objectTypeId` or `linkTypeId`.
fn id_field(kind: Kind) -> &'static str {
    match kind {
        Kind::ObjectType => "objectTypeId",
        Kind::LinkType => "linkTypeId",
    }
}
