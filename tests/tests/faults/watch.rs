//! 10,000 changes, watched over gRPC while the server that is watched is killed again and again.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use oms_proto::client::{
    ObjectTypeChange, WatchObjectTypesRequest, WatchStart, object_type_change, object_type_event::Event,
    object_type_service_client::ObjectTypeServiceClient, object_type_snapshot,
};
use oms_tests::{Database, Server, Settings, Token, until_within};
use tokio::{sync::watch, task::JoinHandle};
use tonic::{Code, Request, Status, transport::Endpoint};

use crate::{
    ontology::Ontology,
    random::{Random, number, seed},
};

/// `OMS_FAULTS_CHANGES` changes it.
const CHANGES: u64 = 10_000;
const OBJECT_TYPES: usize = 300;
const CLIENTS: usize = 8;
/// `OMS_FAULTS_KILLS` changes it.
const KILLS: u64 = 20;
/// The most milliseconds that a client pauses between two writes, so that they last about as long as the kills.
const PAUSE: usize = 30;
/// How long everything may take to arrive once it is left in peace.
const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_change_is_seen_once_and_in_order_whatever_is_killed() {
    let (seed, started) = (seed(), Instant::now());
    println!("seed {seed} (OMS_FAULTS_SEED repeats its choices)");
    let changes = number("OMS_FAULTS_CHANGES").unwrap_or(CHANGES);
    let kills = number("OMS_FAULTS_KILLS").unwrap_or(KILLS);
    let mut random = Random::new(seed);
    let database = Database::create().await;
    let settings = Settings::for_database(&database).set("EVENT_STREAM_SECONDS", 3);
    let writer = Server::start(&settings).await;
    let ontology = Arc::new(Ontology::create(&writer.client("editor"), OBJECT_TYPES, 0).await);

    let (address, watched) = watch::channel(None::<String>);
    let first = Server::start(&settings).await;
    address.send_replace(Some(first.grpc()));
    let from_now = WatchObjectTypesRequest::default();
    let snapshot = WatchObjectTypesRequest { start: WatchStart::Snapshot.into(), ..from_now.clone() };
    let tagged = WatchObjectTypesRequest { tags: vec!["changed".to_owned()], ..from_now.clone() };
    let at_once = Duration::ZERO;
    let now = Watcher::start(&watched, from_now.clone(), at_once, at_once);
    let tagged = Watcher::start(&watched, tagged, at_once, at_once);
    let slow = Watcher::start(&watched, from_now, at_once, Duration::from_millis(4));
    for watcher in [&now, &tagged, &slow] {
        watcher.until("it did not open", |seen| seen.opened > 0).await;
    }
    // The pauses make kills come within snapshots too.
    let snapshots = [500, 2_000, 4_000].map(|after| {
        let (after, pause) = (Duration::from_millis(after), Duration::from_millis(5));
        Watcher::start(&watched, snapshot.clone(), after, pause)
    });

    let (mut of_writes, mut of_kills) = (random.fork(), random.fork());
    let writing = async {
        let writes = OBJECT_TYPES + usize::try_from(changes).unwrap();
        ontology.grow(&writer, CLIENTS, writes, PAUSE, &mut of_writes).await;
        println!("{:.0} s: all is written", started.elapsed().as_secs_f64());
    };
    let killing = async {
        let mut server = first;
        for kill in 0..kills {
            tokio::time::sleep(of_kills.millis(3_000)).await;
            // Some come in the middle of a snapshot.
            if let Some(watcher) = snapshots.get(usize::try_from(kill).unwrap()) {
                let within = |seen: &Seen| seen.shown > 0;
                watcher.until("no snapshot was begun", within).await;
            }
            address.send_replace(None);
            server.kill().await;
            server = Server::start(&settings).await;
            address.send_replace(Some(server.grpc()));
        }
        println!("{:.0} s: the last kill", started.elapsed().as_secs_f64());
        server
    };
    let ((), last) = tokio::join!(writing, killing);

    let expected: BTreeMap<String, i64> = ontology.versions().map(|(id, version)| (id.to_owned(), version)).collect();
    assert_eq!(expected.values().sum::<i64>() - i64::try_from(OBJECT_TYPES).unwrap(), i64::try_from(changes).unwrap());
    let deleted: BTreeSet<&str> = ontology.deleted().iter().map(|path| path.rsplit('/').next().unwrap()).collect();
    for watcher in snapshots.iter().chain([&now, &slow]) {
        let has_all = |seen: &Seen| {
            let mut each = expected.iter();
            // One that was deleted before the snapshot, or never changed, is not told of.
            each.all(|(id, last)| {
                seen.versions.get(id).map_or(*last == 1 || deleted.contains(id.as_str()), |at| at == last)
            })
        };
        let has_live = |seen: &Seen| seen.live.len() == OBJECT_TYPES - deleted.len();
        let is_snapshot = snapshots.iter().any(|other| std::ptr::eq(other, watcher));
        let all = |seen: &Seen| has_all(seen) && (!is_snapshot || (seen.is_complete && has_live(seen)));
        watcher.until("not everything was seen", all).await;
    }
    let [now, slow] = [now, slow].map(Watcher::end);
    let wanted = now.tagged();
    tagged.until("not everything that is tagged was seen", |seen| seen.changes.len() >= wanted.len()).await;
    let (tagged, snapshots) = (tagged.end(), snapshots.map(Watcher::end));
    last.stop().await;
    println!(
        "{changes} changes of {OBJECT_TYPES} types by {CLIENTS} clients, {kills} kills; {:.0} s",
        started.elapsed().as_secs_f64()
    );
    for (name, seen) in [("from now", &now), ("slow", &slow), ("tagged", &tagged)] {
        println!("{name}: {} changes in {} streams", seen.changes.len(), seen.opened);
    }
    for seen in &snapshots {
        println!(
            "snapshot: {} types, {} changes and {} repeats of the snapshot in {} streams, {} within the snapshot",
            seen.shown,
            seen.changes.len(),
            seen.repeats,
            seen.opened,
            seen.broken_snapshots
        );
    }

    let every: BTreeSet<(String, i64)> =
        expected.iter().flat_map(|(id, last)| (2..=*last).map(|version| (id.clone(), version))).collect();
    for seen in [&now, &slow] {
        assert_eq!(seen.changes.len(), every.len(), "each once");
        let seen_changes: BTreeSet<(String, i64)> = seen.changes.iter().map(Change::key).collect();
        assert!(seen_changes == every, "none is missing: {:?}", every.difference(&seen_changes).next());
    }
    for seen in snapshots.iter().chain([&now, &slow, &tagged]) {
        assert!(seen.opened > 5, "it was cut off");
        assert!(seen.changes.is_sorted_by(|a, b| a.position < b.position), "in the order of the log, nothing twice");
        assert_eq!(seen.faults, [] as [String; 0]);
    }
    let tags: Vec<_> = tagged.changes.iter().map(Change::key).collect();
    assert_eq!(tags, wanted, "what the filter shows, and nothing else");
    assert!(snapshots.iter().any(|seen| seen.broken_snapshots > 0), "no kill came within a snapshot");
    for seen in &snapshots {
        let live: BTreeMap<String, i64> = expected
            .iter()
            .filter(|(id, _)| !deleted.contains(id.as_str()))
            .map(|(id, at)| (id.clone(), *at))
            .collect();
        assert!(seen.live == live, "what it rebuilt is what the registry has");
    }
    writer.stop().await;
}

