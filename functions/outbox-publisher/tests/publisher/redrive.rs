//! Dead letters put back: from the topic on the mock cluster, from the queue with moto.

use std::time::{Duration, Instant};

use aws_sdk_sqs::{
    Client,
    config::{
        ConfigBag, Intercept, RuntimeComponents,
        interceptors::{BeforeSerializationInterceptorContextRef, BeforeTransmitInterceptorContextMut},
    },
    error::BoxError,
    operation::delete_message::DeleteMessageInput,
};
use oms_events::DeadRecord;
use oms_outbox_publisher::{
    Publisher,
    redrive::{Fate, RedriveOptions, Report, redrive_kafka, redrive_sqs},
};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use serde_json::json;
use sqlx::PgPool;
use uuid::Uuid;

use crate::{
    brokers::{break_produce, config, heal, messages, mock},
    oms::{create, registry},
};

const DRY: RedriveOptions = RedriveOptions { dry_run: true, until: None, most: None };
const WET: RedriveOptions = RedriveOptions { dry_run: false, until: None, most: None };

/// The report of a redrive that came to its end.
fn whole(report: Report) -> Report {
    assert_eq!(report.failure, None, "{report}");
    report
}

#[sqlx::test(migrator = "oms_core::postgres::MIGRATOR")]
async fn a_letter_of_the_topic_goes_back_once_with_its_key_and_headers(pool: PgPool) {
    let (mock, config) = mock(2);
    let oms = registry(&pool);
    let id = create(&oms, ["Customer".to_owned()]).await[0];
    break_produce(&mock, RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, 1);
    assert_eq!(Publisher::new(config.clone()).drain(&oms, None).await.unwrap().dead_lettered, 1);
    let letter = messages(&config, &config.dlq_topic).remove(0);

    let shown = whole(redrive_kafka(&config, DRY).await);
    assert_eq!((shown.letters.len(), shown.redriven()), (1, 0));
    assert_eq!(shown.letters[0].key, Some(id.to_string()));
    assert!(shown.to_string().contains("too large"), "{shown}");
    assert!(messages(&config, &config.topic).is_empty(), "a dry run puts nothing back");

    let report = whole(redrive_kafka(&config, WET).await);
    assert_eq!((report.letters.len(), report.redriven()), (1, 1), "{report}");
    let got = messages(&config, &config.topic);
    assert_eq!(got.len(), 1);
    assert_eq!((&got[0].key, &got[0].value), (&letter.key, &letter.value));
    let mut expected = letter.headers.clone();
    expected.remove("original-error").unwrap();
    expected.insert("redriven".into(), "1".into());
    assert_eq!(got[0].headers, expected);

    assert!(whole(redrive_kafka(&config, WET).await).letters.is_empty(), "it is done once");
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
    let report = whole(redrive_kafka(&config, WET).await);
    assert_eq!((report.letters.len(), report.redriven(), report.left().count()), (2, 1, 1), "{report}");
    let again = whole(redrive_kafka(&config, WET).await);
    assert_eq!((again.letters.len(), again.redriven()), (1, 1), "{again}");
    assert_eq!(messages(&config, &config.topic).len(), 2);
}

#[sqlx::test(migrator = "oms_core::postgres::MIGRATOR")]
async fn a_redrive_that_fails_half_way_says_what_it_did_and_the_next_goes_on(pool: PgPool) {
    let (mock, config) = mock(1);
    let oms = registry(&pool);
    let mut publisher = Publisher::new(config.clone());
    for name in ["First", "Second", "Third"] {
        create(&oms, [name.to_owned()]).await;
        break_produce(&mock, RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, 1);
        assert_eq!(publisher.drain(&oms, None).await.unwrap().dead_lettered, 1);
    }
    break_produce(&mock, RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR, 1);
    break_produce(&mock, RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, 1_000);
    let report = redrive_kafka(&config, WET).await;
    assert_eq!((report.letters.len(), report.redriven(), report.left().count()), (2, 1, 0), "{report}");
    assert!(matches!(&report.letters[1].fate, Fate::Uncertain(why) if why.contains("uthorization")), "{report}");
    assert!(report.failure.as_ref().unwrap().contains("uthorization"), "{report}");
    assert!(report.to_string().contains("stopped by a failure"), "{report}");
    heal(&mock);
    let report = whole(redrive_kafka(&config, WET).await);
    assert_eq!((report.letters.len(), report.redriven()), (2, 2), "{report}");
    assert_eq!(messages(&config, &config.topic).len(), 3);
}

