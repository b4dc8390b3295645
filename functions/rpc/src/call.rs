//! What every method knows of its call: who asks, in which language; and how it fails.

use connectrpc::{ConnectError, RequestContext, Response, ServiceResult};
use oms_core::{
    context::Context,
    error::{Code, Error},
    fault::{Fault, FaultKind},
    input::{Faults, parameter},
    name::{TypeKey, TypeName},
};
use oms_edge::{ApiError, Locale, RequestInfo};
use uuid::Uuid;

use crate::failure::Failed;

/// A call.
pub(crate) struct Call {
    pub(crate) context: Context,
    pub(crate) info: RequestInfo,
    failed: Failed,
}

impl Call {
    /// The caller that authentication left.
    pub(crate) fn of(context: &RequestContext) -> Result<Self, ConnectError> {
        let of = context.extensions();
        match (of.get::<Context>(), of.get::<RequestInfo>(), of.get::<Failed>()) {
            (Some(context), Some(info), Some(failed)) => {
                Ok(Self { context: context.clone(), info: info.clone(), failed: failed.clone() })
            }
            _ => Err(ConnectError::internal("the method is not behind authentication")),
        }
    }

    /// The language of the answer.
    pub(crate) fn locale(&self) -> Locale {
        self.info.locale()
    }

    /// A method's answer.
    pub(crate) fn answer<T>(&self, result: Result<T, Error>) -> ServiceResult<T> {
        result.map(Response::new).map_err(|error| self.failed.leave(ApiError::from(error)))
    }
}

/// The type that a request names. What can't be a name names none.
pub(crate) fn key(id: Option<&str>, name: Option<&str>, not_found: Code) -> Result<TypeKey, Error> {
    match (id, name) {
        (Some(id), _) => Uuid::try_parse(id)
            .map(TypeKey::Id)
            .map_err(|_| parameter("id", FaultKind::Malformed { expected: "a UUID" })),
        (None, Some(name)) => name
            .parse::<TypeName>()
            .map(TypeKey::Name)
            .map_err(|_| Error::NotFound { code: not_found, key: name.to_owned() }),
        (None, None) => Err(parameter("id", FaultKind::Required)),
    }
}

/// A version number that must be there.
pub(crate) fn version(field: &'static str, number: i32, faults: &mut Faults) {
    if number < 1 {
        faults.add(Fault::of_parameter(field, FaultKind::Malformed { expected: "a version number, from 1" }));
    }
}

/// The size of a page: 0 is the default.
pub(crate) fn page_size(size: i32, default: u32, max: u32, faults: &mut Faults) -> u32 {
    match u32::try_from(size) {
        Ok(0) => default,
        Ok(size) if size <= max => size,
        _ => {
            let kind = FaultKind::Malformed { expected: "a whole number from 1 to 200, or 0 for the default" };
            faults.add(Fault::of_parameter("page_size", kind));
            default
        }
    }
}

/// Text that is there.
pub(crate) fn some(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}
