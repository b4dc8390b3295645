//! Search over names, display names, descriptions, property names and tags of both kinds of types.

mod repository;
#[cfg(test)]
mod tests;
mod words;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub(crate) use words::document_words;

use crate::{
    cache::Cache,
    context::{Context, Permission},
    entity::listing::MAX_CACHED_PAGE,
    error::{Error, Kind, Result},
    fault::FaultKind,
    input::{check_text, parameter},
    link_type::LinkType,
    object_type::ObjectType,
    postgres::Database,
};

/// The most results of one search.
pub const MAX_RESULTS: u32 = 100;
/// Results when a client names no number.
pub const DEFAULT_RESULTS: u32 = 10;

/// A search.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SearchQuery<'a> {
    /// What people type: 1 to 200 characters.
    pub text: &'a str,
    /// Only this kind; none for both.
    pub kind: Option<Kind>,
    /// The most results, 1 to 100.
    pub limit: u32,
}

/// A type that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Hit {
    /// How well it fits; only comparable within one answer.
    pub score: f32,
    /// What was found.
    pub found: Found,
}

/// What a search finds.
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    /// An object type.
    ObjectType(Box<ObjectType>),
    /// A link type.
    LinkType(Box<LinkType>),
}

/// The use case of searching.
#[derive(Debug, Clone)]
pub struct Search {
    db: Database,
    cache: Cache,
}

#[derive(Serialize, Deserialize)]
struct CachedHit {
    kind: Kind,
    score: f32,
    document: String,
}

impl Search {
    pub(crate) fn new(db: Database, cache: Cache) -> Self {
        Self { db, cache }
    }

    /// The best results first: an exact name, then full text by weight. What is spelled alike fills up the answer where nothing has
    /// exactly that name.
    pub async fn search(&self, context: &Context, query: SearchQuery<'_>) -> Result<Vec<Hit>> {
        if query.kind != Some(Kind::LinkType) {
            context.require(Permission::ObjectTypeRead)?;
        }
        if query.kind != Some(Kind::ObjectType) {
            context.require(Permission::LinkTypeRead)?;
        }
        check_text(query.text, 1, 200).map_err(|kind| parameter("q", kind))?;
        if !(1..=MAX_RESULTS).contains(&query.limit) {
            return Err(parameter("limit", FaultKind::Malformed { expected: "a whole number from 1 to 100" }));
        }
        let Some(words) = words::query_words(query.text) else { return Ok(Vec::new()) };

        // The words too: they are cut at capitals, which the plain text has no longer.
        let hash = Sha256::digest(format!("{:?}", (query.kind, &words.tsquery, &words.plain)));
        let hash: String = hash[..16].iter().map(|b| format!("{b:02x}")).collect();
        let key_type = match query.kind {
            Some(Kind::ObjectType) => "object_types:search",
            Some(Kind::LinkType) => "link_types:search",
            None => "types:search",
        };
        let key = format!("{hash}:{}", query.limit);
        let (found, slot) = self.cache.page(&context.tenant, key_type, &key).await;
        let hits = match found.and_then(|text| serde_json::from_str::<Vec<CachedHit>>(&text).ok()) {
            Some(hits) => hits,
            None => {
                let rows = repository::search(&self.db, &context.tenant, &words, query.kind, query.limit).await?;
                let hits: Vec<CachedHit> = rows
                    .into_iter()
                    .map(|row| CachedHit {
                        kind: if row.kind == Kind::LinkType.as_str() { Kind::LinkType } else { Kind::ObjectType },
                        score: row.score,
                        document: row.document,
                    })
                    .collect();
                let text = serde_json::to_string(&hits).map_err(Error::internal)?;
                if text.len() <= MAX_CACHED_PAGE {
                    self.cache.keep_page(slot, &text).await;
                }
                hits
            }
        };
        hits.into_iter().map(hit).collect()
    }
}

fn hit(hit: CachedHit) -> Result<Hit> {
    let malformed = |error: serde_json::Error| Error::internal(format_args!("malformed search result: {error}"));
    let found = match hit.kind {
        Kind::ObjectType => Found::ObjectType(Box::new(serde_json::from_str(&hit.document).map_err(malformed)?)),
        Kind::LinkType => Found::LinkType(Box::new(serde_json::from_str(&hit.document).map_err(malformed)?)),
    };
    Ok(Hit { score: hit.score, found })
}
