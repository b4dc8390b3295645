//! Versions: what both services ask and answer alike.

use oms_core::{
    entity::{Service, Store},
    error::{Code, Error},
    input::Faults,
    name::TypeKey,
    page::{DEFAULT_LIMIT, MAX_LIMIT},
    version::{Comparison, Version},
};
use oms_proto::server::v1 as pb;

use crate::{
    call::{Call, page_size, some, version},
    list::{Shown, shown},
    message,
};

/// A page of versions.
pub(crate) async fn list<E: Store>(
    service: &Service<E>,
    call: &Call,
    key: Result<TypeKey, Error>,
    (size, token): (i32, &str),
    max_bytes: usize,
) -> Result<Shown<pb::VersionInfo>, Error> {
    let mut faults = Faults::default();
    let limit = page_size(size, DEFAULT_LIMIT, MAX_LIMIT, &mut faults);
    faults.finish(Code::InvalidRequest)?;
    let page = service.versions(&call.context, &key?, some(token), limit).await?;
    Ok(shown(page, max_bytes, message::version_info))
}

/// One version.
pub(crate) async fn get<E: Store>(
    service: &Service<E>,
    call: &Call,
    key: Result<TypeKey, Error>,
    number: i32,
) -> Result<Version<E>, Error> {
    let mut faults = Faults::default();
    version("version", number, &mut faults);
    faults.finish(Code::InvalidRequest)?;
    service.version(&call.context, &key?, number).await
}

/// Two versions and what changed between them.
pub(crate) async fn compare<E: Store>(
    service: &Service<E>,
    call: &Call,
    key: Result<TypeKey, Error>,
    (from, to): (i32, i32),
) -> Result<Comparison<E>, Error> {
    let mut faults = Faults::default();
    version("from_version", from, &mut faults);
    version("to_version", to, &mut faults);
    faults.finish(Code::InvalidRequest)?;
    service.compare(&call.context, &key?, from, to).await
}
