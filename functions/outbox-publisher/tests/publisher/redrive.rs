//! Dead letters put back: from the topic on the mock cluster, from the queue with moto.

use aws_sdk_sqs::Client;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use oms_outbox_publisher::{
    Publisher,
    redrive::{Fate, RedriveOptions, redrive_kafka, redrive_sqs},
};
use rdkafka::types::RDKafkaRespErr;
use serde_json::json;
use sqlx::PgPool;
use uuid::Uuid;

use crate::{
    brokers::{break_produce, messages, mock},
    oms::{create, registry},
};

const DRY: RedriveOptions = RedriveOptions { dry_run: true };
const WET: RedriveOptions = RedriveOptions { dry_run: false };

#[sqlx::test(migrator = "oms_core::postgres::MIGRATOR")]
async fn a_letter_of_the_topic_goes_back_once_with_its_key_and_headers(pool: PgPool) {
    let (mock, config) = mock(2);
    let oms = registry(&pool);
    let id = create(&oms, ["Customer".to_owned()]).await[0];
    break_produce(&mock, RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, 1);
    assert_eq!(Publisher::new(config.clone()).drain(&oms, None).await.unwrap().dead_lettered, 1);
    let letter = messages(&config, &config.dlq_topic).remove(0);

    let shown = redrive_kafka(&config, DRY).await.unwrap();
    assert_eq!((shown.letters.len(), shown.redriven()), (1, 0));
    assert_eq!(shown.letters[0].key, Some(id.to_string()));
    assert!(shown.to_string().contains("too large"), "{shown}");
    assert!(messages(&config, &config.topic).is_empty(), "a dry run puts nothing back");

    let report = redrive_kafka(&config, WET).await.unwrap();
    assert_eq!((report.letters.len(), report.redriven()), (1, 1), "{report}");
    let got = messages(&config, &config.topic);
    assert_eq!(got.len(), 1);
    assert_eq!((&got[0].key, &got[0].value), (&letter.key, &letter.value));
    let mut expected = letter.headers.clone();
    expected.remove("original-error").unwrap();
    expected.insert("redriven".into(), "1".into());
    assert_eq!(got[0].headers, expected);

    assert!(redrive_kafka(&config, WET).await.unwrap().letters.is_empty(), "it is done once");
    assert_eq!(messages(&config, &config.topic).len(), 1);
}

#[sqlx::test(migrator = "oms_core::postgres::MIGRATOR")]
async fn a_letter_that_is_refused_again_stays_at_the_end_of_the_letters(pool: PgPool) {
    let (mock, config) = mock(1);
    let oms = registry(&pool);
    let mut publisher = Publisher::new(config.clone());
    for name in ["First", "Second"] {
        create(&oms, [name.to_owned()]).await;
        break_produce(&mock, RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, 1);
        assert_eq!(publisher.drain(&oms, None).await.unwrap().dead_lettered, 1);
    }
    break_produce(&mock, RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, 1);
    let report = redrive_kafka(&config, WET).await.unwrap();
    assert_eq!((report.letters.len(), report.redriven(), report.left().count()), (2, 1, 1), "{report}");
    let again = redrive_kafka(&config, WET).await.unwrap();
    assert_eq!((again.letters.len(), again.redriven()), (1, 1), "{again}");
    assert_eq!(messages(&config, &config.topic).len(), 2);
}

/// A queue that no other test has.
async fn queue() -> (Client, String) {
    let endpoint = std::env::var("AWS_ENDPOINT_URL");
    let endpoint = endpoint.expect("these tests need moto: set AWS_ENDPOINT_URL, or run them with `cargo xtask test`");
    let config = aws_sdk_sqs::Config::builder()
        .behavior_version(aws_sdk_sqs::config::BehaviorVersion::latest())
        .endpoint_url(endpoint)
        .region(aws_sdk_sqs::config::Region::new("eu-west-1"))
        .credentials_provider(aws_sdk_sqs::config::Credentials::new("test", "test", None, None, "tests"))
        .build();
    let client = Client::from_conf(config);
    let created = client.create_queue().queue_name(Uuid::new_v4().to_string()).send().await.unwrap();
    (client, created.queue_url.unwrap())
}

#[tokio::test]
async fn letters_of_the_queue_go_back_and_those_without_a_value_stay() {
    let (_mock, config) = mock(2);
    let (client, url) = queue().await;
    let key = Uuid::new_v4().to_string();
    let letter = |offset: i64, value: Option<&str>| {
        json!({
            "topic": "oms-events", "partition": 3, "offset": offset, "timestamp": 1, "reason": "not an event",
            "key": key, "value": value.map(|value| STANDARD.encode(value)), "headers": {"ce_id": STANDARD.encode("42")},
        })
    };
    for body in [letter(1, Some(r#"{"n":1}"#)).to_string(), letter(2, None).to_string(), "nonsense".to_owned()] {
        client.send_message().queue_url(&url).message_body(body).send().await.unwrap();
    }

    let shown = redrive_sqs(&config, &client, &url, DRY).await.unwrap();
    assert_eq!((shown.letters.len(), shown.redriven()), (3, 0), "{shown}");
    assert!(messages(&config, &config.topic).is_empty());

    let report = redrive_sqs(&config, &client, &url, WET).await.unwrap();
    assert_eq!((report.letters.len(), report.redriven()), (3, 1), "{report}");
    let fate = |record: &str| report.letters.iter().find(|letter| letter.record.contains(record)).unwrap();
    assert_eq!(fate("oms-events-3@1").fate, Fate::Redriven);
    assert!(matches!(&fate("oms-events-3@2").fate, Fate::Left(why) if why.contains("too large")));
    assert!(matches!(&fate("message").fate, Fate::Left(_)));
    let got = messages(&config, &config.topic);
    assert_eq!(got.len(), 1);
    assert_eq!((&got[0].key, &got[0].value), (&key, &json!({"n": 1})));
    assert_eq!(got[0].headers, [("ce_id", "42"), ("redriven", "1")].map(|(k, v)| (k.into(), v.into())).into());

    let again = redrive_sqs(&config, &client, &url, WET).await.unwrap();
    assert_eq!((again.letters.len(), again.redriven()), (2, 0), "what stays is there at once");
}

#[tokio::test]
async fn without_kafka_no_letter_of_the_queue_is_lost() {
    let (mock, mut config) = mock(1);
    config.delivery_timeout = std::time::Duration::from_secs(2);
    let (client, url) = queue().await;
    for n in 0..2 {
        let body = json!({"topic": "t", "partition": 0, "offset": n, "reason": "r", "key": "k", "value": "e30="});
        client.send_message().queue_url(&url).message_body(body.to_string()).send().await.unwrap();
    }
    mock.broker_down(-1).unwrap();
    redrive_sqs(&config, &client, &url, WET).await.unwrap_err();
    mock.broker_up(-1).unwrap();
    let report = redrive_sqs(&config, &client, &url, WET).await.unwrap();
    assert_eq!((report.letters.len(), report.redriven()), (2, 2), "{report}");
}
