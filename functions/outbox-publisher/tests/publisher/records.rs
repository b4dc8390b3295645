//! What a message looks like.

use std::collections::BTreeSet;

use oms_outbox_publisher::Publisher;
use sqlx::PgPool;

use crate::{
    brokers::{messages, mock},
    oms::{create, registry},
};

/// The hash of keys in Java's clients.
fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut h = 0x9747_b28c ^ u32::try_from(data.len()).unwrap();
    let mut chunks = data.chunks_exact(4);
    for chunk in &mut chunks {
        let mut k = u32::from_le_bytes(chunk.try_into().unwrap()).wrapping_mul(M);
        k ^= k >> 24;
        h = h.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    let rest = chunks.remainder();
    for (index, byte) in rest.iter().enumerate() {
        h ^= u32::from(*byte) << (8 * index);
    }
    if !rest.is_empty() {
        h = h.wrapping_mul(M);
    }
    h ^= h >> 13;
    h = h.wrapping_mul(M);
    h ^ (h >> 15)
}

#[test]
fn the_hash_here_is_that_of_javas_clients() {
    // From the tests of org.apache.kafka.common.utils.Utils.
    let known: [(&str, i32); 6] = [
        ("21", -973_932_308),
        ("foobar", -790_332_482),
        ("a-little-bit-long-string", -985_981_536),
        ("a-little-bit-longer-string", -1_486_304_829),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
        ("abc", 479_470_107),
    ];
    for (text, hash) in known {
        assert_eq!(murmur2(text.as_bytes()).cast_signed(), hash, "{text}");
    }
}

#[sqlx::test(migrator = "oms_core::postgres::MIGRATOR")]
async fn a_message_goes_to_the_partition_that_java_would_choose(pool: PgPool) {
    let (_mock, config) = mock(12);
    let oms = registry(&pool);
    create(&oms, (0..100).map(|n| format!("Type{n}"))).await;
    Publisher::new(config.clone()).drain(&oms, None).await.unwrap();
    let got = messages(&config, &config.topic);
    assert_eq!(got.len(), 100);
    for message in got {
        let expected = (murmur2(message.key.as_bytes()) & 0x7fff_ffff) % 12;
        assert_eq!(u32::try_from(message.partition).unwrap(), expected, "{}", message.key);
    }
}

#[sqlx::test(migrator = "oms_core::postgres::MIGRATOR")]
async fn a_message_is_a_cloud_event_in_binary_mode(pool: PgPool) {
    let (_mock, config) = mock(1);
    let oms = registry(&pool);
    let id = create(&oms, ["Customer".to_owned()]).await[0];
    Publisher::new(config.clone()).drain(&oms, None).await.unwrap();
    let got = messages(&config, &config.topic).remove(0);
    assert_eq!(got.key, id.to_string());
    let event: oms_events::Event = serde_json::from_value(got.value.clone()).unwrap();
    assert_eq!(event.data.object_type.unwrap().name, "Customer");
    assert_eq!(event.metadata.position, 1);
    let entity = id.to_string();
    let expected = [
        ("ce_specversion", "1.0"),
        ("ce_id", got.id()),
        ("ce_source", "openfoundry.oms"),
        ("ce_type", "ObjectTypeCreated"),
        ("ce_time", got.value["timestamp"].as_str().unwrap()),
        ("ce_subject", entity.as_str()),
        ("content-type", "application/json"),
        ("event-type", "ObjectTypeCreated"),
        ("event-version", "1"),
        ("correlation-id", "c-1"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ];
    let headers: BTreeSet<_> = got.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(headers, BTreeSet::from(expected));
}
