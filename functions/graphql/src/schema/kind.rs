//! The use cases that both kinds of types have, as fields call them.

use std::sync::Arc;

use async_graphql::{Context, ID, Json, Result};
use oms_core::{
    entity::{Filter, ListQuery},
    error::Error,
    name::TypeKey,
    page::{Page, Sort},
    search::{Found, SearchQuery},
    version::{Comparison, Version, VersionInfo},
};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::{
    filter::SortInput,
    page::{PaginationInput, Wanted},
    validation::{ValidationResult, results},
};
use crate::{
    asked::{Asked, Place},
    loaders::{Batched, Kind, shared},
};

/// A type that a mutation names: what can be neither an id nor a name names none.
fn key<E: Kind>(id: &ID) -> Result<TypeKey, Error> {
    TypeKey::parse(id).map_err(|_| Error::NotFound { code: E::NOT_FOUND, key: shortened(id) })
}

fn shortened(text: &str) -> String {
    text.chars().take(100).collect()
}

/// Null for what is not there.
fn absent<T>(error: Error) -> Result<Option<T>, Error> {
    match error {
        Error::NotFound { .. } => Ok(None),
        other => Err(other),
    }
}

pub(super) async fn get<E: Kind>(asked: &Asked, batched: &Batched<E>, id: &str) -> Result<Option<Arc<E>>> {
    match TypeKey::parse(id) {
        Ok(key) => batched.load_one(key).await.map_err(|error| asked.explain(error, Place::Arguments)),
        // A caller without the right is told so, whatever the name.
        Err(_) => match asked.caller.require(E::RIGHTS.read) {
            Ok(()) => Ok(None),
            Err(error) => Err(asked.explain(error, Place::Arguments)),
        },
    }
}

pub(super) async fn list<E: Kind>(
    context: &Context<'_>,
    count: bool,
    filter: Result<Filter, Error>,
    sort: Option<SortInput>,
    pagination: Option<PaginationInput>,
) -> Result<Page<Arc<E>>> {
    let asked = Asked::of(context);
    let list = async {
        let Wanted { limit, after } = Wanted::new(pagination)?;
        let sort = sort.map(Sort::from).unwrap_or_default();
        let list = ListQuery { filter: filter?, sort, cursor: after, limit, count };
        asked.service::<E>().list(&asked.caller, &list).await
    };
    list.await.map(shared).map_err(|error| asked.explain(error, Place::Arguments))
}

pub(super) async fn search<E: Kind>(context: &Context<'_>, text: &str, limit: Option<i32>) -> Result<Vec<Found>> {
    let asked = Asked::of(context);
    // No number below one is one that a search takes.
    let limit = limit.map_or(oms_core::search::DEFAULT_RESULTS, |limit| u32::try_from(limit).unwrap_or_default());
    let query = SearchQuery { text, kind: Some(E::KIND), limit };
    let hits = asked.registry.search.search(&asked.caller, query).await;
    let hits = hits.map_err(|error| asked.explain(error, Place::Arguments))?;
    Ok(hits.into_iter().map(|hit| hit.found).collect())
}

pub(super) async fn version<E: Kind>(context: &Context<'_>, id: &ID, version: i32) -> Result<Option<Version<E>>> {
    let asked = Asked::of(context);
    let read = async { asked.service::<E>().version(&asked.caller, &key::<E>(id)?, version).await };
    read.await.map(Some).or_else(absent).map_err(|error| asked.explain(error, Place::Arguments))
}

/// The id of a type and a page of its versions.
pub(super) async fn versions<E: Kind>(
    context: &Context<'_>,
    batched: &Batched<E>,
    id: &ID,
    pagination: Option<PaginationInput>,
) -> Result<(Uuid, Page<VersionInfo>)> {
    let asked = Asked::of(context);
    let read = async {
        let Wanted { limit, after } = Wanted::new(pagination)?;
        let id = match key::<E>(id)? {
            TypeKey::Id(id) => id,
            // Only a live type has a name.
            named @ TypeKey::Name(_) => {
                let not_found = Error::NotFound { code: E::NOT_FOUND, key: named.to_string() };
                batched.load_one(named).await?.ok_or(not_found)?.id()
            }
        };
        let key = TypeKey::Id(id);
        asked.service::<E>().versions(&asked.caller, &key, after.as_deref(), limit).await.map(|page| (id, page))
    };
    read.await.map_err(|error| asked.explain(error, Place::Arguments))
}

