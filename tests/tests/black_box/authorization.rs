//! Who may do what: every operation of the OpenAPI document, for every kind of caller.

use std::collections::BTreeSet;

use oms_tests::{App, Call, Client, Token, samples};
use reqwest::Method;
use serde_json::{Value, json};

/// Who may, from whom on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum From {
    Viewer,
    Editor,
    Admin,
}

/// What the caller of another tenant gets, who may do everything there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Foreign {
    /// The thing is not there.
    NotFound,
    /// An empty list.
    Empty,
    /// The same as at home, of its own.
    Own,
}

/// Every operation: method, path, from which role on, its status then, and what a foreign admin gets.
const OPERATIONS: &[(&str, &str, From, u16, Foreign)] = &[
    ("GET", "/api/v1/object-types", From::Viewer, 200, Foreign::Empty),
    ("POST", "/api/v1/object-types", From::Editor, 201, Foreign::Own),
    ("POST", "/api/v1/object-types:batch", From::Editor, 201, Foreign::Own),
    ("GET", "/api/v1/object-types/{id}", From::Viewer, 200, Foreign::NotFound),
    ("PATCH", "/api/v1/object-types/{id}", From::Editor, 200, Foreign::NotFound),
    ("DELETE", "/api/v1/object-types/{id}", From::Editor, 204, Foreign::NotFound),
    ("POST", "/api/v1/object-types/{id}/restore", From::Editor, 200, Foreign::NotFound),
    ("GET", "/api/v1/object-types/{id}/versions", From::Viewer, 200, Foreign::NotFound),
    ("GET", "/api/v1/object-types/{id}/versions/compare", From::Viewer, 200, Foreign::NotFound),
    ("GET", "/api/v1/object-types/{id}/versions/{version}", From::Viewer, 200, Foreign::NotFound),
    ("POST", "/api/v1/object-types/{id}/validate", From::Viewer, 200, Foreign::NotFound),
    ("GET", "/api/v1/link-types", From::Viewer, 200, Foreign::Empty),
    ("POST", "/api/v1/link-types", From::Editor, 201, Foreign::NotFound),
    ("POST", "/api/v1/link-types:batch", From::Editor, 201, Foreign::NotFound),
    ("GET", "/api/v1/link-types/{id}", From::Viewer, 200, Foreign::NotFound),
    ("PATCH", "/api/v1/link-types/{id}", From::Editor, 200, Foreign::NotFound),
    ("DELETE", "/api/v1/link-types/{id}", From::Editor, 204, Foreign::NotFound),
    ("POST", "/api/v1/link-types/{id}/restore", From::Editor, 200, Foreign::NotFound),
    ("GET", "/api/v1/link-types/{id}/versions", From::Viewer, 200, Foreign::NotFound),
    ("GET", "/api/v1/link-types/{id}/versions/compare", From::Viewer, 200, Foreign::NotFound),
    ("GET", "/api/v1/link-types/{id}/versions/{version}", From::Viewer, 200, Foreign::NotFound),
    ("POST", "/api/v1/link-types/{id}/validate", From::Viewer, 200, Foreign::NotFound),
    ("GET", "/api/v1/search", From::Viewer, 200, Foreign::Empty),
    ("GET", "/api/v1/events", From::Viewer, 200, Foreign::Empty),
    ("GET", "/api/v1/audit-logs", From::Admin, 200, Foreign::Empty),
    ("POST", "/api/v1/api-keys", From::Admin, 201, Foreign::Own),
    ("GET", "/api/v1/api-keys", From::Admin, 200, Foreign::Empty),
    ("DELETE", "/api/v1/api-keys/{id}", From::Admin, 204, Foreign::NotFound),
];

async fn app() -> App {
    App::with(|settings| settings.set("FAILED_LOGINS_PER_MINUTE", 100_000)).await
}

/// A request of the operation that would succeed, on types that are made for it.
struct Request {
    method: Method,
    path: String,
    version: i64,
    body: Option<Value>,
}

