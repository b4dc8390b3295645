use std::time::{Duration, Instant};

use axum::http::StatusCode;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::{
    cloud_formation::{CloudFormation, success},
    stage::{Stage, all, applied},
};

#[sqlx::test(migrations = false)]
async fn a_stack_is_made_changed_and_deleted(pool: PgPool) {
    let (stage, cloud_formation) = (Stage::new(&pool), CloudFormation::start().await);
    // The second one is an event that Lambda repeats.
    for request in ["Create", "Create", "Update"] {
        assert_eq!(stage.invoke(cloud_formation.event(request)).await.unwrap(), Value::Null);
        assert_eq!(cloud_formation.answer(), success(request));
        assert_eq!(applied(&pool).await, all());
    }
    sqlx::query("INSERT INTO api_keys VALUES ('acme', gen_random_uuid(), 'ci', '', '{}', now(), 'ada')")
        .execute(&pool)
        .await
        .unwrap();
    stage.invoke(cloud_formation.event("Delete")).await.unwrap();
    assert_eq!(cloud_formation.answer(), success("Delete"));
    let kept: i64 = sqlx::query_scalar("SELECT count(*) FROM api_keys").fetch_one(&pool).await.unwrap();
    assert_eq!(kept, 1, "the data is not the stack's to delete");
}

#[sqlx::test(migrations = false)]
async fn a_database_from_a_backup_begins_the_next_epoch(pool: PgPool) {
    let (stage, cloud_formation) = (Stage::new(&pool), CloudFormation::start().await);
    let epoch =
        async || -> i64 { sqlx::query_scalar("SELECT epoch FROM event_log_head").fetch_one(&pool).await.unwrap() };
    stage.invoke(cloud_formation.event("Create")).await.unwrap();
    cloud_formation.answer();
    assert_eq!(epoch().await, 1);
    let mut event = cloud_formation.event("Update");
    event["ResourceProperties"]["DatabaseSnapshot"] =
        "arn:aws:rds:eu-west-1:123456789012:cluster-snapshot:before".into();
    stage.invoke(event.clone()).await.unwrap();
    assert_eq!(cloud_formation.answer(), success("Update"));
    let restored = epoch().await;
    assert!(restored > 1, "{restored}");
    // A later deployment, on the same database.
    event["OldResourceProperties"] = event["ResourceProperties"].clone();
    stage.invoke(event).await.unwrap();
    cloud_formation.answer();
    assert_eq!(epoch().await, restored);
}

#[sqlx::test(migrations = false)]
async fn nothing_is_touched_to_delete_what_was_never_made(pool: PgPool) {
    // Nobody is there: neither a database nor a Kafka.
    let stage =
        Stage::new(&pool).with("DATABASE_URL", "postgres://127.0.0.1:1/oms").with("KAFKA_BROKERS", "127.0.0.1:1");
    let cloud_formation = CloudFormation::start().await;
    stage.invoke(cloud_formation.event("Delete")).await.unwrap();
    assert_eq!(cloud_formation.answer(), success("Delete"));
}

#[sqlx::test(migrations = false)]
async fn a_migration_that_fails_fails_the_deployment_and_says_which(pool: PgPool) {
    sqlx::query("CREATE TABLE api_keys (secret text); ").execute(&pool).await.unwrap();
    let (stage, cloud_formation) = (Stage::new(&pool), CloudFormation::start().await);
    assert_eq!(stage.invoke(cloud_formation.event("Update")).await.unwrap(), Value::Null);
    let answer = cloud_formation.answer();
    assert_eq!((&answer["Status"], &answer["RequestId"]), (&json!("FAILED"), &json!("request-Update")));
    assert_eq!(
        answer["Reason"],
        "the migration 20261122000003_create_api_keys failed. The log group /aws/lambda/migrate has the cause, by the request \
        id 8476a536. Mend it and try it again: what was done before is not repeated."
    );
    assert_eq!(applied(&pool).await, 2, "those before it stay");
    let roles: i64 = sqlx::query_scalar("SELECT count(*) FROM pg_roles WHERE rolname = $1")
        .bind(&stage.app)
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(roles, 0, "nothing after it is done");

    sqlx::query("DROP TABLE api_keys").execute(&pool).await.unwrap();
    stage.invoke(cloud_formation.event("Update")).await.unwrap();
    assert_eq!(cloud_formation.answer(), success("Update"));
    assert_eq!(applied(&pool).await, all());
}

