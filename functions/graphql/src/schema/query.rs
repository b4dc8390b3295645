//! What can be read.

use async_graphql::{Context, ID, Json, Object, Result};
use oms_core::{link_type, object_type, search::Found};
use serde_json::Value;

use super::{
    audit::{AuditLog, AuditLogFilter},
    filter::{LinkTypeFilter, ObjectTypeFilter, SortInput},
    kind::{self, only},
    link_type::{LinkType, LinkTypeVersion, LinkTypeVersionComparison},
    object_type::{ObjectType, ObjectTypeVersion, VersionComparison},
    page::{Connection, CountedConnection, PaginationInput, Wanted, cost, cost_of},
    validation::ValidationResult,
};
use crate::asked::{Asked, Place};

type ObjectTypeEntity = object_type::ObjectType;
type LinkTypeEntity = link_type::LinkType;

/// What a search with its default costs when nothing else is said.
fn search_cost(limit: Option<i32>, child: usize) -> usize {
    let most = usize::try_from(limit.unwrap_or(10)).unwrap_or(1).clamp(1, 100);
    cost_of(most, child)
}

pub(crate) struct Query;

/// What can be read.
#[Object]
impl Query {
    /// An object type by its id, or by its name in any case.
    async fn object_type(&self, context: &Context<'_>, id: ID) -> Result<Option<ObjectType>> {
        let asked = Asked::of(context);
        Ok(kind::get(asked, &asked.object_types, &id).await?.map(ObjectType))
    }

    /// An object type by its name in any case.
    async fn object_type_by_name(&self, context: &Context<'_>, name: String) -> Result<Option<ObjectType>> {
        let asked = Asked::of(context);
        Ok(kind::get(asked, &asked.object_types, &name).await?.map(ObjectType))
    }

    /// Object types, page by page.
    #[graphql(complexity = "cost(pagination.as_ref(), child_complexity)")]
    async fn object_types(
        &self,
        context: &Context<'_>,
        filter: Option<ObjectTypeFilter>,
        sort: Option<SortInput>,
        pagination: Option<PaginationInput>,
    ) -> Result<CountedConnection<ObjectType>> {
        let (count, filter) = (CountedConnection::<ObjectType>::counts(context), filter.unwrap_or_default().read());
        Ok(CountedConnection::new(
            &kind::list::<ObjectTypeEntity>(context, count, filter, sort, pagination).await?,
            ObjectType,
        ))
    }

