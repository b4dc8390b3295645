//! A connection to a single Redis or to a cluster, for the same commands.

#[cfg(test)]
mod tests;

use std::{future, pin::Pin};

use futures::{Stream, StreamExt as _, stream};
use redis::{
    BasicAuth, Cmd, ErrorKind, Pipeline, RedisError, RedisFuture, RedisResult, StreamingCredentialsProvider, Value,
    aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig},
    cluster::ClusterClientBuilder,
    cluster_async::ClusterConnection,
};

use crate::{config::RedisConfig, login::CacheLogin};

#[derive(Clone)]
pub(super) enum Connection {
    Single(ConnectionManager),
    Cluster(ClusterConnection),
}

impl Connection {
    pub(super) async fn open(config: &RedisConfig) -> RedisResult<Self> {
        let url = config.url.as_ref().map(|url| url.expose()).unwrap_or_default();
        if config.cluster {
            let mut client = ClusterClientBuilder::new([url])
                .connection_timeout(config.timeout)
                .response_timeout(config.timeout)
                .retries(1);
            if let Some(login) = &config.login {
                client = client.set_credentials_provider(login.clone());
            }
            return Ok(Self::Cluster(client.build()?.get_async_connection().await?));
        }
        let mut manager = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(config.timeout))
            .set_response_timeout(Some(config.timeout))
            .set_number_of_retries(1);
        if let Some(login) = &config.login {
            manager = manager.set_credentials_provider(login.clone());
        }
        Ok(Self::Single(ConnectionManager::new_with_config(redis::Client::open(url)?, manager).await?))
    }
}

/// Every connection asks for itself, whenever it is opened: its token is always of that moment.
impl StreamingCredentialsProvider for CacheLogin {
    fn subscribe(&self) -> Pin<Box<dyn Stream<Item = RedisResult<BasicAuth>> + Send>> {
        let token = self.tokens.for_cache(&self.cache, &self.user);
        let credentials = token
            .map(|token| BasicAuth::new(self.user.clone(), token.expose().to_owned()))
            .map_err(|error| RedisError::from((ErrorKind::AuthenticationFailed, "no token", error.to_string())));
        // A second one would prolong the twelve hours of a connection. Nobody misses it: it is opened again.
        Box::pin(stream::once(future::ready(credentials)).chain(stream::pending()))
    }
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::Single(connection) => connection.req_packed_command(command),
            Self::Cluster(connection) => connection.req_packed_command(command),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::Single(connection) => connection.req_packed_commands(pipeline, offset, count),
            Self::Cluster(connection) => connection.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::Single(connection) => connection.get_db(),
            Self::Cluster(connection) => connection.get_db(),
        }
    }
}
