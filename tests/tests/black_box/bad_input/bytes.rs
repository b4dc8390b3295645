//! Bodies that are no JSON at all, or too much of it.

use oms_tests::{App, Token, raw};
use reqwest::Method;

use super::{refused, shows_nothing_of_the_database};

#[tokio::test]
async fn what_is_not_json_is_refused() {
    let app = App::start().await;
    let editor = app.client("editor");
    let deep = |depth: usize| format!(r#"{{"metadata":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
    let cases: Vec<(&str, Vec<u8>, &str, &[&str])> = vec![
        ("nothing", b"".to_vec(), "REQUIRED_FIELD_MISSING", &[""]),
        ("half an object", br#"{"name": "#.to_vec(), "MALFORMED_JSON", &[]),
        ("two values", br#"{} {}"#.to_vec(), "MALFORMED_JSON", &[]),
        ("a comma too many", br#"{"name": "A",}"#.to_vec(), "MALFORMED_JSON", &[]),
        ("not a number", br#"{"name": NaN}"#.to_vec(), "MALFORMED_JSON", &[]),
        ("a number out of range", br#"{"metadata": {"n": 1e999}}"#.to_vec(), "MALFORMED_JSON", &[]),
        ("invalid UTF-8", b"{\"name\": \"\xff\xfe\"}".to_vec(), "MALFORMED_JSON", &[]),
        ("half a surrogate pair", br#"{"name": "\ud800"}"#.to_vec(), "MALFORMED_JSON", &[]),
        ("a byte order mark", b"\xef\xbb\xbf{}".to_vec(), "MALFORMED_JSON", &[]),
        ("1,000 levels", deep(1_000).into_bytes(), "TOO_DEEP", &[""]),
        ("100,000 levels", deep(100_000).into_bytes(), "TOO_DEEP", &[""]),
    ];
    for (what, body, code, places) in cases {
        refused(what, editor.call(Method::POST, "object-types").bytes(body), 400, code, places).await;
    }
}

#[tokio::test]
async fn another_media_type_is_refused() {
    let app = App::start().await;
    let editor = app.client("editor");
    for media_type in ["text/plain", "application/x-www-form-urlencoded", "text/json", "application/xml"] {
        let call =
            editor.call(Method::POST, "object-types").json(&serde_json::json!({})).header("content-type", media_type);
        let answer = call.send().await;
        // Two content types are not one JSON body, either.
        assert!([400, 415].contains(&answer.status), "{media_type}: {} {}", answer.status, answer.text);
    }
    let body = br#"{"name":"A","displayName":"A"}"#;
    let token = Token::of("editor").sign();
    for (media_type, status) in
        [("Content-Type: text/plain\r\n", 415), ("", 415), ("Content-Type: APPLICATION/JSON; charset=utf-8\r\n", 201)]
    {
        let head = format!(
            "POST /api/v1/object-types HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n{media_type}Content-Length: {}\r\n\r\n",
            body.len()
        );
        let (found, text) = raw(app.address(), &[head.as_bytes(), body].concat()).await;
        assert_eq!(found, status, "{media_type:?} {text}");
        assert!(status == 201 || text.contains("UNSUPPORTED_MEDIA_TYPE"), "{text}");
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_with_and_without_its_length() {
    const LIMIT: usize = 20_000;
    let app = App::with(|settings| settings.set("MAX_BODY_BYTES", LIMIT)).await;
    let editor = app.client("editor");
    let body = |length: usize| {
        let frame = r#"{"name":"A","displayName":"A","description":""}"#;
        format!(r#"{{"name":"A","displayName":"A","description":"{}"}}"#, "x".repeat(length - frame.len()))
    };
    refused(
        "one byte too many",
        editor.call(Method::POST, "object-types").bytes(body(LIMIT + 1)),
        413,
        "BODY_TOO_LARGE",
        &[],
    )
    .await;

    let chunked = |body: &str| {
        let head = format!(
            "POST /api/v1/object-types HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\
            Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
            Token::of("editor").sign()
        );
        let chunks = body.as_bytes().chunks(1_000).map(|chunk| {
            let mut framed = format!("{:x}\r\n", chunk.len()).into_bytes();
            framed.extend_from_slice(chunk);
            framed.extend_from_slice(b"\r\n");
            framed
        });
        let mut request = head.into_bytes();
        request.extend(chunks.flatten());
        request.extend_from_slice(b"0\r\n\r\n");
        request
    };
    let (status, text) = raw(app.address(), &chunked(&body(LIMIT + 1))).await;
    assert_eq!(status, 413, "{text}");
    assert!(text.contains("BODY_TOO_LARGE"), "{text}");
    shows_nothing_of_the_database(&text);

    let (status, text) = raw(app.address(), &chunked(&body(LIMIT))).await;
    assert_eq!(status, 201, "exactly the limit is taken: {text}");
}
