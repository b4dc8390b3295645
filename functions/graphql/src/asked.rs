//! What every field knows of its request: who asks, in which language, and how to say what went wrong.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use async_graphql::{Context, Error as FieldError, ErrorExtensionValues, ServerError, Value};
use oms_core::{
    Registry,
    context::Context as Caller,
    error::Error,
    fault::{Fault, Location},
    idempotency::IdempotencyKey,
    link_type::LinkType,
    object_type::ObjectType,
};
use oms_edge::{ApiError, Cause, Edge, Locale, RequestInfo, codes};

use crate::{
    drive::Batches,
    limits::Costs,
    loaders::{Batched, Kind, batched},
    refusal::Refusal,
};

/// The request that a field belongs to.
pub(crate) struct Asked {
    pub(crate) registry: Arc<Registry>,
    pub(crate) caller: Arc<Caller>,
    pub(crate) info: RequestInfo,
    pub(crate) object_types: Batched<ObjectType>,
    pub(crate) link_types: Batched<LinkType>,
    pub(crate) costs: Costs,
    /// The idempotency key, and the hash of the request that it is bound to.
    idempotency: Option<(String, [u8; 32])>,
    /// How many bytes of values an answer still has room for; all bits set when there were more.
    room: AtomicUsize,
    /// Whether the document was valid, so that the answer has data.
    started: AtomicBool,
    /// Internal causes that were logged already: a batch fails for each of its fields.
    logged: Mutex<Vec<String>>,
}

/// Marks an answer that a value had no room in.
const FULL: usize = usize::MAX;

/// Where the faults of a use case stand in the arguments of its field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Arguments of their own name: `/instances/0`.
    Arguments,
    /// The argument `input`: `/input/name`.
    Input,
    /// The argument `inputs`, a list: `/inputs/0/name`.
    Inputs,
}

impl Asked {
    pub(crate) fn new(
        edge: &Edge,
        caller: Caller,
        info: RequestInfo,
        idempotency: Option<(String, [u8; 32])>,
        costs: Costs,
        batches: &Batches,
    ) -> Self {
        let (caller, registry) = (Arc::new(caller), &edge.registry);
        Self {
            object_types: batched(registry, &caller, batches),
            link_types: batched(registry, &caller, batches),
            registry: registry.clone(),
            room: AtomicUsize::new(edge.config.max_response_bytes),
            costs,
            caller,
            info,
            idempotency,
            started: AtomicBool::new(false),
            logged: Mutex::default(),
        }
    }

    /// The request of this field.
    pub(crate) fn of<'a>(context: &Context<'a>) -> &'a Self {
        // Every request is made with one.
        context.data_unchecked::<Arc<Self>>()
    }

    pub(crate) fn locale(&self) -> Locale {
        self.info.locale()
    }

    pub(crate) fn service<E: Kind>(&self) -> &oms_core::entity::Service<E> {
        E::service(&self.registry)
    }

    /// The caller of a write. An idempotency key counts for each mutation field by itself.
    pub(crate) fn writing(&self, context: &Context<'_>) -> Caller {
        let mut caller = Caller::clone(&self.caller);
        caller.idempotency = self.idempotency.as_ref().map(|(key, body_hash)| IdempotencyKey {
            key: key.clone(),
            route: format!("GraphQL {}", context.item.node.response_key().node),
            body_hash: *body_hash,
        });
        caller
    }

    pub(crate) fn start(&self) {
        self.started.store(true, Ordering::Relaxed);
    }

    pub(crate) fn started(&self) -> bool {
        self.started.load(Ordering::Relaxed)
    }

    /// What a client is told of a failed field: code, words, every fault with its place; of internal causes nothing.
    pub(crate) fn explain(&self, error: Error, place: Place) -> FieldError {
        let error = ApiError::from(located(error, place));
        let code = error.code().as_str();
        if let Some(cause) = error.internal_cause() {
            self.log(cause, code);
        }
        let mut extensions = self.extensions(code, codes::row(error.code()).graphql);
        let entries = error.entries(self.locale());
        if let Some(list) = serde_json::to_value(&entries).ok().filter(|_| !entries.is_empty())
            && let Ok(list) = Value::from_json(list)
        {
            extensions.set("errors", list);
        }
        if let Cause::Core(Error::VersionConflict { actual, .. }) = error.cause() {
            extensions.set("currentVersion", *actual);
        }
        FieldError { message: error.detail(self.locale()), source: None, extensions: Some(extensions) }
    }

    /// Gives an error of the library what each of ours has.
    pub(crate) fn complete(&self, error: &mut ServerError) {
        if error.extensions.as_ref().is_some_and(|extensions| extensions.get("code").is_some()) {
            return;
        }
        if self.started() {
            error.extensions = Some(self.extensions("INVALID_REQUEST", "BAD_REQUEST"));
        } else {
            let (message, at) = (std::mem::take(&mut error.message), std::mem::take(&mut error.locations));
            *error = Refusal::Validation { message, at }.to_error(self.locale(), self.info.correlation_id());
        }
    }

    /// Makes a value part of the answer, if there is room for so many bytes.
    pub(crate) fn fits(&self, bytes: usize) -> bool {
        let left = |room: usize| Some(if room == FULL { FULL } else { room.checked_sub(bytes).unwrap_or(FULL) });
        let before = self.room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, left);
        before.is_ok_and(|room| room != FULL && room >= bytes)
    }

    /// Whether a value had no room.
    pub(crate) fn is_full(&self) -> bool {
        self.room.load(Ordering::Relaxed) == FULL
    }

    fn extensions(&self, code: &str, classification: &str) -> ErrorExtensionValues {
        let mut extensions = ErrorExtensionValues::default();
        extensions.set("code", code);
        extensions.set("classification", classification);
        extensions.set("correlationId", self.info.correlation_id());
        extensions
    }

    fn log(&self, cause: &str, code: &str) {
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        if !logged.iter().any(|known| known == cause) {
            tracing::error!(cause, code, correlation_id = self.info.correlation_id(), "a field failed");
            logged.push(cause.to_owned());
        }
    }
}

/// Moves the places of faults to the arguments of the field.
fn located(error: Error, place: Place) -> Error {
    let Error::Invalid { aggregate, faults } = error else { return error };
    let moved = faults.into_iter().map(|fault| Fault { location: moved(fault.location, place), ..fault });
    Error::Invalid { aggregate, faults: moved.collect() }
}

fn moved(location: Location, place: Place) -> Location {
    match location {
        Location::Pointer(pointer) => Location::Pointer(match place {
            Place::Arguments => pointer,
            Place::Input => format!("/input{pointer}"),
            Place::Inputs => format!("/inputs{}", pointer.strip_prefix("/items").unwrap_or(&pointer)),
        }),
        Location::Parameter(name) => Location::Pointer(match name.as_ref() {
            "cursor" => "/pagination/after".to_owned(),
            "q" => "/query".to_owned(),
            other => format!("/{other}"),
        }),
        header @ Location::Header(_) => header,
    }
}
