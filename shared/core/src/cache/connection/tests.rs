//! A user whose password is another from now on, as a token is after a while, at a single Redis and at a cluster.

use std::{sync::Arc, time::Duration};

use redis::aio::MultiplexedConnection;
use xtask::services::Redis;

use super::Connection;
use crate::{
    cache::{Cache, CacheState},
    config::RedisConfig,
    fixture::{Tokens, redis_config},
    login::CacheLogin,
};

struct Admin(MultiplexedConnection);

impl Admin {
    async fn of(redis: &Redis) -> Self {
        Self(redis::Client::open(redis.url()).unwrap().get_multiplexed_async_connection().await.unwrap())
    }

    async fn run(&mut self, command: &str) {
        let mut words = command.split(' ');
        redis::cmd(words.next().unwrap()).arg(words.collect::<Vec<_>>()).exec_async(&mut self.0).await.unwrap();
    }
}

/// Who the cache is to Redis. It is asked however often it did not answer.
async fn whoami(cache: &Cache) -> Option<String> {
    let inner = cache.0.as_ref().unwrap();
    let ask = async |connection: &mut Connection| redis::cmd("ACL").arg("WHOAMI").query_async(connection).await;
    inner.attempt(inner.breaker.insist(), ask).await
}

#[tokio::test]
async fn every_connection_logs_in_with_the_token_of_its_moment() {
    for (redis, cluster) in [(Redis::temporary().unwrap(), false), (Redis::temporary_cluster().unwrap(), true)] {
        let (mut admin, tokens) = (Admin::of(&redis).await, Arc::new(Tokens::default()));
        admin.run("ACL SETUSER ada on ~* &* +@all >shop:ada:0").await;
        let login = CacheLogin { cache: "shop".into(), user: "ada".into(), tokens: tokens.clone() };
        let cache = Cache::new(&RedisConfig { cluster, login: Some(login), ..redis_config(Some(&redis.url()), "") });
        assert_eq!(cache.check().await, CacheState::Healthy);
        assert_eq!(whoami(&cache).await.as_deref(), Some("ada"));

        // Whoever is in stays in.
        admin.run("ACL SETUSER ada resetpass >shop:ada:1").await;
        assert_eq!(whoami(&cache).await.as_deref(), Some("ada"));

        // Not with an old token, and a refusal is not the end.
        admin.run("CLIENT KILL USER ada").await;
        for _ in 0..3 {
            assert_eq!(whoami(&cache).await, None);
        }
        tokens.tell(1);
        let again = async {
            loop {
                if let Some(user) = whoami(&cache).await {
                    return user;
                }
                tokio::task::yield_now().await;
            }
        };
        let again = tokio::time::timeout(Duration::from_secs(20), again).await;
        assert_eq!(again.expect("a new connection"), "ada", "cluster: {cluster}");
    }
}