pub(super) async fn compare<E: Kind>(context: &Context<'_>, id: &ID, from: i32, to: i32) -> Result<Comparison<E>> {
    let asked = Asked::of(context);
    let compare = async { asked.service::<E>().compare(&asked.caller, &key::<E>(id)?, from, to).await };
    compare.await.map_err(|error| asked.explain(error, Place::Arguments))
}

pub(super) async fn validate<E: Kind>(
    context: &Context<'_>,
    id: &ID,
    version: Option<i32>,
    instances: Vec<Json<Value>>,
) -> Result<Vec<ValidationResult>> {
    let asked = Asked::of(context);
    let instances = instances.into_iter().map(|Json(instance)| instance).collect();
    let validate = async { asked.service::<E>().validate(&asked.caller, &key::<E>(id)?, version, instances).await };
    let verdicts = validate.await.map_err(|error| asked.explain(error, Place::Arguments))?;
    Ok(results(verdicts, asked.locale()))
}

/// The verdict on the only instance.
pub(super) fn only(context: &Context<'_>, results: Vec<ValidationResult>) -> Result<ValidationResult> {
    let missing = || Asked::of(context).explain(Error::internal("a verdict is missing"), Place::Arguments);
    results.into_iter().next().ok_or_else(missing)
}

fn json(input: impl Serialize) -> Result<Value, Error> {
    serde_json::to_value(input).map_err(Error::internal)
}

pub(super) async fn create<E: Kind>(context: &Context<'_>, input: impl Serialize + Send) -> Result<Arc<E>> {
    let asked = Asked::of(context);
    let create = async { asked.service::<E>().create(&asked.writing(context), &json(input)?).await };
    create.await.map(Arc::new).map_err(|error| asked.explain(error, Place::Input))
}

pub(super) async fn create_all<E: Kind>(context: &Context<'_>, inputs: Vec<impl Serialize + Send>) -> Result<Vec<E>> {
    let asked = Asked::of(context);
    let create = async {
        let inputs = inputs.into_iter().map(json).collect::<Result<Vec<_>, _>>()?;
        asked.service::<E>().create_batch(&asked.writing(context), &inputs).await
    };
    create.await.map_err(|error| asked.explain(error, Place::Inputs))
}

pub(super) async fn update<E: Kind>(
    context: &Context<'_>,
    id: &ID,
    input: impl Serialize + Send,
    expected: Option<i32>,
) -> Result<Arc<E>> {
    let asked = Asked::of(context);
    let update =
        async { asked.service::<E>().update(&asked.writing(context), &key::<E>(id)?, &json(input)?, expected).await };
    update.await.map(Arc::new).map_err(|error| asked.explain(error, Place::Input))
}

pub(super) async fn delete<E: Kind>(
    context: &Context<'_>,
    id: &ID,
    expected: Option<i32>,
    cascade: bool,
) -> Result<bool> {
    let asked = Asked::of(context);
    let delete =
        async { asked.service::<E>().delete(&asked.writing(context), &key::<E>(id)?, expected, cascade).await };
    delete.await.map(|_| true).map_err(|error| asked.explain(error, Place::Arguments))
}

pub(super) async fn restore<E: Kind>(context: &Context<'_>, id: &ID, expected: Option<i32>) -> Result<Arc<E>> {
    let asked = Asked::of(context);
    let restore = async { asked.service::<E>().restore(&asked.writing(context), &key::<E>(id)?, expected).await };
    restore.await.map(Arc::new).map_err(|error| asked.explain(error, Place::Arguments))
}

/// What a search found that is of another kind than was asked for.
pub(super) fn odd(context: &Context<'_>) -> async_graphql::Error {
    Asked::of(context).explain(Error::internal("a search found a type of another kind"), Place::Arguments)
}