/// What somebody who watches has seen.
#[derive(Debug, Default)]
struct Seen {
    /// How many streams there were.
    opened: usize,
    /// How many of them broke within the snapshot.
    broken_snapshots: usize,
    /// How many types the snapshot had, each once.
    shown: usize,
    is_complete: bool,
    changes: Vec<Change>,
    /// Changes that the snapshot had shown already: they may come again after a resumption, and only then.
    repeats: usize,
    /// The highest version of each type.
    versions: BTreeMap<String, i64>,
    /// The live types with their versions.
    live: BTreeMap<String, i64>,
    /// What should not have come.
    faults: Vec<String>,
}

#[derive(Debug)]
struct Change {
    id: String,
    version: i64,
    position: i64,
    /// Whether the type has the tag after it.
    is_tagged: bool,
}

impl Change {
    fn key(&self) -> (String, i64) {
        (self.id.clone(), self.version)
    }
}

impl Seen {
    /// The changes of types that have the tag before or after it.
    fn tagged(&self) -> Vec<(String, i64)> {
        let mut tagged: BTreeMap<&str, bool> = BTreeMap::new();
        let mut wanted = Vec::new();
        for change in &self.changes {
            let before = tagged.insert(&change.id, change.is_tagged).unwrap_or_default();
            if before || change.is_tagged {
                wanted.push(change.key());
            }
        }
        wanted
    }

