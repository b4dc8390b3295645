//! The finished server, as a process.

use std::net::SocketAddr;

use oms_tests::{Client, Database, Program, Settings, Token, samples, until};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A running server with a database of its own.
pub(crate) struct Server {
    program: Program,
    http: SocketAddr,
    metrics: SocketAddr,
    database: Database,
}

impl Server {
    pub(crate) async fn start(more: &[(&str, &str)]) -> Self {
        let database = Database::create().await;
        let settings = Settings::for_database(&database);
        let own = [("SERVER_HOST", "127.0.0.1"), ("SERVER_PORT", "0"), ("GRPC_PORT", "0"), ("METRICS_PORT", "0")];
        let all: Vec<_> = own.iter().chain(more).copied().collect();
        let mut program = Program::with("oms-server", &[], &settings, &all);
        // Port 0 is any free one; the log says which.
        let (http, metrics) = program
            .line("it did not say where it listens", |line| {
                let address = |key: &str| line[key].as_str()?.parse::<SocketAddr>().ok();
                Some((address("http")?, address("metrics")?))
            })
            .await;
        Self { program, http, metrics, database }
    }

    pub(crate) fn client(&self, role: &str) -> Client {
        Client::new(&format!("http://{}", self.http)).with_token(Token::of(role).sign())
    }

    /// Ends it in good order.
    pub(crate) async fn stop(self) -> Vec<String> {
        self.program.terminate();
        let exit = self.program.exit().await;
        assert_eq!(exit.code, Some(0), "{exit:?}");
        exit.stdout
    }
}

#[tokio::test]
async fn a_bad_configuration_is_named_in_full_and_nothing_starts() {
    let bad = [
        ("DATABASE_URL", "postgres://u:hush-hush@127.0.0.1:1/x?sslmode=sometimes"),
        ("REDIS_URL", "nonsense"),
        ("REDIS_TIMEOUT_MS", "soon"),
        ("JWT_ALGORITHM", "none"),
        ("SERVER_PORT", "http"),
        ("MAX_BODY_BYTES", "1"),
        ("LOG_LEVEL", "oms=shouting"),
    ];
    let exit = Program::start("oms-server", &[], &bad).exit().await;
    assert!(exit.code.is_some_and(|code| code != 0), "{exit:?}");
    let said = format!("{}\n{}", exit.stderr.join("\n"), exit.stdout.join("\n"));
    for key in bad.iter().map(|(key, _)| *key).chain(["JWT_ISSUER", "JWT_AUDIENCE"]) {
        assert!(said.contains(key), "{key} is not named: {said}");
    }
    assert!(!said.contains("hush-hush"), "{said}");
}

#[tokio::test]
async fn the_migrations_are_applied_by_the_same_program() {
    let database = Database::create().await;
    let settings = Settings::for_database(&database);
    let exit = Program::with("oms-server", &["migrate"], &settings, &[]).exit().await;
    assert_eq!(exit.code, Some(0), "applied before is no failure: {exit:?}");
    assert_eq!(exit.stdout, ["every migration was applied before"]);
    let mut last = 1;
    for _ in 0..2 {
        let exit = Program::with("oms-server", &["begin-epoch"], &settings, &[]).exit().await;
        assert_eq!((exit.code, exit.stdout.len()), (Some(0), 1), "{exit:?}");
        let epoch: i64 = exit.stdout[0].strip_prefix("epoch ").unwrap().parse().unwrap();
        assert!(epoch > last, "{epoch} after {last}");
        last = epoch;
    }
}

#[tokio::test]
async fn metrics_and_logs_tell_of_each_request_by_its_route() {
    let server = Server::start(&[]).await;
    let editor = server.client("editor");
    let order = editor.post("object-types", &samples::object_type("SecretPlan")).expect(201).await;
    let path = format!("object-types/{}", order["id"].as_str().unwrap());
    for _ in 0..2 {
        editor.get(&path).header("x-correlation-id", "find-me").expect(200).await;
    }
    editor.get("object-types/Missing").header("x-correlation-id", "not-there").expect(404).await;

    let metrics = Client::new(&format!("http://{}", server.metrics)).get("/metrics").send().await;
    assert_eq!(metrics.status, 200);
    let line = |parts: &[&str]| {
        let found = metrics.text.lines().find(|line| parts.iter().all(|part| line.contains(part)));
        let found = found.unwrap_or_else(|| panic!("{parts:?} is not in {}", metrics.text));
        found.rsplit(' ').next().unwrap().parse::<f64>().unwrap()
    };
    let route = "endpoint=\"/api/v1/object-types/{id}\"";
    let count = "oms_request_duration_seconds_count";
    assert!((line(&[count, route, "method=\"GET\"", "status=\"200\""]) - 2.0).abs() < f64::EPSILON);
    assert!((line(&[count, route, "method=\"GET\"", "status=\"404\""]) - 1.0).abs() < f64::EPSILON);
    line(&["oms_request_duration_seconds_bucket", route, "le=\"0.1\""]);
    assert!(line(&["oms_cache_hits_total", "cache_key_type=\"object_type\""]) >= 2.0);
    assert!(
        !metrics.text.contains("SecretPlan") && !metrics.text.contains("Missing"),
        "no name of a client is a label"
    );

    let logs: Vec<Value> = server.stop().await.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let requests = |id: &str| -> Vec<&Value> {
        logs.iter().filter(|line| line["correlation_id"] == id && line["message"] == "request").collect()
    };
    assert_eq!(requests("find-me").len(), 2, "{logs:?}");
    let one = requests("not-there")[0];
    assert_eq!(one["route"], "/api/v1/object-types/{id}");
    assert_eq!((one["status"].as_u64(), one["code"].as_str()), (Some(404), Some("OBJECT_TYPE_NOT_FOUND")));
    assert_eq!((one["tenant"].as_str(), one["actor"].as_str()), (Some("default"), Some("tester-editor")));
    assert!(one["duration_ms"].is_number() && one["timestamp"].is_string() && one["level"] == "INFO");
}