#[sqlx::test(migrator = "oms_core::postgres::MIGRATOR")]
async fn a_letter_that_went_back_and_could_not_be_noted_is_told_apart(pool: PgPool) {
    let (mock, config) = mock(1);
    let oms = registry(&pool);
    create(&oms, ["Customer".to_owned()]).await;
    break_produce(&mock, RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, 1);
    assert_eq!(Publisher::new(config.clone()).drain(&oms, None).await.unwrap().dead_lettered, 1);
    let refused = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED; 10];
    mock.request_errors(RDKafkaApiKey::OffsetCommit, &refused);
    let report = redrive_kafka(&config, WET).await;
    assert!(report.failure.is_some() && matches!(report.letters[0].fate, Fate::Uncertain(_)), "{report}");
    mock.clear_request_errors(RDKafkaApiKey::OffsetCommit);
    assert_eq!(whole(redrive_kafka(&config, WET).await).redriven(), 1);
    assert_eq!(messages(&config, &config.topic).len(), 2, "it was repeated, as the report said it may be");
}

/// librdkafka does not connect before it has a token, and asks for one only where it is polled.
#[tokio::test]
async fn tokens_for_msk_are_made_before_anything_is_asked_of_the_brokers() {
    let more = [("KAFKA_SECURITY", "msk-iam"), ("AWS_REGION", "eu-west-1"), ("KAFKA_DELIVERY_TIMEOUT_MS", "2000")];
    let mut config = config("127.0.0.1:1", &more);
    // What makes a token impossible is named only by whoever tries.
    config.region = None;
    let failure = redrive_kafka(&config, WET).await.failure.unwrap();
    assert!(failure.contains("AWS_REGION is not set"), "{failure}");
}

/// As the function's own, but for what is adjusted.
async fn client(adjust: impl FnOnce(aws_sdk_sqs::config::Builder) -> aws_sdk_sqs::config::Builder) -> Client {
    let endpoint = std::env::var("AWS_ENDPOINT_URL");
    endpoint.expect("these tests need moto: set AWS_ENDPOINT_URL, or run them with `cargo xtask test`");
    let sdk = aws_config::load_defaults(aws_config::BehaviorVersion::latest()).await;
    Client::from_conf(adjust((&sdk).into()).build())
}

/// A queue that no other test has.
pub(crate) async fn queue() -> (Client, String) {
    let client = client(|builder| builder).await;
    let created = client.create_queue().queue_name(Uuid::new_v4().to_string()).send().await.unwrap();
    (client, created.queue_url.unwrap())
}

/// A letter as the relay writes it.
pub(crate) fn letter(key: &str, offset: i64, value: &str, max_bytes: usize) -> String {
    let record = DeadRecord {
        topic: "oms-events",
        partition: 3,
        offset,
        timestamp: Some(1),
        reason: "not an event",
        key: Some(key.as_bytes()),
        value: Some(value.as_bytes()),
        headers: &[("ce_id".to_owned(), b"42".to_vec())],
    };
    record.to_message(max_bytes).unwrap()
}

/// More bytes than any letter of these tests has.
pub(crate) const PLENTY: usize = 100_000;

