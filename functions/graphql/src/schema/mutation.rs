//! What can be changed. Each mutation is one statement; several in one request are carried out one after the other.

use async_graphql::{Context, ID, Object, Result};
use oms_core::{link_type, object_type};

use super::{
    input::{CreateLinkTypeInput, CreateObjectTypeInput, UpdateLinkTypeInput, UpdateObjectTypeInput},
    kind,
    link_type::LinkType,
    object_type::ObjectType,
    page::cost_of,
};

type ObjectTypeEntity = object_type::ObjectType;
type LinkTypeEntity = link_type::LinkType;

pub(crate) struct Mutation;

/// What can be changed. With `expectedVersion`, only that version is changed: whoever comes second is told VERSION_CONFLICT.
#[Object]
impl Mutation {
    /// Creates an object type.
    async fn create_object_type(&self, context: &Context<'_>, input: CreateObjectTypeInput) -> Result<ObjectType> {
        kind::create::<ObjectTypeEntity>(context, input).await.map(ObjectType)
    }

    /// Creates up to 1,000 object types, all or none. They may refer to each other by name.
    #[graphql(complexity = "cost_of(inputs.len(), child_complexity)")]
    async fn create_object_types(
        &self,
        context: &Context<'_>,
        inputs: Vec<CreateObjectTypeInput>,
    ) -> Result<Vec<ObjectType>> {
        let created = kind::create_all::<ObjectTypeEntity>(context, inputs).await?;
        Ok(created.into_iter().map(|created| ObjectType(created.into())).collect())
    }

    /// Changes an object type.
    async fn update_object_type(
        &self,
        context: &Context<'_>,
        id: ID,
        input: UpdateObjectTypeInput,
        expected_version: Option<i32>,
    ) -> Result<ObjectType> {
        kind::update::<ObjectTypeEntity>(context, &id, input, expected_version).await.map(ObjectType)
    }

    /// Deletes an object type; one in use is refused, unless only links use it and `cascade` lets them go with it.
    async fn delete_object_type(
        &self,
        context: &Context<'_>,
        id: ID,
        expected_version: Option<i32>,
        #[graphql(default = false)] cascade: bool,
    ) -> Result<bool> {
        kind::delete::<ObjectTypeEntity>(context, &id, expected_version, cascade).await
    }

    /// Brings a deleted object type back as it was.
    async fn restore_object_type(
        &self,
        context: &Context<'_>,
        id: ID,
        expected_version: Option<i32>,
    ) -> Result<ObjectType> {
        kind::restore::<ObjectTypeEntity>(context, &id, expected_version).await.map(ObjectType)
    }

    /// Creates a link type.
    async fn create_link_type(&self, context: &Context<'_>, input: CreateLinkTypeInput) -> Result<LinkType> {
        kind::create::<LinkTypeEntity>(context, input).await.map(LinkType)
    }

    /// Creates up to 1,000 link types, all or none.
    #[graphql(complexity = "cost_of(inputs.len(), child_complexity)")]
    async fn create_link_types(
        &self,
        context: &Context<'_>,
        inputs: Vec<CreateLinkTypeInput>,
    ) -> Result<Vec<LinkType>> {
        let created = kind::create_all::<LinkTypeEntity>(context, inputs).await?;
        Ok(created.into_iter().map(|created| LinkType(created.into())).collect())
    }

    /// Changes a link type.
    async fn update_link_type(
        &self,
        context: &Context<'_>,
        id: ID,
        input: UpdateLinkTypeInput,
        expected_version: Option<i32>,
    ) -> Result<LinkType> {
        kind::update::<LinkTypeEntity>(context, &id, input, expected_version).await.map(LinkType)
    }

    /// Deletes a link type.
    async fn delete_link_type(&self, context: &Context<'_>, id: ID, expected_version: Option<i32>) -> Result<bool> {
        kind::delete::<LinkTypeEntity>(context, &id, expected_version, false).await
    }

    /// Brings a deleted link type back as it was.
    async fn restore_link_type(
        &self,
        context: &Context<'_>,
        id: ID,
        expected_version: Option<i32>,
    ) -> Result<LinkType> {
        kind::restore::<LinkTypeEntity>(context, &id, expected_version).await.map(LinkType)
    }
}
