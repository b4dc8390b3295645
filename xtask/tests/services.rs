//! The services start, stop, come back and go away. Needs PostgreSQL and Redis: `cargo xtask test`.

use std::net::{Ipv4Addr, TcpStream};

use xtask::services::{Postgres, Redis};

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
