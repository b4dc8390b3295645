//! The GraphQL function on AWS Lambda.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    let router = |edge: &_, config| oms_edge::protect(oms_graphql::routes(edge, config), edge);
    oms_edge::lambda::run(oms_graphql::settings, router).await
}