#[tokio::test]
async fn a_query_is_logged_with_its_name_and_the_code_of_its_failure_and_without_its_text() {
    let server = Server::start(&[]).await;
    let editor = server.client("editor");
    for (id, document) in [
        ("good", "query Look { objectType(id: \"SecretPlan\") { id } }"),
        ("failed", "mutation { deleteObjectType(id: \"SecretPlan\") }"),
        ("refused", "{ secretPlan }"),
    ] {
        let answer = editor.query(document).header("x-correlation-id", id).send().await;
        assert_eq!((answer.status, answer.json().get("errors").is_some()), (200, id != "good"), "{}", answer.text);
    }
    let metrics = Client::new(&format!("http://{}", server.metrics)).get("/metrics").send().await;
    assert!(metrics.text.contains("endpoint=\"/graphql\""), "{}", metrics.text);
    let lines = server.stop().await;
    assert!(!lines.iter().any(|line| line.to_lowercase().contains("secretplan")), "{lines:?}");
    let logs: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (id, code) in
        [("good", None), ("failed", Some("OBJECT_TYPE_NOT_FOUND")), ("refused", Some("GRAPHQL_VALIDATION_FAILED"))]
    {
        let line = logs.iter().find(|line| line["correlation_id"] == id && line["message"] == "request").unwrap();
        assert_eq!((line["route"].as_str(), line["code"].as_str()), (Some("/graphql"), code), "{line}");
        assert_eq!(line["operation"].as_str(), (id == "good").then_some("Look"), "{line}");
    }
}

#[tokio::test]
async fn a_request_in_flight_is_finished_before_it_ends() {
    let mut server = Server::start(&[]).await;
    let mut stream = TcpStream::connect(server.http).await.unwrap();
    let body = samples::object_type("InFlight").to_string();
    let head = format!(
        "POST /api/v1/object-types HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\
        Content-Type: application/json\r\nContent-Length: {}\r\nExpect: 100-continue\r\n\r\n",
        Token::of("editor").sign(),
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // The handler asks for the body with this: from here on the request is in flight.
    let mut asked = [0; 25];
    stream.read_exact(&mut asked).await.unwrap();
    assert_eq!(asked, *b"HTTP/1.1 100 Continue\r\n\r\n");

    server.program.terminate();
    // Its log tells; its port may be somebody else's a moment later.
    server.program.line("it does not stop", |line| (line["message"] == "stopping").then_some(())).await;
    stream.write_all(body.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    let exit = server.program.exit().await;
    assert_eq!(exit.code, Some(0), "{exit:?}");
}

#[tokio::test]
async fn a_container_can_ask_it_whether_it_lives() {
    let server = Server::start(&[]).await;
    let port = server.http.port().to_string();
    let check = Program::start("oms-server", &["healthcheck"], &[("SERVER_PORT", &port)]).exit().await;
    assert_eq!(check.code, Some(0), "{check:?}");
    let check = Program::start("oms-server", &["healthcheck"], &[("SERVER_PORT", "1")]).exit().await;
    assert_eq!(check.code, Some(1), "{check:?}");
    assert_eq!(check.stderr[0], "error: no server answers at 127.0.0.1:1");
    server.stop().await;
}

#[tokio::test]
async fn a_request_that_takes_too_long_does_not_keep_it_from_ending() {
    let server = Server::start(&[("SHUTDOWN_TIMEOUT_MS", "100"), ("DB_STATEMENT_TIMEOUT_MS", "600000")]).await;
    let pool = server.database.pool().await;
    let mut blocking = pool.begin().await.unwrap();
    sqlx::query("LOCK TABLE object_types IN ACCESS EXCLUSIVE MODE").execute(&mut *blocking).await.unwrap();
    let editor = server.client("editor");
    let waiting = tokio::spawn(async move { editor.post("object-types", &samples::object_type("Stuck")).send().await });
    until("no statement waits for the lock", async || {
        let waits = "SELECT true FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        sqlx::query_scalar::<_, bool>(waits).fetch_optional(&pool).await.unwrap()
    })
    .await;
    let log = server.stop().await;
    assert!(log.iter().any(|line| line.contains("SHUTDOWN_TIMEOUT_MS")), "{log:?}");
    // Its connection was cut, and the client sees it.
    assert!(waiting.await.is_err());
}
