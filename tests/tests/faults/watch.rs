//! 10,000 changes, watched over gRPC while the server that is watched, and written to, is killed again and again.

mod watcher;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use oms_proto::client::{WatchObjectTypesRequest, WatchStart};
use oms_tests::{Client, Database, Server, Settings, Token, samples};
use serde_json::{Value, json};
use tokio::{sync::watch, task::JoinHandle};

use self::watcher::{Change, Labels, Seen, Watcher, listed};
use crate::{
    ontology::Ontology,
    random::{Random, number, seed},
};

/// `OMS_FAULTS_CHANGES` changes it.
const CHANGES: u64 = 10_000;
const OBJECT_TYPES: usize = 300;
const CLIENTS: usize = 8;
/// Types that are changed through the server which is killed, each by a client of its own.
const ROUGH: usize = 4;
/// `OMS_FAULTS_KILLS` changes it.
const KILLS: u64 = 20;
/// Somebody has just begun a snapshot when these kills come.
const WITHIN_SNAPSHOTS: [u64; 3] = [1, 7, 13];
/// The most milliseconds that a client pauses between two writes, so that they last about as long as the kills.
const PAUSE: usize = 50;
/// Of how many types the names are watched, and how many names of each; a filter takes 1,000.
const NAMED: (usize, i64) = (20, 48);

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_change_is_seen_once_and_in_order_whatever_is_killed() {
    let (seed, started) = (seed(), Instant::now());
    println!("seed {seed} (OMS_FAULTS_SEED repeats its choices)");
    let changes = number("OMS_FAULTS_CHANGES").unwrap_or(CHANGES);
    let kills = number("OMS_FAULTS_KILLS").unwrap_or(KILLS).max(WITHIN_SNAPSHOTS[2] + 1);
    let mut random = Random::new(seed);
    let database = Database::create().await;
    let settings = Settings::for_database(&database).set("EVENT_STREAM_SECONDS", 3);
    let writer = Server::start(&settings).await;
    let editor = writer.client("editor");
    let ontology = Arc::new(Ontology::create(&editor, OBJECT_TYPES, 0).await);
    let mut before: BTreeMap<String, Labels> =
        ontology.versions().zip(0..).map(|((id, _), n)| (id.to_owned(), Labels::named(&format!("Type{n}")))).collect();
    for n in 0..ROUGH {
        let created = editor.post("object-types", &samples::object_type(&format!("Rough{n}"))).expect(201).await;
        before.insert(id(&created), Labels::named(&format!("Rough{n}")));
    }

    let (address, watched) = watch::channel(None::<Addresses>);
    let first = Server::start(&settings).await;
    address.send_replace(Some(Addresses::of(&first)));
    let (names, categories) = (names(&ontology), (0..400).map(|n| format!("v{}", 2 * n)).collect::<Vec<_>>());
    let from_now = WatchObjectTypesRequest::default();
    let of_names = WatchObjectTypesRequest { names: names.clone(), ..from_now.clone() };
    let of_categories = WatchObjectTypesRequest { categories: categories.clone(), ..from_now.clone() };
    let of_tag = WatchObjectTypesRequest { tags: vec!["changed".to_owned()], ..from_now.clone() };
    let at_once = Duration::ZERO;
    let now = Watcher::start(&watched, from_now.clone(), at_once);
    let slow = Watcher::start(&watched, from_now.clone(), Duration::from_millis(4));
    let filtered = [of_names, of_categories, of_tag].map(|request| Watcher::start(&watched, request, at_once));
    for watcher in filtered.iter().chain([&now, &slow]) {
        watcher.until("it did not open", |seen| seen.opened > 0).await;
    }
    let rough: Vec<_> = (0..ROUGH).map(|n| Rough::start(&watched, n, random.fork())).collect();

    let (mut of_writes, mut of_kills) = (random.fork(), random.fork());
    let writing = async {
        let writes = OBJECT_TYPES + usize::try_from(changes).unwrap();
        ontology.grow(&writer, CLIENTS, writes, PAUSE, &mut of_writes).await;
        println!("{:.0} s: all is written", started.elapsed().as_secs_f64());
    };
    let killing = async {
        let (mut server, mut snapshots) = (first, Vec::new());
        for kill in 0..kills {
            tokio::time::sleep(of_kills.millis(4_000)).await;
            if WITHIN_SNAPSHOTS.contains(&kill) {
                let request = WatchObjectTypesRequest { start: WatchStart::Snapshot.into(), ..from_now.clone() };
                let watcher = Watcher::start(&watched, request, Duration::from_millis(5));
                let shown = of_kills.below(150);
                watcher.until("no snapshot was begun", |seen| seen.shown.len() > shown).await;
                snapshots.push(watcher);
            }
            address.send_replace(None);
            server.kill().await;
            server = Server::start(&settings).await;
            address.send_replace(Some(Addresses::of(&server)));
        }
        println!("{:.0} s: the last kill", started.elapsed().as_secs_f64());
        (server, snapshots)
    };
    let ((), (server, snapshots)) = tokio::join!(writing, killing);
    let mut answered = Vec::new();
    for rough in rough {
        answered.push(rough.stop().await);
    }

    // What everybody sees, after everything else.
    let mut last = samples::object_type("Last");
    (last["category"], last["tags"]) = (json!("v0"), json!(["changed"]));
    let last = id(&editor.post("object-types", &last).expect(201).await);
    for watcher in filtered.iter().chain(&snapshots).chain([&now, &slow]) {
        watcher.until("not everything was seen", |seen| seen.changes.last().is_some_and(|at| at.id == last)).await;
    }
    let registry = listed(&server.grpc()).await;
    let mut versions: BTreeMap<String, i64> = registry.iter().map(|(id, at)| (id.clone(), at.version.into())).collect();
    versions.extend(ontology.versions().map(|(id, version)| (id.to_owned(), version)));
    let [now, slow] = [now, slow].map(Watcher::end);
    let filtered = filtered.map(Watcher::end);
    let snapshots: Vec<Seen> = snapshots.into_iter().map(Watcher::end).collect();
    println!(
        "{changes} changes of {OBJECT_TYPES} types by {CLIENTS} clients ({} lost races), {answered:?} more through the \
        server that was killed {kills} times; {:.0} s",
        ontology.lost_races(),
        started.elapsed().as_secs_f64()
    );
    let told =
        ["from now", "slow", "names", "categories", "tag"].into_iter().zip([&now, &slow].into_iter().chain(&filtered));
    for (name, seen) in told.chain(snapshots.iter().map(|seen| ("snapshot", seen))) {
        println!("{name}: {}", seen.numbers());
    }

    // What was answered is there, and what each of the writers knows.
    for (n, answered) in answered.into_iter().enumerate() {
        let rough = registry.values().find(|shown| shown.name == format!("Rough{n}")).unwrap();
        assert!(i64::from(rough.version) > answered, "{} versions, {answered} changes were answered", rough.version);
    }
    let written = ontology.versions().map(|(_, version)| version - 1).sum::<i64>();
    assert_eq!(written, i64::try_from(changes).unwrap());
    let deleted: BTreeSet<&str> = ontology.deleted().iter().map(|path| path.rsplit('/').next().unwrap()).collect();
    let live: BTreeSet<&str> = versions.keys().map(String::as_str).filter(|id| !deleted.contains(id)).collect();
    assert_eq!(registry.keys().map(String::as_str).collect::<BTreeSet<_>>(), live);

    for seen in filtered.iter().chain(&snapshots).chain([&now, &slow]) {
        assert_eq!(seen.faults, [] as [String; 0]);
        assert!(seen.opened > 5, "it was cut off");
    }
    // Everything, each position once and in order, none left out.
    let begin = i64::try_from(OBJECT_TYPES + ROUGH).unwrap();
    let positions: Vec<i64> = now.changes.iter().map(|change| change.position).collect();
    assert_eq!(positions, (begin + 1..=versions.values().sum()).collect::<Vec<_>>());
    let every = versions.iter().flat_map(|(id, at)| (1..=*at).map(move |version| (id.as_str(), version)));
    let every: BTreeSet<_> = every.filter(|(id, version)| *version > 1 || *id == last).collect();
    assert!(now.changes.iter().map(Change::key).collect::<BTreeSet<_>>() == every, "every version of every type");
    let mut known = BTreeMap::new();
    let is_next = |change: &Change| {
        known.insert(change.id.clone(), change.version).unwrap_or(change.version - 1) + 1 == change.version
    };
    assert!(now.changes.iter().all(is_next), "the versions of each type in order");
    assert!(slow.changes == now.changes, "who is slow sees the same");

    let has = |all: &[String], one: &str| all.iter().any(|known| known.eq_ignore_ascii_case(one));
    let wanted: [&dyn Fn(&Labels) -> bool; 3] = [
        &|labels| has(&names, &labels.name),
        &|labels| labels.category.as_ref().is_some_and(|category| categories.contains(category)),
        &|labels| labels.tags.iter().any(|tag| tag == "changed"),
    ];
    for (seen, wanted) in filtered.iter().zip(wanted) {
        let expected = matching(&now.changes, before.clone(), wanted);
        assert!(!expected.is_empty() && expected.len() < now.changes.len(), "{} of them", expected.len());
        assert!(seen.changes.iter().collect::<Vec<_>>() == expected, "what the filter shows, and nothing else");
    }
    for seen in &snapshots {
        assert!(seen.broken_snapshots > 0, "it was cut off within the snapshot");
        seen.assert_complete(&now.changes, &versions, &deleted);
        assert!(seen.live == registry, "what it rebuilt is what the registry has");
    }
    server.stop().await;
    writer.stop().await;
}