#[tokio::test]
async fn letters_of_the_queue_go_back_and_those_without_a_value_stay() {
    let (_mock, config) = mock(2);
    let (client, url) = queue().await;
    let key = Uuid::new_v4().to_string();
    let quotes = json!({"quotes": "\"".repeat(1_000)});
    let noise: String = (0..100).map(|_| Uuid::new_v4().simple().to_string()).collect();
    let letters = [
        letter(&key, 1, r#"{"n":1}"#, PLENTY),
        letter(&key, 2, &noise, 1_000),
        letter(&key, 3, &quotes.to_string(), 1_000),
        "nonsense".to_owned(),
    ];
    assert!(letters[2].contains("gzip"), "{}", letters[2]);
    for body in letters {
        client.send_message().queue_url(&url).message_body(body).send().await.unwrap();
    }

    let shown = whole(redrive_sqs(&config, &client, &url, DRY).await);
    assert_eq!((shown.letters.len(), shown.redriven()), (4, 0), "{shown}");
    assert!(messages(&config, &config.topic).is_empty());

    let report = whole(redrive_sqs(&config, &client, &url, WET).await);
    assert_eq!((report.letters.len(), report.redriven()), (4, 2), "{report}");
    let fate = |record: &str| &report.letters.iter().find(|letter| letter.record.contains(record)).unwrap().fate;
    assert_eq!((fate("oms-events-3@1"), fate("oms-events-3@3")), (&Fate::Redriven, &Fate::Redriven));
    assert!(matches!(fate("oms-events-3@2"), Fate::Left(why) if why.contains("too large")));
    assert!(matches!(fate("message"), Fate::Left(_)));
    let mut got = messages(&config, &config.topic);
    got.sort_by_key(|message| message.value.to_string());
    assert_eq!(got.len(), 2);
    for (message, value) in got.iter().zip([json!({"n": 1}), quotes]) {
        assert_eq!((&message.key, &message.value), (&key, &value));
        assert_eq!(message.headers, [("ce_id", "42"), ("redriven", "1")].map(|(k, v)| (k.into(), v.into())).into());
    }

    let again = whole(redrive_sqs(&config, &client, &url, WET).await);
    assert_eq!((again.letters.len(), again.redriven()), (2, 0), "what stays is there at once");
}

/// As when the relay refuses the record again: a new letter for each that is put back.
#[tokio::test]
async fn a_redrive_ends_though_new_letters_keep_coming() {
    let (_mock, config) = mock(1);
    let (client, url) = queue().await;
    let key = Uuid::new_v4().to_string();
    let send = async |n: i64| {
        let body = letter(&key, n, r#"{"n":1}"#, PLENTY);
        client.send_message().queue_url(&url).message_body(body).send().await.unwrap();
    };
    send(1).await;
    let keep_sending = async {
        for n in 2.. {
            send(n).await;
        }
    };
    let redriving = tokio::time::timeout(Duration::from_secs(60), redrive_sqs(&config, &client, &url, WET));
    let report = tokio::select! {
        report = redriving => whole(report.expect("it ends")),
        () = keep_sending => unreachable!("it never ends by itself"),
    };
    assert_eq!(report.redriven(), 1, "{report}");
}

#[tokio::test]
async fn without_kafka_no_letter_of_the_queue_is_lost() {
    let (mock, mut config) = mock(1);
    config.delivery_timeout = Duration::from_secs(2);
    let (client, url) = queue().await;
    for n in 0..2 {
        client.send_message().queue_url(&url).message_body(letter("k", n, "{}", PLENTY)).send().await.unwrap();
    }
    mock.broker_down(-1).unwrap();
    let report = redrive_sqs(&config, &client, &url, WET).await;
    assert!(report.failure.is_some(), "{report}");
    assert_eq!((report.letters.len(), report.redriven()), (1, 0), "it ends with the first that fails: {report}");
    mock.broker_up(-1).unwrap();
    let report = whole(redrive_sqs(&config, &client, &url, WET).await);
    assert_eq!((report.letters.len(), report.redriven()), (2, 2), "{report}");
}

/// Takes letters from the queue, and can't delete any.
#[derive(Debug)]
struct Undeletable;

impl Intercept for Undeletable {
    fn name(&self) -> &'static str {
        "Undeletable"
    }

    fn read_before_execution(
        &self,
        context: &BeforeSerializationInterceptorContextRef<'_>,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        match context.input().downcast_ref::<DeleteMessageInput>() {
            Some(_) => Err("no right to delete".into()),
            None => Ok(()),
        }
    }
}