#[sqlx::test(migrations = false)]
async fn what_takes_too_long_is_told_in_time_and_ended(pool: PgPool) {
    // Whatever makes an index sleeps first.
    sqlx::raw_sql(
        "CREATE FUNCTION sleep() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(600); END';
        CREATE EVENT TRIGGER sleep ON ddl_command_start WHEN TAG IN ('CREATE INDEX') EXECUTE FUNCTION sleep()",
    )
    .execute(&pool)
    .await
    .unwrap();
    let (stage, cloud_formation) = (Stage::new(&pool), CloudFormation::start().await);
    let (began, time) = (Instant::now(), Duration::from_secs(18));
    stage.invoke_within(time, cloud_formation.event("Update")).await.unwrap();
    assert!(began.elapsed() < time, "CloudFormation would never hear of it");
    let answer = cloud_formation.answer();
    assert_eq!(answer["Status"], "FAILED");
    let reason = answer["Reason"].as_str().unwrap();
    let expected = "the migration 20261122000001_create_object_and_link_types did not end in time. ";
    assert!(reason.starts_with(expected), "{reason}");
    let sleeping = "SELECT EXISTS (SELECT FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event = 'PgSleep')";
    let ended = async { while sqlx::query_scalar::<_, bool>(sleeping).fetch_one(&pool).await.unwrap() {} };
    tokio::time::timeout(Duration::from_secs(10), ended).await.unwrap();
    assert_eq!(applied(&pool).await, 0);
}

#[sqlx::test(migrations = false)]
async fn a_kafka_that_is_away_fails_the_deployment_in_time(pool: PgPool) {
    let stage = Stage::new(&pool).with("KAFKA_BROKERS", "127.0.0.1:1");
    let cloud_formation = CloudFormation::start().await;
    let (began, time) = (Instant::now(), Duration::from_secs(25));
    stage.invoke_within(time, cloud_formation.event("Create")).await.unwrap();
    assert!(began.elapsed() < time);
    let answer = cloud_formation.answer();
    let reason = answer["Reason"].as_str().unwrap();
    assert!(reason.starts_with("the topics are not there: Kafka: ") && reason.contains("refused"), "{reason}");
    assert_eq!(applied(&pool).await, all(), "what was done before stays");
}

#[sqlx::test(migrations = false)]
async fn settings_that_make_no_sense_fail_the_deployment_at_once(pool: PgPool) {
    let stage = Stage::new(&pool).with("DB_APP_USER", "no role").with("KAFKA_PARTITIONS", "0");
    let cloud_formation = CloudFormation::start().await;
    stage.invoke(cloud_formation.event("Create")).await.unwrap();
    let answer = cloud_formation.answer();
    let reason = answer["Reason"].as_str().unwrap();
    for part in ["2 problem(s)", "DB_APP_USER", "KAFKA_PARTITIONS", "Mend the settings"] {
        assert!(reason.contains(part), "{reason}");
    }
}

#[sqlx::test(migrations = false)]
async fn an_answer_that_is_refused_is_given_again(pool: PgPool) {
    let (stage, cloud_formation) = (Stage::new(&pool), CloudFormation::start().await);
    cloud_formation.refuse(&[StatusCode::SERVICE_UNAVAILABLE, StatusCode::INTERNAL_SERVER_ERROR]);
    stage.invoke(cloud_formation.event("Delete")).await.unwrap();
    assert_eq!(cloud_formation.answer(), success("Delete"));
    // Lambda invokes it again then, and it is as well to have an alarm.
    cloud_formation.refuse(&[StatusCode::FORBIDDEN]);
    let error = stage.invoke(cloud_formation.event("Delete")).await.unwrap_err().to_string();
    assert_eq!(error, "CloudFormation can't be answered: 403 Forbidden");
}
