//! The REST function on AWS Lambda.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    oms_edge::lambda::run(oms_rest::settings, |edge, ()| oms_edge::protect(oms_rest::routes(edge), edge)).await
}