    /// Object types by their names, display names, descriptions, property names and tags; best results first.
    #[graphql(complexity = "search_cost(limit, child_complexity)")]
    async fn search_object_types(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "What to search for, 1 to 200 characters; the last word may be incomplete.")] query: String,
        #[graphql(desc = "The most results, 1 to 100.", default_with = "Some(10)")] limit: Option<i32>,
    ) -> Result<Vec<ObjectType>> {
        let found = kind::search::<ObjectTypeEntity>(context, &query, limit).await?;
        let shown = found.into_iter().map(|found| match found {
            Found::ObjectType(found) => Ok(ObjectType((*found).into())),
            Found::LinkType(_) => Err(kind::odd(context)),
        });
        shown.collect()
    }

    /// One version of an object type; of a deleted one by its id.
    async fn object_type_version(
        &self,
        context: &Context<'_>,
        id: ID,
        version: i32,
    ) -> Result<Option<ObjectTypeVersion>> {
        Ok(kind::version::<ObjectTypeEntity>(context, &id, version).await?.map(Into::into))
    }

    /// The versions of an object type, newest first; of a deleted one by its id.
    #[graphql(complexity = "cost(pagination.as_ref(), child_complexity)")]
    async fn object_type_versions(
        &self,
        context: &Context<'_>,
        id: ID,
        pagination: Option<PaginationInput>,
    ) -> Result<Connection<ObjectTypeVersion>> {
        let (id, page) = kind::versions(context, &Asked::of(context).object_types, &id, pagination).await?;
        Ok(Connection::new(&page, |info| ObjectTypeVersion::listed(id, info)))
    }

    /// What changed between two versions of an object type.
    async fn compare_object_type_versions(
        &self,
        context: &Context<'_>,
        id: ID,
        version1: i32,
        version2: i32,
    ) -> Result<VersionComparison> {
        Ok(kind::compare::<ObjectTypeEntity>(context, &id, version1, version2).await?.into())
    }

    /// Whether an instance is what its object type says, as it is now or was in a version.
    async fn validate_object_instance(
        &self,
        context: &Context<'_>,
        object_type_id: ID,
        instance: Json<Value>,
        version: Option<i32>,
    ) -> Result<ValidationResult> {
        let results = kind::validate::<ObjectTypeEntity>(context, &object_type_id, version, vec![instance]).await?;
        only(context, results)
    }

    /// The same for up to 1,000 instances.
    #[graphql(complexity = "cost_of(instances.len(), child_complexity)")]
    async fn validate_object_instances(
        &self,
        context: &Context<'_>,
        object_type_id: ID,
        instances: Vec<Json<Value>>,
        version: Option<i32>,
    ) -> Result<Vec<ValidationResult>> {
        kind::validate::<ObjectTypeEntity>(context, &object_type_id, version, instances).await
    }

    /// A link type by its id, or by its name in any case.
    async fn link_type(&self, context: &Context<'_>, id: ID) -> Result<Option<LinkType>> {
        let asked = Asked::of(context);
        Ok(kind::get(asked, &asked.link_types, &id).await?.map(LinkType))
    }

    /// A link type by its name in any case.
    async fn link_type_by_name(&self, context: &Context<'_>, name: String) -> Result<Option<LinkType>> {
        let asked = Asked::of(context);
        Ok(kind::get(asked, &asked.link_types, &name).await?.map(LinkType))
    }

    /// Link types, page by page.
    #[graphql(complexity = "cost(pagination.as_ref(), child_complexity)")]
    async fn link_types(
        &self,
        context: &Context<'_>,
        filter: Option<LinkTypeFilter>,
        sort: Option<SortInput>,
        pagination: Option<PaginationInput>,
    ) -> Result<CountedConnection<LinkType>> {
        let (count, filter) = (CountedConnection::<LinkType>::counts(context), filter.unwrap_or_default().read());
        Ok(CountedConnection::new(
            &kind::list::<LinkTypeEntity>(context, count, filter, sort, pagination).await?,
            LinkType,
        ))
    }

    /// Link types by their names, display names, descriptions, property names and tags; best results first.
    #[graphql(complexity = "search_cost(limit, child_complexity)")]
    async fn search_link_types(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "What to search for, 1 to 200 characters; the last word may be incomplete.")] query: String,
        #[graphql(desc = "The most results, 1 to 100.", default_with = "Some(10)")] limit: Option<i32>,
    ) -> Result<Vec<LinkType>> {
        let found = kind::search::<LinkTypeEntity>(context, &query, limit).await?;
        let shown = found.into_iter().map(|found| match found {
            Found::LinkType(found) => Ok(LinkType((*found).into())),
            Found::ObjectType(_) => Err(kind::odd(context)),
        });
        shown.collect()
    }

    /// One version of a link type; of a deleted one by its id.
    async fn link_type_version(&self, context: &Context<'_>, id: ID, version: i32) -> Result<Option<LinkTypeVersion>> {
        Ok(kind::version::<LinkTypeEntity>(context, &id, version).await?.map(Into::into))
    }

    /// The versions of a link type, newest first; of a deleted one by its id.
    #[graphql(complexity = "cost(pagination.as_ref(), child_complexity)")]
    async fn link_type_versions(
        &self,
        context: &Context<'_>,
        id: ID,
        pagination: Option<PaginationInput>,
    ) -> Result<Connection<LinkTypeVersion>> {
        let (id, page) = kind::versions(context, &Asked::of(context).link_types, &id, pagination).await?;
        Ok(Connection::new(&page, |info| LinkTypeVersion::listed(id, info)))
    }

    /// What changed between two versions of a link type.
    async fn compare_link_type_versions(
        &self,
        context: &Context<'_>,
        id: ID,
        version1: i32,
        version2: i32,
    ) -> Result<LinkTypeVersionComparison> {
        Ok(kind::compare::<LinkTypeEntity>(context, &id, version1, version2).await?.into())
    }

    /// Whether the properties of a link are what its link type says, as it is now or was in a version.
    async fn validate_link_instance(
        &self,
        context: &Context<'_>,
        link_type_id: ID,
        instance: Json<Value>,
        version: Option<i32>,
    ) -> Result<ValidationResult> {
        let results = kind::validate::<LinkTypeEntity>(context, &link_type_id, version, vec![instance]).await?;
        only(context, results)
    }

    /// The same for up to 1,000 links.
    #[graphql(complexity = "cost_of(instances.len(), child_complexity)")]
    async fn validate_link_instances(
        &self,
        context: &Context<'_>,
        link_type_id: ID,
        instances: Vec<Json<Value>>,
        version: Option<i32>,
    ) -> Result<Vec<ValidationResult>> {
        kind::validate::<LinkTypeEntity>(context, &link_type_id, version, instances).await
    }

    /// Who did what, newest first. Needs the permission audit:read.
    #[graphql(complexity = "cost(pagination.as_ref(), child_complexity)")]
    async fn audit_logs(
        &self,
        context: &Context<'_>,
        filter: Option<AuditLogFilter>,
        pagination: Option<PaginationInput>,
    ) -> Result<Connection<AuditLog>> {
        let asked = Asked::of(context);
        let read = async {
            let Wanted { limit, after } = Wanted::new(pagination)?;
            let filter = filter.unwrap_or_default().read()?;
            asked.registry.audit.list(&asked.caller, &filter, after.as_deref(), limit).await
        };
        let page = read.await.map_err(|error| asked.explain(error, Place::Arguments))?;
        Ok(Connection::new(&page, |entry| AuditLog(entry.clone())))
    }

    #[graphql(entity)]
    async fn find_object_type_by_id(&self, context: &Context<'_>, id: ID) -> Result<Option<ObjectType>> {
        self.object_type(context, id).await
    }

    #[graphql(entity)]
    async fn find_object_type_by_name(&self, context: &Context<'_>, name: String) -> Result<Option<ObjectType>> {
        self.object_type_by_name(context, name).await
    }

    #[graphql(entity)]
    async fn find_link_type_by_id(&self, context: &Context<'_>, id: ID) -> Result<Option<LinkType>> {
        self.link_type(context, id).await
    }

    #[graphql(entity)]
    async fn find_link_type_by_name(&self, context: &Context<'_>, name: String) -> Result<Option<LinkType>> {
        self.link_type_by_name(context, name).await
    }
}
