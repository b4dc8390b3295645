//! GraphiQL, a page to write queries in, for developers. It is embedded and works without the internet; how it is made says
//! `graphiql/build.mjs`.

use axum::{
    body::Body,
    extract::Request,
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, Method, header};

static PAGE: &[u8] = include_bytes!("../graphiql/graphiql.html.gz");

/// Answers a browser that looks at the endpoint with the page. It needs no token; its queries do.
pub(crate) async fn show(request: Request, next: Next) -> Response {
    let accepts_html = request
        .headers()
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"));
    if request.method() != Method::GET || !accepts_html || request.uri().query().is_some() {
        return next.run(request).await;
    }
    let mut response = Body::from(PAGE).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    // Every browser takes it.
    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    headers.insert(header::VARY, HeaderValue::from_static("accept"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    response
}
