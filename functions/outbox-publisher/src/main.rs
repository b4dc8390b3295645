//! The outbox publisher on AWS Lambda: invoked by pokes from SQS and by a schedule.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    oms_outbox_publisher::lambda::run().await
}
