//! The GraphQL function on AWS Lambda.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    oms_edge::lambda::run(oms_graphql::GraphqlConfig::read, oms_graphql::routes).await
}