fn id(created: &Value) -> String {
    created["id"].as_str().unwrap().to_owned()
}

/// Names that some of the types have at first, or get.
fn names(ontology: &Ontology) -> Vec<String> {
    let (types, versions) = NAMED;
    let mut names = vec!["Last".to_owned()];
    for (n, (id, _)) in ontology.versions().enumerate().take(types) {
        names.push(format!("type{n}"));
        names.extend((1..=versions).map(|version| format!("N{}V{version}", id.replace('-', ""))));
    }
    names
}

/// Changes before or after which a type is wanted.
fn matching(log: &[Change], mut before: BTreeMap<String, Labels>, wanted: impl Fn(&Labels) -> bool) -> Vec<&Change> {
    let is_shown = |change: &&Change| {
        let old = before.insert(change.id.clone(), change.labels.clone());
        wanted(&change.labels) || old.is_some_and(|old| wanted(&old))
    };
    log.iter().filter(is_shown).collect()
}

/// Where the server is that is killed.
#[derive(Debug, Clone)]
struct Addresses {
    grpc: String,
    http: Client,
}

impl Addresses {
    fn of(server: &Server) -> Self {
        Self { grpc: server.grpc(), http: server.client("editor") }
    }
}

/// A client that changes a type through the server which is killed. What became of a change that was not answered, it does not
/// know.
struct Rough {
    answered: Arc<AtomicI64>,
    stop: watch::Sender<bool>,
    writing: JoinHandle<()>,
}

