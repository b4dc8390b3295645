//! An ontology that many clients write to at once.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use futures::future::join_all;
use oms_tests::{Answer, Client, Server, samples};
use reqwest::Method;
use serde_json::{Value, json};

use crate::random::Random;

/// Object types that links join; they are changed, and never deleted.
const HUBS: usize = 20;

/// What is written, and how far each of it has come.
#[derive(Debug)]
pub(crate) struct Ontology {
    entities: Vec<Entity>,
    /// Attempts that another client was faster than.
    lost_races: AtomicUsize,
}

#[derive(Debug)]
struct Entity {
    /// `object-types/{id}` or `link-types/{id}`
    path: String,
    id: String,
    may_be_deleted: bool,
    state: Mutex<State>,
}

#[derive(Debug, Clone, Copy)]
struct State {
    version: i64,
    is_deleted: bool,
}

impl Ontology {
    /// Creates object types and link types one by one; each is a write.
    pub(crate) async fn create(editor: &Client, object_types: usize, link_types: usize) -> Self {
        let mut entities = Vec::new();
        for n in 0..object_types {
            let created = editor.post("object-types", &samples::object_type(&format!("Type{n}"))).expect(201).await;
            entities.push(Entity::new("object-types", &created, n >= HUBS));
        }
        for n in 0..link_types {
            let (source, target) = (&entities[n % HUBS].id, &entities[(n * 7 + 1) % HUBS].id);
            let link = samples::link_type(&format!("link{n}"), source, target);
            entities.push(Entity::new("link-types", &editor.post("link-types", &link).expect(201).await, true));
        }
        Self { entities, lost_races: AtomicUsize::new(0) }
    }

    /// Clients of this server write until there have been so many writes, creations among them. Each pauses up to so many
    /// milliseconds between two.
    pub(crate) async fn grow(
        self: &Arc<Self>,
        server: &Server,
        clients: usize,
        writes: usize,
        pause: usize,
        random: &mut Random,
    ) {
        let begun = Arc::new(AtomicUsize::new(self.entities.len()));
        let clients = (0..clients).map(|_| {
            let (editor, ontology, begun) = (server.client("editor"), self.clone(), begun.clone());
            let mut random = random.fork();
            tokio::spawn(async move {
                while begun.fetch_add(1, Ordering::Relaxed) < writes {
                    ontology.write(&editor, &mut random).await;
                    tokio::time::sleep(random.millis(pause)).await;
                }
            })
        });
        let clients: Vec<_> = clients.collect();
        join_all(clients).await.into_iter().for_each(Result::unwrap);
    }

    /// One write to one of them, whatever may be written to it now.
    async fn write(&self, editor: &Client, random: &mut Random) {
        loop {
            let entity = &self.entities[random.below(self.entities.len())];
            if entity.write(editor, random).await {
                return;
            }
            self.lost_races.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn lost_races(&self) -> usize {
        self.lost_races.load(Ordering::Relaxed)
    }

    /// The version that each has come to, by its id.
    pub(crate) fn versions(&self) -> impl Iterator<Item = (&str, i64)> {
        self.entities.iter().map(|entity| (entity.id.as_str(), entity.state.lock().unwrap().version))
    }

    /// The paths of those that are deleted.
    pub(crate) fn deleted(&self) -> Vec<&str> {
        let deleted = self.entities.iter().filter(|entity| entity.state.lock().unwrap().is_deleted);
        deleted.map(|entity| entity.path.as_str()).collect()
    }
}

impl Entity {
    fn new(collection: &str, created: &Value, may_be_deleted: bool) -> Self {
        let id = created["id"].as_str().unwrap().to_owned();
        let state = Mutex::new(State { version: 1, is_deleted: false });
        Self { path: format!("{collection}/{id}"), id, may_be_deleted, state }
    }

    /// Whether it was written; another client may have been faster.
    async fn write(&self, editor: &Client, random: &mut Random) -> bool {
        let State { version, is_deleted } = *self.state.lock().unwrap();
        let deletes = !is_deleted && self.may_be_deleted && random.percent(20);
        let answer = if is_deleted {
            editor.call(Method::POST, &format!("{}/restore", self.path)).send().await
        } else if deletes {
            editor.delete(&self.path, version).send().await
        } else {
            editor.patch(&self.path, version, &self.change(version, random)).send().await
        };
        match answer.status {
            200 | 204 => {}
            404 | 409 | 412 => return false,
            _ => panic!("{} {}", answer.status, answer.text),
        }
        let made = version_of(&answer).unwrap_or(version + 1);
        let mut state = self.state.lock().unwrap();
        // Whoever wrote after this one may have been answered before.
        if made > state.version {
            *state = State { version: made, is_deleted: deletes };
        }
        true
    }

    /// A change that makes a new version: it says which.
    fn change(&self, version: i64, random: &mut Random) -> Value {
        match random.below(6) {
            0 => json!({"displayName": format!("after {version}")}),
            1 => json!({"tags": [format!("v{version}"), "changed"]}),
            2 => json!({"properties": [{"name": format!("p{version}"), "dataType": "STRING"}]}),
            // Names are unique; a part of the id keeps them so.
            3 => json!({"name": format!("N{}V{version}", self.id.replace('-', ""))}),
            4 => json!({"category": format!("v{version}")}),
            _ => json!({"description": format!("{version} {}", "x".repeat(random.below(2_000)))}),
        }
    }
}

fn version_of(answer: &Answer) -> Option<i64> {
    answer.header("etag")?.trim_matches('"').parse().ok()
}