impl Request {
    async fn new(admin: &Client, method: &str, template: &str) -> Self {
        let name = format!("T{}", uuid::Uuid::now_v7().simple());
        let (mut id, mut version, mut body) = (String::new(), 1, None);
        let is_link = template.contains("link-types");
        if template.contains("api-keys/") {
            let key = admin.post("api-keys", &json!({"name": name, "roles": ["viewer"]})).expect(201).await;
            key["id"].as_str().unwrap().clone_into(&mut id);
        } else if template.contains("{id}") || is_link {
            admin.post("object-types", &samples::object_type(&format!("{name}A"))).expect(201).await;
            id = format!("{name}A");
        }
        let definition = if is_link { samples::link_type(&name, &id, &id) } else { samples::object_type(&name) };
        if is_link && template.contains("{id}") {
            admin.post("link-types", &definition).expect(201).await;
            id.clone_from(&name);
        }
        if template.ends_with("/restore") {
            admin.delete(&format!("{}/{id}", if is_link { "link-types" } else { "object-types" }), 1).expect(204).await;
            version = 2;
        }
        let path = match template {
            "/api/v1/search" => format!("{template}?q=T"),
            "/api/v1/events" => format!("{template}?limit=1000"),
            compare if compare.ends_with("/compare") => format!("{compare}?from=1&to=1"),
            other => other.to_owned(),
        };
        if method == "PATCH" {
            body = Some(json!({"displayName": "changed"}));
        } else if template.ends_with("/validate") {
            body = Some(json!({"instance": {}}));
        } else if template.ends_with(":batch") {
            body = Some(json!({"items": [definition]}));
        } else if template.ends_with("/api-keys") {
            body = Some(json!({"name": name, "roles": ["viewer"]}));
        } else if template.ends_with("-types") {
            body = Some(definition);
        }
        let body = body.filter(|_| method != "GET");
        let path = path.replace("{id}", &id).replace("{version}", "1");
        Self { method: method.parse().unwrap(), path, version, body }
    }

    fn by(&self, client: &Client) -> Call {
        let call = client.call(self.method.clone(), &self.path).if_match(self.version);
        match &self.body {
            Some(body) => call.json(body),
            None => call,
        }
    }
}

#[tokio::test]
async fn the_table_and_the_document_have_the_same_operations() {
    let app = app().await;
    let document = app.anonymous().get("/openapi.json").expect(200).await;
    let mut documented = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys().filter(|key| *key != "parameters") {
            documented.insert((method.to_uppercase(), path.clone()));
        }
    }
    let listed: BTreeSet<_> = OPERATIONS.iter().map(|row| (row.0.to_owned(), row.1.to_owned())).collect();
    assert_eq!(listed.len(), OPERATIONS.len(), "a row is there twice");
    assert_eq!(documented, listed);
}

#[tokio::test]
async fn each_role_may_do_what_it_should_and_nothing_else() {
    let app = app().await;
    let admin = app.admin();
    for (method, template, from, success, _) in OPERATIONS {
        for (role, client) in [(None, app.client("nobody"))].into_iter().chain(
            [From::Viewer, From::Editor, From::Admin]
                .into_iter()
                .zip(["viewer", "editor", "admin"])
                .map(|(role, name)| (Some(role), app.client(name))),
        ) {
            let request = Request::new(&admin, method, template).await;
            let answer = request.by(&client).send().await;
            let permitted = role.is_some_and(|role| role >= *from);
            let expected = if permitted { *success } else { 403 };
            assert_eq!(answer.status, expected, "{method} {template}: {}", answer.text);
            if !permitted {
                assert_eq!(answer.json()["code"], "PERMISSION_DENIED", "{method} {template}");
            }
        }
    }
}

