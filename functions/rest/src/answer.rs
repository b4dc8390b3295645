//! Answers: JSON written once into one buffer, and cut before it grows over the limit (Lambda stops answers at 6 MB).

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use oms_core::error::Error;
use oms_edge::ApiError;
use serde::Serialize;
use serde_json::{Value, json};

use crate::call::Call;

/// A JSON answer.
pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Result<Response, ApiError> {
    let bytes = serde_json::to_vec(value).map_err(Error::internal)?;
    Ok(body(status, bytes))
}

/// An answer of bytes that are JSON already.
pub(crate) fn body(status: StatusCode, bytes: Vec<u8>) -> Response {
    let mut response = (status, Body::from(bytes)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.append(header::VARY, HeaderValue::from_static("x-api-version"));
    response
}

/// The room that is left for what stands around the items, in bytes.
const AROUND: usize = 1_024;

/// Items written one by one until the limit.
pub(crate) struct Items {
    bytes: Vec<u8>,
    limit: usize,
    kept: usize,
}

impl Items {
    /// Starts `{"data":[`.
    pub(crate) fn new(limit: usize) -> Self {
        Self { bytes: br#"{"data":["#.to_vec(), limit, kept: 0 }
    }

    /// Writes one more; false, and nothing is written, when it would go over the limit. The first one always fits.
    pub(crate) fn push(&mut self, item: &impl Serialize) -> Result<bool, Error> {
        let before = self.bytes.len();
        if self.kept > 0 {
            self.bytes.push(b',');
        }
        serde_json::to_writer(&mut self.bytes, item).map_err(Error::internal)?;
        if self.kept > 0 && self.bytes.len() + AROUND > self.limit {
            self.bytes.truncate(before);
            return Ok(false);
        }
        self.kept += 1;
        Ok(true)
    }

    /// The same for an item that may be too large even alone: then its short form takes its place.
    pub(crate) fn push_or<T: Serialize>(&mut self, item: &T, short: impl FnOnce() -> T) -> Result<bool, Error> {
        let before = self.bytes.len();
        let pushed = self.push(item)?;
        if self.kept == 1 && pushed && self.bytes.len() + AROUND > self.limit {
            self.bytes.truncate(before);
            self.kept = 0;
            return self.push(&short());
        }
        Ok(pushed)
    }

    /// How many were written.
    pub(crate) fn kept(&self) -> usize {
        self.kept
    }

    /// Ends the list without a page.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.bytes.extend_from_slice(b"]}");
        self.bytes
    }

    /// Ends the list with its page: the cursor of the next one, and the count if it was asked for.
    pub(crate) fn finish_page(self, call: &Call, next: Option<&str>, total: Option<i64>) -> Result<Response, ApiError> {
        let mut page = json!({ "nextCursor": next });
        if let (Some(total), Some(page)) = (total, page.as_object_mut()) {
            page.insert("totalCount".to_owned(), json!(total));
        }
        self.finish_with(&page, next.map(|next| call.with("cursor", next)))
    }

    /// Ends the list with what is said of the page, and with the path of the next one, if there is one.
    pub(crate) fn finish_with(mut self, page: &Value, next: Option<String>) -> Result<Response, ApiError> {
        self.bytes.extend_from_slice(br#"],"page":"#);
        serde_json::to_writer(&mut self.bytes, page).map_err(Error::internal)?;
        self.bytes.push(b'}');
        let mut response = body(StatusCode::OK, self.bytes);
        if let Some(link) = next.and_then(|next| HeaderValue::try_from(format!("<{next}>; rel=\"next\"")).ok()) {
            response.headers_mut().insert(header::LINK, link);
        }
        Ok(response)
    }
}
