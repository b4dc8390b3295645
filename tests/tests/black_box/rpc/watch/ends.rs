//! How streams end, and what is left of them.

use std::time::{Duration, Instant};

use futures::future::join_all;
use oms_proto::client::WatchObjectTypesRequest;
use oms_tests::{App, Token, Watcher, samples, until};

use super::told::{after, take, watch};

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

#[tokio::test(flavor = "multi_thread")]
async fn who_has_left_costs_nothing() {
    let (app, proxy) = App::counted(|settings| settings.set("EVENT_POLL_MS", 20)).await;
    let grpc = app.grpc();
    let request = WatchObjectTypesRequest::default();
    let mut watchers = join_all((0..20).map(|_| watch(&grpc, request.clone()))).await;
    join_all(watchers.iter_mut().map(|watcher| take(watcher, 1))).await;
    let looks = async || {
        let before = proxy.statements();
        tokio::time::sleep(Duration::from_millis(500)).await;
        proxy.statements() - before
    };
    assert!(looks().await > 5, "somebody watches");
    drop(watchers);
    // A client that goes away says so, and with the last one the reader of the log ends.
    until("the log is read for nobody", async || (looks().await == 0).then_some(())).await;
}
