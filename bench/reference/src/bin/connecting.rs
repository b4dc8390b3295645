//! The empty function with a database: each invocation connects and runs `SELECT 1`.

use std::str::FromStr as _;

use lambda_http::{Body, Error, Request, Response, service_fn};
use sqlx::{ConnectOptions as _, Connection as _, postgres::PgConnectOptions};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let options = PgConnectOptions::from_str(&std::env::var("DATABASE_URL")?)?;
    lambda_http::run(service_fn(async |_: Request| {
        let mut connection = options.connect().await?;
        sqlx::query("SELECT 1").execute(&mut connection).await?;
        // Nobody waits for that.
        tokio::spawn(connection.close());
        Ok::<_, Error>(Response::new(Body::from("{}")))
    }))
    .await
}
