//! The empty server: HTTP/1.1 by hyper, and one raw question to Redis or PostgreSQL behind it.
//!
//! `GET /{id}` asks for `KEY_PREFIX{id}KEY_SUFFIX` in `REDIS_URL`, or runs `STATEMENT` with the id as `$1` in `DATABASE_URL`.
//! It prints the port that it listens on.

use std::{convert::Infallible, io::Write as _, sync::Arc};

use http_body_util::Full;
use hyper::{Request, Response, body::Bytes, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use redis::aio::MultiplexedConnection;
use sqlx::{AssertSqlSafe, PgPool, postgres::PgPoolOptions};
use tokio::net::TcpListener;
use uuid::Uuid;

type Failure = Box<dyn std::error::Error + Send + Sync>;

enum Behind {
    Redis { connection: MultiplexedConnection, prefix: String, suffix: String },
    Postgres { pool: PgPool, statement: String },
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let behind = Arc::new(Behind::connect().await?);
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    writeln!(std::io::stdout(), "{}", listener.local_addr()?.port())?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let behind = behind.clone();
        tokio::spawn(async move {
            let answer = service_fn(move |request: Request<Incoming>| {
                let behind = behind.clone();
                async move { Ok::<_, Infallible>(answer(&behind, request.uri().path()).await) }
            });
            // A client that goes away is no failure.
            let _ = http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), answer).await;
        });
    }
}

async fn answer(behind: &Behind, path: &str) -> Response<Full<Bytes>> {
    let found = behind.ask(path.trim_start_matches('/')).await;
    let mut response = Response::new(Full::new(Bytes::from_static(b"hello")));
    if !matches!(found, Ok(true)) {
        *response.status_mut() = hyper::StatusCode::NOT_FOUND;
    }
    response
}

impl Behind {
    async fn connect() -> Result<Self, Failure> {
        if let Ok(statement) = std::env::var("STATEMENT") {
            let pool = PgPoolOptions::new().max_connections(25).test_before_acquire(false);
            return Ok(Self::Postgres { pool: pool.connect(&std::env::var("DATABASE_URL")?).await?, statement });
        }
        let client = redis::Client::open(std::env::var("REDIS_URL")?)?;
        let (prefix, suffix) = (std::env::var("KEY_PREFIX")?, std::env::var("KEY_SUFFIX")?);
        Ok(Self::Redis { connection: client.get_multiplexed_async_connection().await?, prefix, suffix })
    }

    /// Whether it is there.
    async fn ask(&self, id: &str) -> Result<bool, Failure> {
        match self {
            Self::Redis { connection, prefix, suffix } => {
                let key = format!("{prefix}{id}{suffix}");
                let found: Option<Vec<u8>> = redis::cmd("GET").arg(key).query_async(&mut connection.clone()).await?;
                Ok(found.is_some())
            }
            Self::Postgres { pool, statement } => {
                let query = sqlx::query(AssertSqlSafe(statement.as_str())).bind(Uuid::parse_str(id)?);
                Ok(query.fetch_optional(pool).await?.is_some())
            }
        }
    }
}
