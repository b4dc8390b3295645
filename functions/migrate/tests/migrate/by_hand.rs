use std::{collections::BTreeMap, time::SystemTime};

use aws_config::BehaviorVersion;
use oms_core::{
    Registry,
    cache::Cache,
    config::RedisConfig,
    context::{Context, Permissions},
    feed::{EventFilter, Start},
};
use rdkafka::{
    ClientConfig,
    consumer::{BaseConsumer, Consumer as _},
};
use serde_json::{Value, json};
use sqlx::{ConnectOptions as _, PgPool};
use uuid::Uuid;

use crate::stage::{Stage, all, applied};

fn migrate() -> Value {
    json!({"action": "migrate"})
}

#[sqlx::test(migrations = false)]
async fn it_says_what_it_did(pool: PgPool) {
    let stage = Stage::new(&pool);
    let done = stage.invoke(migrate()).await.unwrap();
    assert_eq!(done["migrations"].as_array().unwrap().len(), usize::try_from(all()).unwrap());
    assert_eq!(done["migrations"][0], "20261122000001_create_object_and_link_types");
    assert_eq!(done["roles"], json!([stage.app, stage.publisher]));
    let topic = |name: &str, partitions: i32, created: bool| json!({"name": name, "partitions": partitions, "created": created});
    assert_eq!(done["topics"], json!([topic(&stage.topic, 4, true), topic(&stage.dlq(), 1, true)]));

    let again = stage.with("KAFKA_PARTITIONS", "16");
    let done = again.invoke(migrate()).await.unwrap();
    assert_eq!(done["migrations"], json!([]));
    let warning = done["topics"][0]["warning"].as_str().unwrap();
    assert!(warning.contains("has 4 partition(s) where 16 are wanted"), "{warning}");

    let brokers = std::env::var("KAFKA_BROKERS").unwrap();
    let consumer: BaseConsumer = ClientConfig::new().set("bootstrap.servers", brokers).create().unwrap();
    let metadata = consumer.fetch_metadata(None, std::time::Duration::from_secs(30)).unwrap();
    let found: BTreeMap<_, _> =
        metadata.topics().iter().map(|topic| (topic.name(), topic.partitions().len())).collect();
    assert_eq!((found[again.topic.as_str()], found[again.dlq().as_str()]), (4, 1));
}

#[sqlx::test(migrations = false)]
async fn without_a_kafka_or_roles_there_is_nothing_to_make_of_them(pool: PgPool) {
    let stage = Stage::new(&pool).with("KAFKA_BROKERS", "none").with("DB_APP_USER", "").with("DB_PUBLISHER_USER", "");
    let done = stage.invoke(migrate()).await.unwrap();
    assert_eq!((&done["roles"], &done["topics"]), (&json!([]), &json!([])));
}

#[sqlx::test(migrations = false)]
async fn the_owner_logs_in_with_the_password_of_now(pool: PgPool) {
    let name = format!("owner-{}", Uuid::new_v4());
    let secrets = aws_sdk_secretsmanager::Client::new(&aws_config::load_defaults(BehaviorVersion::latest()).await);
    let owner = format!("owner_{}", Uuid::new_v4().simple());
    let sql = format!(
        "CREATE ROLE {owner} LOGIN CREATEROLE PASSWORD 'first'; ALTER DATABASE \"{}\" OWNER TO {owner}",
        pool.connect_options().get_database().unwrap()
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&pool).await.unwrap();
    let secret = |password: &str| json!({"username": owner, "password": password}).to_string();
    let made = secrets.create_secret().name(&name).secret_string(secret("first")).send().await.unwrap();
    let nobody =
        pool.connect_options().as_ref().clone().username("nobody").password("wrong").to_url_lossy().to_string();
    let stage = Stage::new(&pool).with("DATABASE_URL", &nobody).with("DB_MASTER_SECRET_ARN", made.arn().unwrap());
    stage.invoke(migrate()).await.unwrap();
    assert_eq!(applied(&pool).await, all());
    let of: String = sqlx::query_scalar("SELECT tableowner::text FROM pg_tables WHERE tablename = 'object_types'")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(of, owner);

    sqlx::raw_sql(sqlx::AssertSqlSafe(format!("ALTER ROLE {owner} PASSWORD 'second'"))).execute(&pool).await.unwrap();
    let error = stage.invoke(migrate()).await.unwrap_err().to_string();
    assert!(error.starts_with("the connection to the database failed. "), "{error}");
    secrets.put_secret_value().secret_id(&name).secret_string(secret("second")).send().await.unwrap();
    stage.invoke(migrate()).await.unwrap();

    let stage = stage.with("DB_MASTER_SECRET_ARN", "no-such-secret");
    let error = stage.invoke(migrate()).await.unwrap_err().to_string();
    assert!(error.starts_with("the owner's password can't be read from Secrets Manager. "), "{error}");
}

#[sqlx::test(migrations = false)]
async fn a_restored_database_begins_another_epoch(pool: PgPool) {
    let stage = Stage::new(&pool);
    stage.invoke(migrate()).await.unwrap();
    let oms = Registry::new(pool, Cache::new(&RedisConfig::none()));
    let ada = Context {
        tenant: "acme".parse().unwrap(),
        actor: "ada".into(),
        permissions: Permissions::all(),
        ip: None,
        user_agent: None,
        correlation_id: "c-1".into(),
        traceparent: None,
        idempotency: None,
        expires_at: None,
    };
    let epochs = async || {
        let page = oms.feed.page(&ada, &EventFilter::default(), &Start::Earliest, 100).await.unwrap();
        page.events.iter().map(|(event, _)| event.event.epoch).collect::<Vec<_>>()
    };
    oms.object_types.create(&ada, &json!({"name": "Before", "displayName": "Before"})).await.unwrap();
    assert_eq!(epochs().await, [1]);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let begun = stage.invoke(json!({"action": "begin-epoch"})).await.unwrap();
    assert!(begun["epoch"].as_u64() >= Some(now), "{begun}: whoever restores the same backup later begins another");
    oms.object_types.create(&ada, &json!({"name": "After", "displayName": "After"})).await.unwrap();
    assert_eq!(json!(epochs().await), json!([1, begun["epoch"]]));
    let next = stage.invoke(json!({"action": "begin-epoch"})).await.unwrap();
    assert!(next["epoch"].as_u64() > begun["epoch"].as_u64(), "{next} after {begun}");
}

#[sqlx::test(migrations = false)]
async fn whoever_asks_for_something_else_hears_what_there_is(pool: PgPool) {
    let stage = Stage::new(&pool);
    for payload in [json!({"action": "drop"}), json!({}), json!("migrate"), json!({"Action": "migrate"})] {
        let error = stage.invoke(payload).await.unwrap_err().to_string();
        assert!(error.contains(r#"{"action": "migrate"} or {"action": "begin-epoch"}"#), "{error}");
    }
    let error = stage.invoke(json!({"RequestType": "Create"})).await.unwrap_err().to_string();
    assert!(error.contains("can't be answered: missing field `ResponseURL`"), "{error}");
    let none: bool = sqlx::query_scalar("SELECT to_regclass('object_types') IS NULL").fetch_one(&pool).await.unwrap();
    assert!(none);
}