    /// A stream was cut off, or has ended.
    fn broke(&mut self, broken: Result<(), Status>, request: &WatchObjectTypesRequest) {
        let Err(status) = broken else { return };
        if request.start() == WatchStart::Snapshot && self.shown > 0 && !self.is_complete {
            self.broken_snapshots += 1;
        }
        if !matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Internal | Code::Cancelled) {
            self.faults.push(status.to_string());
        }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Opened(_) => self.opened += 1,
            Event::Snapshot(snapshot) => {
                let Some(object_type_snapshot::State::ObjectType(shown)) = snapshot.state else { return };
                self.shown += 1;
                if self.is_complete || self.versions.insert(shown.id.clone(), shown.version.into()).is_some() {
                    self.faults.push(format!("{} is shown twice", shown.id));
                }
                self.live.insert(shown.id, shown.version.into());
            }
            Event::SnapshotComplete(_) => self.is_complete = true,
            Event::Change(change) => self.change(change),
            Event::Heartbeat(_) | Event::End(_) => {}
        }
    }

    fn change(&mut self, change: ObjectTypeChange) {
        let (id, version) = (change.object_type_id.clone(), i64::from(change.version));
        if let Some(known) = self.versions.get(&id) {
            if version <= *known
                && self.broken_snapshots > 0
                && !self.changes.iter().any(|seen| seen.id == id && seen.version >= version)
            {
                self.repeats += 1;
                return;
            }
            // What has a filter sees some of them.
            if version <= *known {
                self.faults.push(format!("{id} comes to {version} after {known}"));
            }
        }
        let is_deleted = change.r#type().as_str_name().ends_with("DELETED");
        if is_deleted {
            self.live.remove(&id);
        } else {
            self.live.insert(id.clone(), version);
        }
        self.versions.insert(id.clone(), version);
        let is_tagged = match change.state {
            Some(object_type_change::State::ObjectType(state)) => state.tags.iter().any(|tag| tag == "changed"),
            _ => panic!("{id} is too large for a message"),
        };
        self.changes.push(Change { id, version, position: change.position, is_tagged });
    }
}

/// Somebody who watches, and goes on where it was whenever it is cut off.
struct Watcher {
    seen: Arc<Mutex<Seen>>,
    watching: JoinHandle<()>,
}

impl Watcher {
    /// Begins after a while, and rests after each message.
    fn start(
        address: &watch::Receiver<Option<String>>,
        request: WatchObjectTypesRequest,
        after: Duration,
        rest: Duration,
    ) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (into, mut address) = (seen.clone(), address.clone());
        let watching = tokio::spawn(async move {
            tokio::time::sleep(after).await;
            let mut request = request;
            loop {
                let server = address.wait_for(Option::is_some).await.unwrap().clone().unwrap();
                // Cut off, it comes back with the last token that it got.
                let broken = follow(server, &mut request, rest, &into).await;
                into.lock().unwrap().broke(broken, &request);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        Self { seen, watching }
    }

    async fn until(&self, what: &str, done: impl Fn(&Seen) -> bool) {
        until_within(PATIENCE, what, async || done(&self.seen.lock().unwrap()).then_some(())).await;
    }

    fn end(self) -> Seen {
        self.watching.abort();
        std::mem::take(&mut *self.seen.lock().unwrap())
    }
}

async fn follow(
    server: String,
    request: &mut WatchObjectTypesRequest,
    rest: Duration,
    into: &Mutex<Seen>,
) -> Result<(), Status> {
    let endpoint = Endpoint::from_shared(server).map_err(|error| Status::unavailable(error.to_string()))?;
    let channel = endpoint.connect().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let mut asked = Request::new(request.clone());
    asked.metadata_mut().insert("authorization", format!("Bearer {}", Token::of("viewer").sign()).parse().unwrap());
    let mut stream = ObjectTypeServiceClient::new(channel).watch_object_types(asked).await?.into_inner();
    while let Some(message) = stream.message().await? {
        request.resume_token = message.resume_token;
        into.lock().unwrap().take(message.event.unwrap());
        tokio::time::sleep(rest).await;
    }
    Ok(())
}
