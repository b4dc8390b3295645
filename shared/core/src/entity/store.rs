//! What a kind of type brings to the shared use cases: its own SQL.

use std::future::Future;

use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    Entity,
    listing::Columns,
    statement::{Outcome, Statement},
};
use crate::{id::TenantId, name::TypeKey, postgres::Database};

/// SQL of one kind of type. Documents are JSON text, parsed by the service.
pub trait Store: Entity {
    /// What lists and searches select from.
    const COLUMNS: Columns;

    /// The live type.
    fn fetch(
        db: &Database,
        tenant: &TenantId,
        key: &TypeKey,
    ) -> impl Future<Output = sqlx::Result<Option<String>>> + Send;

    /// The live types of these ids and folded names, each once, in any order; none in place of what is too much together
    /// with those before it. The first one never is.
    fn fetch_many(
        db: &Database,
        tenant: &TenantId,
        ids: &[Uuid],
        names: &[String],
    ) -> impl Future<Output = sqlx::Result<Vec<Option<String>>>> + Send;

    /// The type as its last version has it, deleted or not; by name the live one, else the one deleted last.
    fn fetch_latest(
        db: &Database,
        tenant: &TenantId,
        key: &TypeKey,
    ) -> impl Future<Output = sqlx::Result<Option<LatestState>>> + Send;

    /// Writes types and all that a write leaves behind. A row whose expected version is not current is left out of the
    /// answer, and nothing is written for it.
    fn write(
        db: &mut PgConnection,
        statement: &Statement<'_>,
    ) -> impl Future<Output = sqlx::Result<Vec<Outcome>>> + Send;

    /// Those of the folded names that live types have, with their ids.
    fn taken_names(
        db: &Database,
        tenant: &TenantId,
        names: &[String],
    ) -> impl Future<Output = sqlx::Result<Vec<(String, Uuid)>>> + Send;
}

/// The last version of a type.
pub struct LatestState {
    pub version: i32,
    pub is_deleted: bool,
    pub document: String,
}
