//! Somebody who watches, whatever happens to the server, and what is seen.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use oms_proto::client::{
    ListObjectTypesRequest, ObjectType, ObjectTypeChange, WatchObjectTypesRequest, object_type_change,
    object_type_event::Event, object_type_service_client::ObjectTypeServiceClient, object_type_snapshot,
};
use oms_tests::{Token, until_within};
use tokio::{sync::watch, task::JoinHandle};
use tonic::{
    Code, Request, Status,
    transport::{Channel, Endpoint},
};

use super::Addresses;

/// How long everything may take to arrive once it is left in peace.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a client takes at most without reading it, if it rests: a killed server has not sent it all before.
const SMALL_WINDOW: u32 = 4_096;

/// What somebody who watches has seen, in all streams.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// How many streams there were.
    pub(super) opened: usize,
    /// What the snapshot has shown: the version of each type, and in which stream.
    pub(super) shown: BTreeMap<String, (i64, usize)>,
    is_complete: bool,
    /// How many streams broke within the snapshot.
    pub(super) broken_snapshots: usize,
    /// In the order they came.
    pub(super) changes: Vec<Change>,
    /// The live types, of what is seen.
    pub(super) live: BTreeMap<String, ObjectType>,
    /// The version that each type has come to, deleted or not.
    versions: BTreeMap<String, i64>,
    messages: usize,
    /// Changes to versions that the snapshot had shown, in a stream that was cut off since.
    repeats: usize,
    /// Whether the last message said that the stream ends.
    is_ended: bool,
    /// What should not have come.
    pub(super) faults: Vec<String>,
}

/// A change that was told.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) position: i64,
    pub(super) id: String,
    pub(super) version: i64,
    pub(super) labels: Labels,
    is_deletion: bool,
}

impl Change {
    pub(super) fn key(&self) -> (&str, i64) {
        (&self.id, self.version)
    }
}

/// What filters look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Labels {
    pub(super) name: String,
    pub(super) category: Option<String>,
    pub(super) tags: Vec<String>,
}

impl Labels {
    /// A name and nothing else.
    pub(super) fn named(name: &str) -> Self {
        Self { name: name.to_owned(), category: None, tags: Vec::new() }
    }
}

impl Seen {
    pub(super) fn numbers(&self) -> String {
        format!(
            "{} messages in {} streams: {} types of a snapshot ({} streams broke within it), {} changes, {} of them \
            to versions that the snapshot had shown",
            self.messages,
            self.opened,
            self.shown.len(),
            self.broken_snapshots,
            self.changes.len(),
            self.repeats
        )
    }

    /// Fails unless nothing is missing after the snapshot, by what was really changed.
    pub(super) fn assert_complete(&self, log: &[Change], versions: &BTreeMap<String, i64>, deleted: &BTreeSet<&str>) {
        assert!(self.is_complete, "the snapshot was not finished");
        let mut told: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
        for change in &self.changes {
            told.entry(&change.id).or_default().push(change.version);
        }
        for (id, last) in versions {
            let (told, shown) = (told.remove(id.as_str()).unwrap_or_default(), self.shown.get(id));
            let from = told.first().copied().unwrap_or(last + 1);
            assert_eq!(told, (from..=*last).collect::<Vec<_>>(), "changes of {id}, shown at {shown:?}");
            match shown {
                Some((shown, _)) => assert!(from <= shown + 1, "{id}: a gap from {shown} to {from}"),
                // It was deleted before the snapshot came to it, or created later.
                None if from > *last => assert!(deleted.contains(id.as_str()), "{id} was not shown"),
                None => {
                    let own = |change: &&Change| change.id == *id && change.version >= from - 1;
                    let was_deleted = log.iter().filter(own).any(|change| change.is_deletion);
                    assert!(was_deleted || from == 1, "{id} was not shown, and is told of from {from} on");
                }
            }
        }
    }

