//! Many who watch at once.

use futures::future::join_all;
use oms_tests::{App, samples};

use super::positions;

/// Statements while five events were written one by one, and each was seen by everybody.
async fn statements(watchers: usize) -> u64 {
    const EVENTS: usize = 5;
    // The reader looks when something was written here, and not by the clock meanwhile.
    let (app, proxy) = App::counted(|settings| settings.set("EVENT_POLL_MS", 600_000)).await;
    let (editor, viewer) = (app.client("editor"), app.client("viewer"));
    let mut streams = join_all((0..watchers).map(|_| viewer.get("events").stream())).await;
    // The first frame says that a stream is open, the first event that the reader is at work.
    editor.post("object-types", &samples::object_type("First")).expect(201).await;
    join_all(streams.iter_mut().map(|stream| stream.take(1))).await;

    let (seen, statements) = proxy
        .count(async {
            let mut seen = vec![Vec::new(); watchers];
            for n in 0..EVENTS {
                editor.post("object-types", &samples::object_type(&format!("T{n}"))).expect(201).await;
                for (seen, events) in seen.iter_mut().zip(join_all(streams.iter_mut().map(|s| s.take(1))).await) {
                    seen.extend(positions(&events));
                }
            }
            seen
        })
        .await;
    assert!(seen.iter().all(|positions| *positions == [2, 3, 4, 5, 6]), "{seen:?}");
    statements
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_who_watch_cost_the_database_as_much_as_one() {
    let (one, many) = (statements(1).await, statements(200).await);
    // Whether a look finds an event that another one was made for depends on the moment.
    assert!(many <= one + 10, "{one} statements with one watcher, {many} with two hundred");
}