#[tokio::test]
async fn without_a_good_token_nothing_is_answered() {
    let app = app().await;
    let admin = app.admin();
    let good = Token::of("admin");
    let mut forged = good.sign();
    forged.pop();
    let bad = [
        ("alg none", good.clone().algorithm("none").sign()),
        ("alg None", good.clone().algorithm("None").sign()),
        ("HS512", good.clone().algorithm("HS512").sign()),
        ("RS256 in the header", good.clone().algorithm("RS256").sign()),
        ("ES256 in the header", good.clone().algorithm("ES256").sign()),
        ("expired", good.clone().expires_in(-3_600).sign()),
        ("no exp", good.clone().claim("exp", Value::Null).sign()),
        ("another audience", good.clone().claim("aud", "billing").sign()),
        ("no audience", good.clone().claim("aud", Value::Null).sign()),
        ("another issuer", good.clone().claim("iss", "https://evil.test").sign()),
        ("no issuer", good.clone().claim("iss", Value::Null).sign()),
        ("not valid yet", good.clone().claim("nbf", 4_000_000_000_u64).sign()),
        ("no subject", good.clone().claim("sub", Value::Null).sign()),
        ("a bad tenant", good.clone().tenant("a b").sign()),
        ("a signature that is cut", forged),
        ("not a token", "nonsense".to_owned()),
    ];
    for (method, template, ..) in OPERATIONS {
        let request = Request::new(&admin, method, template).await;
        let missing = request.by(&app.anonymous()).send().await;
        assert_eq!(missing.expect(401)["code"], "UNAUTHENTICATED", "{method} {template}");
        assert_eq!(missing.header("www-authenticate"), Some("Bearer"));
        for (what, token) in &bad {
            let answer = request.by(&app.anonymous().with_token(token.clone())).send().await;
            assert_eq!(answer.status, 401, "{method} {template} with {what}: {}", answer.text);
            assert!(answer.header("www-authenticate").unwrap().starts_with("Bearer"), "{what}");
        }
    }
    let basic = app.anonymous().get("object-types").header("authorization", "Basic YTpi").send().await;
    assert_eq!(basic.status, 401);
}

#[tokio::test]
async fn another_tenant_sees_nothing() {
    let app = app().await;
    let admin = app.admin();
    let foreign = app.anonymous().with_token(Token::of("admin").tenant("another").sign());
    for (method, template, _, success, expected) in OPERATIONS {
        let request = Request::new(&admin, method, template).await;
        // At home, so that it is in the cache by name and by id.
        if *method == "GET" {
            request.by(&admin).expect(200).await;
        }
        let answer = request.by(&foreign).send().await;
        let what = format!("{method} {template}: {} {}", answer.status, answer.text);
        match expected {
            Foreign::Own => assert_eq!(answer.status, *success, "{what}"),
            Foreign::Empty => {
                let own = [
                    "/api/v1/object-types",
                    "/api/v1/api-keys",
                    "/api/v1/audit-logs",
                    "/api/v1/search",
                    "/api/v1/events",
                ];
                let mut data = answer.expect(200)["data"].as_array().unwrap().clone();
                if own.contains(template) {
                    // What the foreign tenant made in rows above is its own.
                    let ours = admin.get(&request.path).expect(200).await["data"].as_array().unwrap().clone();
                    data.retain(|item| ours.contains(item));
                }
                assert_eq!(data, Vec::<Value>::new(), "{what}");
            }
            // A link can't be made to what is not there; the type itself is not found.
            Foreign::NotFound if template.ends_with("/link-types") || template.ends_with("/link-types:batch") => {
                assert_eq!(answer.status, 400, "{what}");
                assert!(answer.text.contains("REFERENCED_TYPE_NOT_FOUND"), "{what}");
            }
            Foreign::NotFound => assert_eq!(answer.status, 404, "{what}"),
        }
    }
}