    /// A stream has ended, or was cut off.
    fn ended(&mut self, how: Result<(), Status>) {
        match how {
            Ok(()) if self.is_ended => return,
            Ok(()) => self.faults.push("a stream ended in good order that did not say so".to_owned()),
            Err(status) => {
                let is_cut_off =
                    matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Internal | Code::Cancelled);
                if !is_cut_off {
                    self.faults.push(status.to_string());
                }
            }
        }
        let is_within = self.shown.values().any(|(_, stream)| *stream == self.opened) && !self.is_complete;
        self.broken_snapshots += usize::from(is_within);
    }

    fn take(&mut self, event: Event) {
        self.messages += 1;
        self.is_ended = matches!(event, Event::End(_));
        match event {
            Event::Opened(_) => self.opened += 1,
            Event::Snapshot(snapshot) => match snapshot.state {
                Some(object_type_snapshot::State::ObjectType(shown)) => self.show(shown),
                other => self.faults.push(format!("{other:?} shows nothing")),
            },
            Event::SnapshotComplete(_) if self.is_complete => self.faults.push("it was complete".to_owned()),
            Event::SnapshotComplete(_) => self.is_complete = true,
            Event::Change(change) => self.change(change),
            Event::Heartbeat(_) | Event::End(_) => {}
        }
    }

    fn show(&mut self, shown: ObjectType) {
        let (id, version) = (shown.id.clone(), i64::from(shown.version));
        if self.is_complete || !self.changes.is_empty() {
            self.faults.push(format!("{id} is shown after the snapshot"));
        }
        if self.shown.insert(id.clone(), (version, self.opened)).is_some() {
            self.faults.push(format!("{id} is shown twice"));
        }
        self.versions.insert(id.clone(), version);
        self.live.insert(id, shown);
    }

    fn change(&mut self, change: ObjectTypeChange) {
        let is_deletion = change.r#type().as_str_name().ends_with("DELETED");
        let (id, version, position) = (change.object_type_id, i64::from(change.version), change.position);
        let Some(object_type_change::State::ObjectType(state)) = change.state else {
            self.faults.push(format!("version {version} of {id} shows nothing"));
            return;
        };
        if let Some(last) = self.changes.last().filter(|last| last.position >= position) {
            self.faults.push(format!("{position} comes after {}", last.position));
        }
        match self.shown.get(&id) {
            Some((shown, stream)) if version <= *shown && *stream == self.opened => {
                self.faults.push(format!("version {version} of {id} comes twice in a stream"));
            }
            Some((shown, _)) if version <= *shown => self.repeats += 1,
            _ => {}
        }
        let labels = Labels { name: state.name.clone(), category: state.category.clone(), tags: state.tags.clone() };
        // As consumers are told to: what is not above the version they have says nothing new.
        if self.versions.get(&id).is_none_or(|known| version > *known) {
            self.versions.insert(id.clone(), version);
            if is_deletion {
                self.live.remove(&id);
            } else {
                self.live.insert(id.clone(), state);
            }
        }
        self.changes.push(Change { position, id, version, labels, is_deletion });
    }
}

/// Somebody who watches, and goes on after the last message whenever the stream ends or is cut off.
pub(super) struct Watcher {
    seen: Arc<Mutex<Seen>>,
    watching: JoinHandle<()>,
}

impl Watcher {
    /// It rests after each message.
    pub(super) fn start(
        address: &watch::Receiver<Option<Addresses>>,
        mut request: WatchObjectTypesRequest,
        rest: Duration,
    ) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (into, mut address) = (seen.clone(), address.clone());
        let watching = tokio::spawn(async move {
            loop {
                let server = address.wait_for(Option::is_some).await.unwrap().clone().unwrap();
                let how = follow(&server.grpc, &mut request, rest, &into).await;
                into.lock().unwrap().ended(how);
                // The one that is killed may still be known for a moment.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        Self { seen, watching }
    }

    pub(super) async fn until(&self, what: &str, done: impl Fn(&Seen) -> bool) {
        until_within(PATIENCE, what, async || done(&self.seen.lock().unwrap()).then_some(())).await;
    }

    pub(super) fn end(self) -> Seen {
        self.watching.abort();
        std::mem::take(&mut *self.seen.lock().unwrap())
    }
}

async fn follow(
    server: &str,
    request: &mut WatchObjectTypesRequest,
    rest: Duration,
    into: &Mutex<Seen>,
) -> Result<(), Status> {
    let endpoint = Endpoint::from_shared(server.to_owned()).unwrap();
    let is_eager = rest == Duration::ZERO;
    let endpoint = if is_eager { endpoint } else { endpoint.initial_stream_window_size(SMALL_WINDOW) };
    let mut client = client(endpoint).await?;
    let mut stream = client.watch_object_types(of_viewer(request.clone())).await?.into_inner();
    while let Some(message) = stream.message().await? {
        request.resume_token = message.resume_token;
        into.lock().unwrap().take(message.event.expect("a message tells something"));
        if !is_eager {
            tokio::time::sleep(rest).await;
        }
    }
    Ok(())
}

async fn client(endpoint: Endpoint) -> Result<ObjectTypeServiceClient<Channel>, Status> {
    let channel = endpoint.connect().await.map_err(|error| Status::unavailable(error.to_string()))?;
    Ok(ObjectTypeServiceClient::new(channel))
}

fn of_viewer<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {}", Token::of("viewer").sign()).parse().unwrap());
    request
}

/// Every live type, by id.
pub(super) async fn listed(server: &str) -> BTreeMap<String, ObjectType> {
    let endpoint = Endpoint::from_shared(server.to_owned()).unwrap();
    let (mut client, mut listed) = (client(endpoint).await.unwrap(), BTreeMap::new());
    let mut asked = ListObjectTypesRequest { page_size: 200, ..ListObjectTypesRequest::default() };
    loop {
        let page = client.list_object_types(of_viewer(asked.clone())).await.unwrap().into_inner();
        listed.extend(page.object_types.into_iter().map(|shown| (shown.id.clone(), shown)));
        if page.next_page_token.is_empty() {
            return listed;
        }
        asked.page_token = page.next_page_token;
    }
}