impl Rough {
    fn start(address: &watch::Receiver<Option<Addresses>>, n: usize, mut random: Random) -> Self {
        let (answered, (stop, stopped)) = (Arc::new(AtomicI64::new(0)), watch::channel(false));
        let (counted, mut address) = (answered.clone(), address.clone());
        let writing = tokio::spawn(async move {
            while !*stopped.borrow() {
                let server = address.wait_for(Option::is_some).await.unwrap().clone().unwrap();
                if change(server.http.base(), n, &mut random).await.is_ok_and(|was_written| was_written) {
                    counted.fetch_add(1, Ordering::Relaxed);
                }
                tokio::time::sleep(random.millis(100)).await;
            }
        });
        Self { answered, stop, writing }
    }

    /// How many changes were answered.
    async fn stop(self) -> i64 {
        self.stop.send_replace(true);
        self.writing.await.unwrap();
        self.answered.load(Ordering::Relaxed)
    }
}

/// Whether it was written, if there was an answer.
async fn change(server: &str, n: usize, random: &mut Random) -> reqwest::Result<bool> {
    let client = reqwest::Client::builder().timeout(Duration::from_secs(10)).build()?;
    let (url, token) = (format!("{server}/api/v1/object-types/Rough{n}"), Token::of("editor").sign());
    let known = client.get(&url).bearer_auth(&token).send().await?.error_for_status()?;
    let version = known.headers()["etag"].clone();
    let body = json!({"description": format!("{version:?} {}", "x".repeat(random.below(2_000)))});
    let answer = client.patch(&url).bearer_auth(&token).header("if-match", version).json(&body).send().await?;
    Ok(answer.status().is_success())
}