#[tokio::test]
async fn failed_logins_are_audited_and_limited_while_good_tokens_pass() {
    const LIMIT: usize = 5;
    let app = App::with(|settings| settings.set("FAILED_LOGINS_PER_MINUTE", LIMIT)).await;
    let expired = app.anonymous().with_token(Token::of("admin").expires_in(-3_600).sign());
    for n in 0..LIMIT {
        let call = expired.get("object-types").header("x-correlation-id", &format!("login-{n}"));
        assert_eq!(call.expect(401).await["code"], "UNAUTHENTICATED");
    }
    for _ in 0..3 {
        let limited = expired.get("object-types").send().await;
        assert_eq!(limited.expect(429)["code"], "RATE_LIMITED");
        assert!(limited.header("retry-after").unwrap().parse::<u32>().unwrap() >= 1);
    }
    app.anonymous().get("object-types").expect(401).await;
    let admin = app.admin();
    admin.get("object-types").expect(200).await;

    let entries = admin.all("audit-logs?action=LOGIN_FAILED").await;
    assert_eq!(entries.len(), LIMIT, "one row for each that was judged: {entries:?}");
    let last = &entries[0];
    assert_eq!(last["entityType"], "authentication");
    assert_eq!(last.get("entityId"), None);
    assert_eq!(last["ipAddress"], "127.0.0.1");
    assert_eq!(last["metadata"]["correlationId"], format!("login-{}", LIMIT - 1));
    assert!(last["metadata"]["reason"].as_str().unwrap().contains("expired"));
}

#[tokio::test]
async fn an_api_key_works_until_it_is_revoked() {
    let app = app().await;
    let admin = app.admin();
    let key = admin.post("api-keys", &json!({"name": "nightly import", "roles": ["editor"]})).expect(201).await;
    let secret = key["secret"].as_str().unwrap();
    assert!(secret.starts_with("oms_") && secret.len() > 40);
    let with_key = |call: Call| call.header("x-api-key", secret);

    let anonymous = app.anonymous();
    let created = with_key(anonymous.post("object-types", &samples::object_type("Order"))).v2().expect(201).await;
    assert_eq!(created["createdBy"], format!("api-key:{}", key["id"].as_str().unwrap()));
    with_key(anonymous.get("audit-logs")).expect(403).await;
    assert_eq!(with_key(admin.get("object-types")).send().await.status, 400, "a token and a key together");
    anonymous.get("object-types").header("x-api-key", "oms_wrong").expect(401).await;

    let listed = admin.get("api-keys").expect(200).await;
    assert_eq!(listed["data"].as_array().unwrap().len(), 1);
    assert!(listed["data"][0]["lastUsedAt"].is_string());
    assert!(!listed.to_string().contains(secret));
    let path = format!("api-keys/{}", key["id"].as_str().unwrap());
    admin.call(Method::DELETE, &path).expect(204).await;
    with_key(anonymous.get("object-types")).expect(401).await;
    let actions: Vec<_> =
        admin.all("audit-logs?entityType=api_key").await.iter().map(|entry| entry["action"].clone()).collect();
    assert_eq!(actions, ["REVOKE", "CREATE"]);
    assert!(!admin.all("audit-logs").await.iter().any(|entry| entry.to_string().contains(secret)));
}

#[tokio::test]
async fn nobody_makes_a_key_that_may_do_more_than_they_may() {
    let roles = json!({
        "viewer": ["object_type:read"],
        "keeper": ["object_type:read", "api_key:manage"],
        "admin": ["object_type:read", "object_type:write", "api_key:manage", "audit:read"],
    });
    let app = App::with(|settings| settings.set("ROLE_PERMISSIONS", roles)).await;
    let keeper = app.client("keeper");
    let refused = keeper.post("api-keys", &json!({"name": "up", "roles": ["viewer", "admin"]})).expect(403).await;
    assert_eq!(refused["code"], "PERMISSION_DENIED");
    let fault = &refused["errors"][0];
    assert_eq!(fault["pointer"], "/roles/1");
    assert!(fault["message"].as_str().unwrap().contains("'admin'"), "{fault}");
    keeper.post("api-keys", &json!({"name": "same", "roles": ["viewer", "keeper"]})).expect(201).await;
    app.admin().post("api-keys", &json!({"name": "all", "roles": ["admin"]})).expect(201).await;
}
