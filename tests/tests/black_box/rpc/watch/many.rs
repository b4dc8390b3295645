//! Many who watch at once, and those who have left.

use std::time::Duration;

use futures::future::join_all;
use oms_proto::client::WatchObjectTypesRequest;
use oms_tests::{App, Token, Watcher, samples, until};
use tonic::Request;

use super::{
    super::channel,
    told::{take, watch},
};

/// Statements while five types were created one by one, and each was seen by everybody, over one connection.
async fn statements(watchers: usize) -> u64 {
    const CHANGES: usize = 5;
    // The reader looks when something was written here, and not by the clock meanwhile.
    let (app, proxy) = App::counted(|settings| settings.set("EVENT_POLL_MS", 600_000)).await;
    let (editor, channel, viewer) = (app.client("editor"), channel(&app.grpc()), Token::of("viewer"));
    let open = || Watcher::over(channel.clone(), &viewer, Request::new(WatchObjectTypesRequest::default()));
    let mut watching: Vec<Watcher> =
        join_all((0..watchers).map(|_| open())).await.into_iter().map(Result::unwrap).collect();
    join_all(watching.iter_mut().map(|watcher| take(watcher, 1))).await;
    editor.post("object-types", &samples::object_type("First")).expect(201).await;
    // The first change says that the reader is at work.
    join_all(watching.iter_mut().map(|watcher| take(watcher, 1))).await;

    let (seen, statements) = proxy
        .count(async {
            let mut seen = vec![Vec::new(); watchers];
            for n in 0..CHANGES {
                editor.post("object-types", &samples::object_type(&format!("T{n}"))).expect(201).await;
                let told = join_all(watching.iter_mut().map(|watcher| take(watcher, 1))).await;
                seen.iter_mut().zip(told).for_each(|(seen, told)| seen.extend(told));
            }
            seen
        })
        .await;
    let all: Vec<String> = (0..CHANGES).map(|n| format!("created T{n} v1")).collect();
    assert!(seen.iter().all(|seen| *seen == all), "{seen:?}");
    statements
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_who_watch_cost_the_database_as_much_as_one() {
    let (one, many) = (statements(1).await, statements(200).await);
    println!("{one} statements with one watcher, {many} with two hundred");
    // Whether a look finds a change that another one was made for depends on the moment.
    assert!(many <= one + 10, "{one} statements with one watcher, {many} with two hundred");
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
