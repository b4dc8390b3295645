//! How streams end, and what is left of them.

use std::time::{Duration, Instant};

use oms_proto::client::WatchObjectTypesRequest;
use oms_tests::{App, Token, Watcher, samples};
use tonic::Request;

use super::{
    super::channel,
    told::{after, take, watch},
};

#[tokio::test]
async fn a_stream_lasts_no_longer_than_the_token_of_its_caller() {
    let app = App::start().await;
    let token = Token::of("viewer").expires_in(2);
    let opened = Instant::now();
    let mut watcher = Watcher::open(&app.grpc(), &token, WatchObjectTypesRequest::default()).await.unwrap();
    assert_eq!(take(&mut watcher, 2).await, ["opened", "end"]);
    assert_eq!(watcher.next().await.unwrap(), None);
    assert!(opened.elapsed() < Duration::from_secs(10), "{:?}", opened.elapsed());
    // With a new one it goes on.
    app.client("editor").post("object-types", &samples::object_type("Order")).expect(201).await;
    let mut resumed = watch(&app.grpc(), after(watcher.last_token())).await;
    assert_eq!(take(&mut resumed, 2).await, ["opened", "created Order v1"]);
}

#[tokio::test]
async fn a_stream_ends_after_its_time_and_its_token_has_passed_what_was_not_shown() {
    let app = App::with(|settings| settings.set("EVENT_STREAM_SECONDS", 1)).await;
    let editor = app.client("editor");
    let nobody = WatchObjectTypesRequest { names: vec!["Nobody".to_owned()], ..WatchObjectTypesRequest::default() };
    let mut watcher = watch(&app.grpc(), nobody).await;
    assert_eq!(take(&mut watcher, 1).await, ["opened"]);
    editor.post("object-types", &samples::object_type("Order")).expect(201).await;
    assert_eq!(take(&mut watcher, 1).await, ["end"]);
    assert_eq!(watcher.next().await.unwrap(), None, "in good order");
    let mut resumed = watch(&app.grpc(), after(watcher.last_token())).await;
    assert_eq!(take(&mut resumed, 2).await, ["opened", "end"], "what was passed over is not told again");
}

#[tokio::test]
async fn a_stream_ends_before_its_client_gives_it_up() {
    let app = App::start().await;
    let mut request = Request::new(WatchObjectTypesRequest::default());
    request.set_timeout(Duration::from_secs(2));
    let opened = Instant::now();
    let mut watcher = Watcher::over(channel(&app.grpc()), &Token::of("viewer"), request).await.unwrap();
    assert_eq!(take(&mut watcher, 2).await, ["opened", "end"]);
    // A deadline that has passed would be a failure.
    assert_eq!(watcher.next().await.unwrap(), None);
    assert!(opened.elapsed() > Duration::from_secs(1), "and not long before: {:?}", opened.elapsed());
}
