//! Link types in the schema.

use async_graphql::{Context, ID, Result};
use oms_core::{
    entity::{Filter, ListQuery},
    id::ObjectTypeId,
    link_type::End,
    name::TypeKey,
};

use super::{
    object_type::ObjectType,
    page::{CountedConnection, PaginationInput, Wanted},
    scalar::Cardinality,
    shown::shown_type,
};
use crate::{
    asked::{Asked, Place},
    loaders::{FirstLinks, shared},
};

shown_type! {
    /// A link type: a relation between two object types.
    LinkType of oms_core::link_type::LinkType as link_types
    links {}
    own {
        /// How many objects may stand on each side.
        async fn cardinality(&self) -> Cardinality {
            self.0.ends.cardinality.into()
        }

        /// The id of the object type where links start.
        async fn source_object_type_id(&self) -> ID {
            ID(self.0.ends.source.id.to_string())
        }

        /// The id of the object type where links end.
        async fn target_object_type_id(&self) -> ID {
            ID(self.0.ends.target.id.to_string())
        }

        /// The object type where links start; null in a snapshot, when it was deleted since.
        async fn source(&self, context: &Context<'_>) -> Result<Option<ObjectType>> {
            ObjectType::by_key(Asked::of(context), TypeKey::Id(self.0.ends.source.id.0)).await
        }

        /// The object type where links end, may be the source itself; null in a snapshot, when it was deleted since.
        async fn target(&self, context: &Context<'_>) -> Result<Option<ObjectType>> {
            ObjectType::by_key(Asked::of(context), TypeKey::Id(self.0.ends.target.id.0)).await
        }
    }
    /// A version of a link type.
    LinkTypeVersion,
    /// Two versions of a link type, and what changed from the one to the other.
    LinkTypeVersionComparison by link_type_id
}

/// A page of the link types at one end of an object type. First pages are read together, a later one by itself: its cursor
/// belongs to one object type only.
pub(super) async fn at_end(
    context: &Context<'_>,
    object_type: ObjectTypeId,
    end: End,
    pagination: Option<PaginationInput>,
) -> Result<CountedConnection<LinkType>> {
    let asked = Asked::of(context);
    let explain = |error| asked.explain(error, Place::Arguments);
    let Wanted { limit, after } = Wanted::new(pagination).map_err(explain)?;
    let count = CountedConnection::<LinkType>::counts(context);
    if after.is_none() {
        let key = FirstLinks { object_type: object_type.0, end, limit, count };
        let page = asked.link_types.load_one(key).await.map_err(explain)?.unwrap_or_default();
        return Ok(CountedConnection::new(&page, LinkType));
    }
    let key = Some(TypeKey::Id(object_type.0));
    let filter = match end {
        End::Source => Filter { source: key, ..Filter::default() },
        End::Target => Filter { target: key, ..Filter::default() },
    };
    let list = ListQuery { filter, cursor: after, limit, count, ..ListQuery::default() };
    let page = asked.registry.link_types.list(&asked.caller, &list).await.map_err(explain)?;
    Ok(CountedConnection::new(&shared(page), LinkType))
}
