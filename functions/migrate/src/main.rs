//! The function that runs before all others of a deployment.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    oms_migrate::run().await
}
