//! Redis or PostgreSQL goes away and comes back.

use std::time::{Duration, Instant};

use futures::future::join_all;
use oms_tests::{App, Client, Database, PostgresProxy, Server, Settings, samples, until};
use serde_json::json;
use xtask::services::{Postgres, Redis};

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_everything_still_works_and_afterwards_it_caches_again() {
    let mut redis = Redis::temporary().unwrap();
    let database = Database::create().await;
    let proxy = PostgresProxy::start(&database.url()).await;
    let (postgres_url, redis_url) = (proxy.address_of(&database.url()), redis.url());
    let app = App::over(database, |settings| {
        settings.set("DATABASE_URL", postgres_url).set("REDIS_URL", redis_url).set("REDIS_TIMEOUT_MS", 1_000)
    })
    .await;
    let editor = app.client("editor");
    editor.post("object-types", &samples::object_type("Before")).expect(201).await;
    assert_eq!(proxy.count(editor.get("object-types/before").expect(200)).await.1, 0);

    redis.stop().unwrap();
    for n in 0..5 {
        let name = format!("During{n}");
        editor.post("object-types", &samples::object_type(&name)).expect(201).await;
        let path = format!("object-types/{name}");
        editor.patch(&path, 1, &json!({"displayName": "changed"})).expect(200).await;
        assert_eq!(editor.get(&path).expect(200).await["displayName"], "changed");
        assert_eq!(editor.all("object-types").await.len(), n + 2);
        editor.get("search?q=during").expect(200).await;
    }
    editor.patch("object-types/Before", 1, &json!({"displayName": "written without a cache"})).expect(200).await;
    let health = app.anonymous().get("/health/ready").expect(200).await;
    assert_eq!(health["status"], "degraded", "{health}");
    assert_eq!(health["checks"]["redis"]["status"], "degraded");
    let wrong = app.anonymous().with_token("nonsense".to_owned()).get("object-types").send().await;
    assert_eq!(wrong.status, 401, "failed logins are counted without Redis, too");

    redis.start().unwrap();
    until("it did not cache again", async || {
        let (answer, statements) = proxy.count(editor.get("object-types/before").expect(200)).await;
        assert_eq!(answer["displayName"], "written without a cache");
        (statements == 0).then_some(())
    })
    .await;
    assert_eq!(app.anonymous().get("/health/ready").expect(200).await["status"], "healthy");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_postgresql_it_says_so_in_time_and_recovers_by_itself() {
    let mut postgres = Postgres::temporary().unwrap();
    let database = Database::create_on(&postgres.url()).await;
    // A temporary server forgets the last moments in a crash, unless a commit waits for the log.
    let url = format!("{}?options=-c%20synchronous_commit%3Don", database.url());
    let app =
        App::over(database, |settings| settings.set("DATABASE_URL", url).set("DB_ACQUIRE_TIMEOUT_MS", 1_000)).await;
    let editor = app.client("editor");
    let order = editor.post("object-types", &samples::object_type("Order")).expect(201).await;

    postgres.stop().unwrap();
    let requests = || {
        [
            editor.post("object-types", &samples::object_type("Lost")),
            editor.get("object-types/NotCached"),
            editor.patch("object-types/Order", 1, &json!({"displayName": "lost"})),
            editor.delete("object-types/Order", 1),
            editor.get("object-types?sort=-createdAt"),
            editor.get("search?q=order"),
        ]
    };
    for request in requests() {
        let started = Instant::now();
        let answer = request.send().await;
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        assert!(answer.header("retry-after").unwrap().parse::<u32>().unwrap() >= 1);
        let problem = answer.expect(503);
        assert_eq!(problem["code"], "SERVICE_UNAVAILABLE");
        assert!(
            !answer.text.contains("127.0.0.1") && !answer.text.to_lowercase().contains("connect"),
            "{}",
            answer.text
        );
    }
    assert_eq!(editor.get("object-types/Order").expect(200).await, order, "what is cached is still served");
    let ready = app.anonymous().get("/health/ready").expect(503).await;
    assert_eq!(ready["checks"]["database"]["status"], "unhealthy");
    app.anonymous().get("/health/live").expect(200).await;

    postgres.start().unwrap();
    until("it was not ready again", async || {
        let ready = app.anonymous().get("/health/ready").send().await;
        (ready.status == 200).then_some(())
    })
    .await;
    editor.post("object-types", &samples::object_type("After")).expect(201).await;
    let names: Vec<_> = editor.all("object-types").await.iter().map(|item| item["name"].clone()).collect();
    assert_eq!(names, ["After", "Order"], "what was answered with 503 was not written");
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_connections_are_replaced() {
    let (app, proxy) = App::counted(|settings| settings.set("DB_ACQUIRE_TIMEOUT_MS", 1_000)).await;
    let editor = app.client("editor");
    editor.post("object-types", &samples::object_type("Order")).expect(201).await;
    proxy.cut();
    editor.get("object-types?sort=-name").expect(503).await;
    proxy.restore();
    until("no new connection was made", async || {
        let answer = editor.get("object-types?sort=-name").send().await;
        (answer.status == 200).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_hangs_is_not_waited_for_forever() {
    let limits = |settings: Settings| settings.set("REQUEST_TIMEOUT_MS", 1_500).set("DB_ACQUIRE_TIMEOUT_MS", 1_000);
    let (app, proxy) = App::counted(limits).await;
    let editor = app.client("editor");
    editor.post("object-types", &samples::object_type("Order")).expect(201).await;
    proxy.freeze();
    for _ in ["in a statement", "without a free connection"] {
        let started = Instant::now();
        let answer = editor.get("object-types?sort=-name").send().await;
        assert_eq!(answer.expect(503)["code"], "SERVICE_UNAVAILABLE");
        assert!(answer.header("retry-after").is_some());
        assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    }
    app.anonymous().get("/health/live").expect(200).await;
    app.anonymous().get("/health/ready").expect(503).await;
    proxy.restore();
    until("it did not recover", async || {
        let answer = editor.get("object-types?sort=-name").send().await;
        (answer.status == 200).then_some(())
    })
    .await;
}

/// The state of PostgreSQL's circuit breaker: 0 closed, 1 half-open, 2 open.
async fn breaker_state(server: &Server) -> Option<String> {
    let prefix = "oms_circuit_breaker_state{dependency=\"postgresql\"} ";
    server.metrics().await.lines().find_map(|line| line.strip_prefix(prefix).map(str::to_owned))
}

/// Many requests at once that only the database can answer: their statuses.
async fn many(client: &Client) -> Vec<u16> {
    let answers = join_all((0..20).map(|_| client.get("object-types/NotThere").send())).await;
    answers.iter().map(|answer| answer.status).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_away_is_asked_by_one_call_at_a_time() {
    const OPEN: Duration = Duration::from_millis(400);
    let database = Database::create().await;
    let proxy = PostgresProxy::start(&database.url()).await;
    let settings = Settings::for_database(&database)
        .set("DATABASE_URL", proxy.address_of(&database.url()))
        .set("CIRCUIT_BREAKER_OPEN_MS", OPEN.as_millis());
    let server = Server::start(&settings).await;
    let editor = server.client("editor");
    editor.post("object-types", &samples::object_type("Order")).expect(201).await;
    assert_eq!(many(&editor).await, [404; 20]);
    assert_eq!(breaker_state(&server).await.as_deref(), Some("0"));

    proxy.cut();
    until("the circuit breaker did not open", async || {
        assert_eq!(many(&editor).await, [503; 20]);
        (breaker_state(&server).await? == "2").then_some(())
    })
    .await;
    let (before, began) = (proxy.connections(), Instant::now());
    while began.elapsed() < OPEN * 5 {
        assert_eq!(many(&editor).await, [503; 20]);
    }
    let (probes, times) = (proxy.connections() - before, began.elapsed().as_millis() / OPEN.as_millis());
    assert!(probes >= 1 && u128::from(probes) <= times + 1, "{probes} connections in {times} times");
    assert!(server.metrics().await.contains("oms_circuit_breaker_rejected_total{dependency=\"postgresql\"}"));

    proxy.restore();
    let back = Instant::now();
    until("it does not serve again", async || (many(&editor).await == [404; 20]).then_some(())).await;
    assert!(back.elapsed() < OPEN * 10, "{:?}", back.elapsed());
    assert_eq!(breaker_state(&server).await.as_deref(), Some("0"));
    let said = |what: &str| server.log().iter().filter(|line| line.contains(what)).count();
    assert_eq!((said("circuit breaker opens"), said("circuit breaker closes")), (1, 1), "an outage is told of once");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_is_never_answered_ends_before_its_request_does() {
    let limits = |settings: Settings| settings.set("DB_STATEMENT_TIMEOUT_MS", 500).set("DB_ACQUIRE_TIMEOUT_MS", 1_000);
    let (app, proxy) = App::counted(limits).await;
    let editor = app.client("editor");
    editor.get("object-types/NotThere").expect(404).await;
    proxy.freeze();
    let started = Instant::now();
    editor.get("object-types/NotThere").expect(503).await;
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    proxy.restore();
    until("it did not recover", async || {
        (editor.get("object-types/NotThere").send().await.status == 404).then_some(())
    })
    .await;
}
