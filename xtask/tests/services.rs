//! The services start, stop, come back and go away. Needs all of them installed: `cargo xtask test`.

use std::net::{Ipv4Addr, TcpStream};

use xtask::services::{Kafka, Moto, Postgres, Redis};

fn is_open(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[test]
fn postgres_comes_back_with_its_data_and_goes_away() {
    let mut postgres = Postgres::temporary().unwrap();
    let port = postgres.port();
    assert!(postgres.url().ends_with(&format!("@127.0.0.1:{port}/postgres")));
    postgres.ensure_database("oms").unwrap();

    postgres.stop().unwrap();
    assert!(!is_open(port));
    postgres.start().unwrap();
    assert!(is_open(port));
    postgres.ensure_database("oms").unwrap();

    drop(postgres);
    assert!(!is_open(port));
}

#[test]
fn redis_comes_back_and_goes_away() {
    for start in [Redis::temporary, Redis::temporary_cluster] {
        let mut redis = start().unwrap();
        let port = redis.port();
        assert_eq!(redis.url(), format!("redis://127.0.0.1:{port}"));
        redis.stop().unwrap();
        assert!(!is_open(port));
        redis.start().unwrap();
        assert!(is_open(port));
        drop(redis);
        assert!(!is_open(port));
    }
}

#[test]
fn kafka_comes_back_with_its_topics_and_goes_away() {
    let mut kafka = Kafka::temporary().unwrap();
    let port = kafka.port();
    assert_eq!(kafka.brokers(), format!("127.0.0.1:{port}"));
    kafka.create_topic("small", 3, &[("max.message.bytes", "2048")]).unwrap();
    kafka.create_topic("small", 5, &[]).unwrap();
    assert_eq!(kafka.partitions("small").unwrap(), Some(3), "a topic that is there stays as it is");
    let refused = kafka.create_topic("wrong", 1, &[("max.message.bytes", "many")]).unwrap_err().to_string();
    assert!(refused.contains("wrong"), "{refused}");

    kafka.stop().unwrap();
    assert!(!is_open(port));
    kafka.start().unwrap();
    assert_eq!(kafka.partitions("small").unwrap(), Some(3));
    kafka.kill();
    kafka.start().unwrap();
    assert_eq!(kafka.partitions("small").unwrap(), Some(3));

    drop(kafka);
    assert!(!is_open(port));
}

#[test]
fn moto_has_the_resources_of_oms_and_goes_away() {
    let mut moto = Moto::temporary().unwrap();
    let port = moto.port();
    let resources = moto.resources().unwrap();
    assert_eq!(resources.endpoint, format!("http://127.0.0.1:{port}"));
    assert_eq!(moto.resources().unwrap(), resources, "what is there stays");
    for url in [&resources.target_queue_url, &resources.dlq_url, &resources.fifo_url, &resources.poke_queue_url] {
        assert!(url.starts_with(&resources.endpoint), "{url}");
    }
    let environment = resources.environment();
    assert!(environment.contains(&("RELAY_DLQ_URL", resources.dlq_url.clone())));

    moto.stop().unwrap();
    assert!(!is_open(port));
    moto.start().unwrap();
    assert_eq!(moto.resources().unwrap(), resources, "it comes back empty, at the same address");

    drop(moto);
    assert!(!is_open(port));
}
