//! The gRPC function on AWS Lambda: gRPC-Web and Connect.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    oms_edge::lambda::run(oms_rpc::settings, |edge, ()| oms_rpc::router(edge)).await
}
