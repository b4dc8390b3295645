//! The cache in a Redis Cluster, where a command may only touch keys of one slot.

use oms_tests::{App, Database, PostgresProxy, samples, until};
use serde_json::json;
use xtask::services::Redis;

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_caches_as_a_single_redis_does() {
    let redis = Redis::temporary_cluster().unwrap();
    let database = Database::create().await;
    let proxy = PostgresProxy::start(&database.url()).await;
    let (postgres_url, redis_url) = (proxy.address_of(&database.url()), redis.url());
    let app = App::over(database, |settings| {
        settings.set("DATABASE_URL", postgres_url).set("REDIS_URL", redis_url).set("REDIS_CLUSTER", true)
    })
    .await;
    until("the cluster was not reached", async || {
        let health = app.anonymous().get("/health/ready").expect(200).await;
        (health["checks"]["redis"]["status"] == "healthy").then_some(())
    })
    .await;
    let editor = app.client("editor");
    let order = editor.post("object-types", &samples::object_type("Order")).expect(201).await;
    let path = format!("object-types/{}", order["id"].as_str().unwrap());
    editor.post("object-types", &samples::object_type("Customer")).expect(201).await;
    let link = samples::link_type("places", "Customer", "Order");
    editor.post("link-types", &link).expect(201).await;
    let cached = async |path: &str| {
        editor.get(path).expect(200).await;
        let (answer, statements) = proxy.count(editor.get(path).expect(200)).await;
        assert_eq!(statements, 0, "{path}");
        answer
    };
    cached(&path).await;
    cached("object-types/ORDER").await;
    assert_eq!(cached("link-types/places").await["target"], "Order");
    assert_eq!(cached("object-types").await["data"].as_array().unwrap().len(), 2);
    cached("search?q=order").await;

    editor.patch(&path, 1, &json!({"name": "Purchase"})).expect(200).await;
    assert_eq!(cached(&path).await["name"], "Purchase");
    assert_eq!(
        cached("link-types/places").await["target"],
        "Purchase",
        "the name of another type is not kept too long"
    );
    editor.get("object-types/Order").expect(404).await;
    assert_eq!(cached("object-types").await["data"][1]["name"], "Purchase");

    editor.delete(&format!("{path}?cascade=true"), 2).expect(204).await;
    editor.get(&path).expect(404).await;
    editor.get("link-types/places").expect(404).await;
    assert_eq!(cached("object-types").await["data"].as_array().unwrap().len(), 1);
}
