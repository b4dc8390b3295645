//! What a watch tells, in words that tests compare.

use oms_proto::client::{
    ObjectTypeChange, ObjectTypeSnapshot, WatchObjectTypesRequest, WatchStart, object_type_change,
    object_type_event::Event, object_type_snapshot,
};
use oms_tests::{Token, Watcher};

/// With all live types first.
pub(super) fn from_snapshot() -> WatchObjectTypesRequest {
    WatchObjectTypesRequest { start: WatchStart::Snapshot.into(), ..WatchObjectTypesRequest::default() }
}

/// Everything after a token.
pub(super) fn after(token: &str) -> WatchObjectTypesRequest {
    WatchObjectTypesRequest { resume_token: token.to_owned(), ..WatchObjectTypesRequest::default() }
}

/// What a viewer watches.
pub(super) async fn watch(grpc: &str, request: WatchObjectTypesRequest) -> Watcher {
    Watcher::open(grpc, &Token::of("viewer"), request).await.unwrap()
}

/// `opened`, `Order v1` in a snapshot, `complete`, `updated Order v2`, `heartbeat`, `end`.
pub(super) fn told(event: &Event) -> String {
    match event {
        Event::Opened(_) => "opened".to_owned(),
        Event::Snapshot(ObjectTypeSnapshot { state }) => match state {
            Some(object_type_snapshot::State::ObjectType(shown)) => format!("{} v{}", shown.name, shown.version),
            Some(object_type_snapshot::State::ClaimCheck(check)) => format!("a claim check v{}", check.version),
            None => panic!("nothing is shown"),
        },
        Event::SnapshotComplete(_) => "complete".to_owned(),
        Event::Change(change) => {
            let words = change.r#type().as_str_name().to_lowercase();
            let (_, what) = words.rsplit_once('_').unwrap();
            format!("{what} {} v{}", name(change), change.version)
        }
        Event::Heartbeat(_) => "heartbeat".to_owned(),
        Event::End(_) => "end".to_owned(),
    }
}

fn name(change: &ObjectTypeChange) -> &str {
    match &change.state {
        Some(object_type_change::State::ObjectType(shown)) => &shown.name,
        Some(object_type_change::State::ClaimCheck(_)) => "a claim check",
        None => panic!("nothing is shown: {change:?}"),
    }
}

/// What the next so many messages tell.
pub(super) async fn take(watcher: &mut Watcher, count: usize) -> Vec<String> {
    let mut taken = Vec::new();
    while taken.len() < count {
        let event = watcher.next().await.unwrap();
        taken.push(told(&event.unwrap_or_else(|| panic!("it ended after {taken:?}"))));
    }
    taken
}

/// What everything tells until the stream ends, which it has to do in good order; each with the token that came with it.
pub(super) async fn rest(watcher: &mut Watcher) -> Vec<(String, String)> {
    let mut told_so_far = Vec::new();
    while let Some(event) = watcher.next().await.unwrap() {
        told_so_far.push((told(&event), watcher.last_token().to_owned()));
    }
    assert_eq!(told_so_far.last().map(|(told, _)| told.as_str()), Some("end"), "{told_so_far:?}");
    told_so_far
}

/// The words without the tokens.
pub(super) fn words(told: &[(String, String)]) -> Vec<&str> {
    told.iter().map(|(words, _)| words.as_str()).collect()
}