#[tokio::test]
async fn a_letter_that_went_back_and_could_not_be_deleted_is_told_apart() {
    let (_mock, config) = mock(1);
    let (able, url) = queue().await;
    able.send_message().queue_url(&url).message_body(letter("k", 1, "{}", PLENTY)).send().await.unwrap();
    let unable = client(|builder| builder.interceptor(Undeletable)).await;
    let report = redrive_sqs(&config, &unable, &url, WET).await;
    assert!(report.failure.as_ref().unwrap().contains("no right to delete"), "{report}");
    assert!(report.to_string().contains("another try may repeat it: oms-events-3@1 k"), "{report}");
    assert_eq!(messages(&config, &config.topic).len(), 1);
    assert_eq!(whole(redrive_sqs(&config, &able, &url, WET).await).redriven(), 1);
}

#[tokio::test]
async fn a_full_report_leaves_the_other_letters_of_the_queue() {
    let (_mock, config) = mock(1);
    let (client, url) = queue().await;
    for n in 0..3 {
        client.send_message().queue_url(&url).message_body(letter("k", n, "{}", PLENTY)).send().await.unwrap();
    }
    for (dry_run, counts) in [(true, (2, 0, true)), (false, (2, 2, true)), (false, (1, 1, false))] {
        let report =
            whole(redrive_sqs(&config, &client, &url, RedriveOptions { dry_run, most: Some(2), until: None }).await);
        assert_eq!((report.letters.len(), report.redriven(), report.unfinished), counts, "{report}");
    }
    assert_eq!(messages(&config, &config.topic).len(), 3);
}

#[sqlx::test(migrator = "oms_core::postgres::MIGRATOR")]
async fn a_full_report_leaves_the_other_letters_of_the_topic(pool: PgPool) {
    let (mock, config) = mock(1);
    let oms = registry(&pool);
    let mut publisher = Publisher::new(config.clone());
    for name in ["First", "Second", "Third"] {
        create(&oms, [name.to_owned()]).await;
        break_produce(&mock, RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, 1);
        assert_eq!(publisher.drain(&oms, None).await.unwrap().dead_lettered, 1);
    }
    for (dry_run, counts) in [(true, (2, 0, true)), (false, (2, 2, true)), (false, (1, 1, false))] {
        let report = whole(redrive_kafka(&config, RedriveOptions { dry_run, most: Some(2), until: None }).await);
        assert_eq!((report.letters.len(), report.redriven(), report.unfinished), counts, "{report}");
    }
    assert_eq!(messages(&config, &config.topic).len(), 3);
}

/// Takes letters from the queue; whoever deletes one waits in vain for an answer.
#[derive(Debug)]
struct Silent {
    address: std::net::SocketAddr,
}

impl Intercept for Silent {
    fn name(&self) -> &'static str {
        "Silent"
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let request = context.request_mut();
        if request.headers().get("x-amz-target") == Some("AmazonSQS.DeleteMessage") {
            request.set_uri(format!("http://{}/", self.address))?;
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_letter_that_is_cut_in_the_middle_is_told_apart_in_time() {
    let (_mock, mut config) = mock(1);
    config.delivery_timeout = Duration::from_secs(3);
    let (able, url) = queue().await;
    able.send_message().queue_url(&url).message_body(letter("k", 1, "{}", PLENTY)).send().await.unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let patient = client(|builder| builder.interceptor(Silent { address })).await;
    let until = Instant::now() + Duration::from_secs(7);
    let options = RedriveOptions { until: Some(until), ..WET };
    let report = whole(redrive_sqs(&config, &patient, &url, options).await);
    assert!(until.elapsed() < Duration::from_secs(1), "the function answers within its reserve");
    assert!(report.unfinished, "{report}");
    assert!(matches!(&report.letters[0].fate, Fate::Uncertain(why) if why.contains("time")), "{report}");
    assert_eq!(messages(&config, &config.topic).len(), 1);
}
