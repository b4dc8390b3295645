//! Who may do what: every field that reads or writes, for every kind of caller.

use std::collections::{BTreeMap, BTreeSet};

use oms_tests::{App, Client, Settings, Token, samples};
use serde_json::{Value, json};

const OBJECT_READ: &str = "object_type:read";
const OBJECT_WRITE: &str = "object_type:write";
const OBJECT_DELETE: &str = "object_type:delete";
const LINK_READ: &str = "link_type:read";
const LINK_WRITE: &str = "link_type:write";
const LINK_DELETE: &str = "link_type:delete";
const AUDIT_READ: &str = "audit:read";
const API_KEY_MANAGE: &str = "api_key:manage";

/// What the roles have that need no configuration.
const ROLES: &[(&str, &[&str])] = &[
    ("nobody", &[]),
    ("viewer", &[OBJECT_READ, LINK_READ]),
    ("editor", &[OBJECT_READ, OBJECT_WRITE, OBJECT_DELETE, LINK_READ, LINK_WRITE, LINK_DELETE]),
    (
        "admin",
        &[OBJECT_READ, OBJECT_WRITE, OBJECT_DELETE, LINK_READ, LINK_WRITE, LINK_DELETE, AUDIT_READ, API_KEY_MANAGE],
    ),
];

/// What the admin of another tenant gets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Foreign {
    /// Null: the thing is not there.
    Null,
    /// This code.
    Error(&'static str),
    /// An empty list.
    Empty,
    /// The same as at home, of its own.
    Own,
}

/// A request that reads or writes by one field.
struct Row {
    /// The field that is meant: its type and its name.
    field: &'static str,
    /// What the caller needs: for this field and those on the way to it.
    needs: &'static [&'static str],
    foreign: Foreign,
    /// The document; `%A` to `%M` are types that are made for it.
    document: &'static str,
}

const fn row(field: &'static str, needs: &'static [&'static str], foreign: Foreign, document: &'static str) -> Row {
    Row { field, needs, foreign, document }
}

const BOTH: &[&str] = &[OBJECT_READ, LINK_READ];
const NO_OBJECT: Foreign = Foreign::Error("OBJECT_TYPE_NOT_FOUND");
const NO_LINK: Foreign = Foreign::Error("LINK_TYPE_NOT_FOUND");
const NO_END: Foreign = Foreign::Error("REFERENCED_TYPE_NOT_FOUND");

/// The types of a request: `A` has a property that refers to `B`, `L` leads from `A` to `B`; `D` and `M` are deleted.
const ROWS: &[Row] = &[
    row("Query.objectType", &[OBJECT_READ], Foreign::Null, r#"{ objectType(id: "%A") { id } }"#),
    row("Query.objectTypeByName", &[OBJECT_READ], Foreign::Null, r#"{ objectTypeByName(name: "%A") { id } }"#),
    row(
        "Query.objectTypes",
        &[OBJECT_READ],
        Foreign::Empty,
        r#"{ objectTypes(filter: {category: "%"}) { nodes { id } } }"#,
    ),
    row("Query.searchObjectTypes", &[OBJECT_READ], Foreign::Empty, r#"{ searchObjectTypes(query: "%A") { id } }"#),
    row(
        "Query.objectTypeVersion",
        &[OBJECT_READ],
        Foreign::Null,
        r#"{ objectTypeVersion(id: "%A", version: 1) { version } }"#,
    ),
    row(
        "Query.objectTypeVersions",
        &[OBJECT_READ],
        NO_OBJECT,
        r#"{ objectTypeVersions(id: "%A") { nodes { version } } }"#,
    ),
    row(
        "Query.compareObjectTypeVersions",
        &[OBJECT_READ],
        NO_OBJECT,
        r#"{ compareObjectTypeVersions(id: "%A", version1: 1, version2: 1) { version1 { snapshot { id } } } }"#,
    ),
    row(
        "Query.validateObjectInstance",
        &[OBJECT_READ],
        NO_OBJECT,
        r#"{ validateObjectInstance(objectTypeId: "%A", instance: {}) { valid } }"#,
    ),
    row(
        "Query.validateObjectInstances",
        &[OBJECT_READ],
        NO_OBJECT,
        r#"{ validateObjectInstances(objectTypeId: "%A", instances: [{}], version: 1) { valid } }"#,
    ),
    row("Query.linkType", &[LINK_READ], Foreign::Null, r#"{ linkType(id: "%L") { id sourceObjectTypeId } }"#),
    row("Query.linkTypeByName", &[LINK_READ], Foreign::Null, r#"{ linkTypeByName(name: "%L") { id } }"#),
    row("Query.linkTypes", &[LINK_READ], Foreign::Empty, r#"{ linkTypes(filter: {category: "%"}) { nodes { id } } }"#),
    row("Query.searchLinkTypes", &[LINK_READ], Foreign::Empty, r#"{ searchLinkTypes(query: "%L") { id } }"#),
    row(
        "Query.linkTypeVersion",
        &[LINK_READ],
        Foreign::Null,
        r#"{ linkTypeVersion(id: "%L", version: 1) { version } }"#,
    ),
    row("Query.linkTypeVersions", &[LINK_READ], NO_LINK, r#"{ linkTypeVersions(id: "%L") { nodes { version } } }"#),
    row(
        "Query.compareLinkTypeVersions",
        &[LINK_READ],
        NO_LINK,
        r#"{ compareLinkTypeVersions(id: "%L", version1: 1, version2: 1) { version1 { snapshot { id } } } }"#,
    ),
    row(
        "Query.validateLinkInstance",
        &[LINK_READ],
        NO_LINK,
        r#"{ validateLinkInstance(linkTypeId: "%L", instance: {}) { valid } }"#,
    ),
    row(
        "Query.validateLinkInstances",
        &[LINK_READ],
        NO_LINK,
        r#"{ validateLinkInstances(linkTypeId: "%L", instances: [{}], version: 1) { valid } }"#,
    ),
    row(
        "Query.auditLogs",
        &[AUDIT_READ],
        Foreign::Empty,
        r#"{ auditLogs(filter: {actor: "tester-admin"}) { nodes { entityId newValue } } }"#,
    ),
    row(
        "Query._entities",
        &[OBJECT_READ],
        Foreign::Empty,
        r#"{ _entities(representations: [{__typename: "ObjectType", name: "%A"}]) { ... on ObjectType { id } } }"#,
    ),
    row(
        "Query._entities",
        &[OBJECT_READ],
        Foreign::Empty,
        r#"{ _entities(representations: [{__typename: "ObjectType", id: "%A"}]) { ... on ObjectType { id } } }"#,
    ),
    row(
        "Query._entities",
        &[LINK_READ],
        Foreign::Empty,
        r#"{ _entities(representations: [{__typename: "LinkType", name: "%L"}]) { ... on LinkType { id } } }"#,
    ),
    row(
        "Query._entities",
        &[LINK_READ],
        Foreign::Empty,
        r#"{ _entities(representations: [{__typename: "LinkType", id: "%L"}]) { ... on LinkType { id } } }"#,
    ),
    row("Query._service", &[], Foreign::Own, "{ _service { sdl } }"),
    row(
        "ObjectType.versions",
        &[OBJECT_READ],
        Foreign::Null,
        r#"{ objectType(id: "%A") { versions { nodes { version } } } }"#,
    ),
    row(
        "ObjectType.outgoingLinkTypes",
        BOTH,
        Foreign::Null,
        r#"{ objectType(id: "%A") { outgoingLinkTypes { nodes { id name } } } }"#,
    ),
    row(
        "ObjectType.incomingLinkTypes",
        BOTH,
        Foreign::Null,
        r#"{ objectType(id: "%B") { incomingLinkTypes { totalCount nodes { id } } } }"#,
    ),
    row(
        "Property.referenceTo",
        &[OBJECT_READ],
        Foreign::Null,
        r#"{ objectType(id: "%A") { properties { referenceTo { id } } } }"#,
    ),
    row(
        "Property.referenceTo",
        BOTH,
        Foreign::Null,
        r#"{ linkType(id: "%L") { properties { referenceTo { name } } } }"#,
    ),
    row(
        "LinkType.versions",
        &[LINK_READ],
        Foreign::Null,
        r#"{ linkType(id: "%L") { versions { nodes { version } } } }"#,
    ),
    row("LinkType.source", BOTH, Foreign::Null, r#"{ linkType(id: "%L") { source { displayName } } }"#),
    row("LinkType.target", BOTH, Foreign::Null, r#"{ linkType(id: "%L") { target { displayName } } }"#),
    row(
        "ObjectTypeVersion.snapshot",
        &[OBJECT_READ],
        Foreign::Null,
        r#"{ objectType(id: "%A") { versions { nodes { snapshot { id } } } } }"#,
    ),
    row(
        "ObjectTypeVersion.snapshot",
        BOTH,
        Foreign::Null,
        r#"{ objectTypeVersion(id: "%A", version: 1) { snapshot { outgoingLinkTypes { nodes { id } } } } }"#,
    ),
    row(
        "LinkTypeVersion.snapshot",
        &[LINK_READ],
        Foreign::Null,
        r#"{ linkType(id: "%L") { versions { nodes { snapshot { id } } } } }"#,
    ),
    row(
        "LinkTypeVersion.snapshot",
        BOTH,
        Foreign::Null,
        r#"{ linkTypeVersion(id: "%L", version: 1) { snapshot { target { id } } } }"#,
    ),
    row(
        "Mutation.createObjectType",
        &[OBJECT_WRITE],
        Foreign::Own,
        r#"mutation { createObjectType(input: {name: "%N", displayName: "N", properties: []}) { id } }"#,
    ),
    row(
        "Mutation.createObjectTypes",
        &[OBJECT_WRITE],
        Foreign::Own,
        r#"mutation { createObjectTypes(inputs: [{name: "%N", displayName: "N", properties: []}]) { id } }"#,
    ),
    row(
        "Mutation.updateObjectType",
        &[OBJECT_WRITE],
        NO_OBJECT,
        r#"mutation { updateObjectType(id: "%A", input: {displayName: "changed"}) { id } }"#,
    ),
    row("Mutation.deleteObjectType", &[OBJECT_DELETE], NO_OBJECT, r#"mutation { deleteObjectType(id: "%F") }"#),
    row(
        "Mutation.deleteObjectType",
        &[OBJECT_DELETE, LINK_DELETE],
        NO_OBJECT,
        r#"mutation { deleteObjectType(id: "%C", cascade: true) }"#,
    ),
    row("Mutation.restoreObjectType", &[OBJECT_WRITE], NO_OBJECT, r#"mutation { restoreObjectType(id: "%D") { id } }"#),
    row(
        "Mutation.createLinkType",
        &[LINK_WRITE],
        NO_END,
        r#"mutation { createLinkType(
            input: {name: "%N", displayName: "N", source: "%A", target: "%B", cardinality: ONE_TO_ONE}
        ) { id } }"#,
    ),
    row(
        "Mutation.createLinkTypes",
        &[LINK_WRITE],
        NO_END,
        r#"mutation { createLinkTypes(
            inputs: [{name: "%N", displayName: "N", source: "%A", target: "%B", cardinality: ONE_TO_ONE}]
        ) { id } }"#,
    ),
    row(
        "Mutation.updateLinkType",
        &[LINK_WRITE],
        NO_LINK,
        r#"mutation { updateLinkType(id: "%L", input: {displayName: "changed"}) { id } }"#,
    ),
    row("Mutation.deleteLinkType", &[LINK_DELETE], NO_LINK, r#"mutation { deleteLinkType(id: "%L") }"#),
    row("Mutation.restoreLinkType", &[LINK_WRITE], NO_LINK, r#"mutation { restoreLinkType(id: "%M") { id } }"#),
    row(
        "Mutation.createLinkType",
        &[LINK_WRITE, OBJECT_READ],
        NO_END,
        r#"mutation { createLinkType(
            input: {name: "%N", displayName: "N", source: "%A", target: "%B", cardinality: ONE_TO_ONE}
        ) { source { displayName } } }"#,
    ),
];

/// The types that a request is about.
struct Types {
    prefix: String,
    ids: Vec<String>,
}

impl Types {
    async fn make(admin: &Client) -> Self {
        // Full text search takes a name as one word that begins with a letter.
        let prefix = format!("T{}", uuid::Uuid::now_v7().simple());
        let name = |letter: &str| format!("{prefix}{letter}");
        let reference = json!([{"name": "to", "dataType": "REFERENCE", "referenceTo": name("B")}]);
        let object_type = |letter: &str| {
            let mut definition = samples::object_type(&name(letter));
            definition["category"] = json!(prefix);
            definition
        };
        let mut a = object_type("A");
        a["properties"] = reference.clone();
        let items: Vec<_> = [a].into_iter().chain(["B", "C", "D", "F"].map(object_type)).collect();
        let objects = admin.post("object-types:batch", &json!({"items": items})).expect(201).await;
        let link = |letter: &str, source: &str| {
            let mut definition = samples::link_type(&name(letter), &name(source), &name("B"));
            definition["category"] = json!(prefix);
            definition["properties"] = reference.clone();
            definition
        };
        let items = [link("L", "A"), link("M", "A"), link("K", "C")];
        let links = admin.post("link-types:batch", &json!({"items": items})).expect(201).await;
        admin.delete(&format!("object-types/{}", name("D")), 1).expect(204).await;
        admin.delete(&format!("link-types/{}", name("M")), 1).expect(204).await;
        let created = objects["data"].as_array().unwrap().iter().chain(links["data"].as_array().unwrap());
        let ids = created.map(|made| made["id"].as_str().unwrap().to_owned()).collect();
        Self { prefix, ids }
    }

    /// What there is of them.
    async fn state(&self, admin: &Client) -> Vec<Value> {
        let mut state = admin.all(&format!("object-types?category={}", self.prefix)).await;
        state.extend(admin.all(&format!("link-types?category={}", self.prefix)).await);
        for kind in ["object-types", "link-types"] {
            state.push(json!(admin.get(&format!("{kind}/{}N", self.prefix)).send().await.status));
        }
        state
    }

    fn document(&self, row: &Row) -> String {
        // Deleted types are only found by their ids, and `_entities` takes no names as ids.
        let (deleted_object, deleted_link) = (&self.ids[3], &self.ids[6]);
        let document = row.document.replace("%D", deleted_object).replace("%M", deleted_link);
        let document = document.replace("id: \"%A\"}]", &format!("id: \"{}\"}}]", self.ids[0]));
        document.replace("id: \"%L\"}]", &format!("id: \"{}\"}}]", self.ids[5])).replace('%', &self.prefix)
    }
}

/// Roles that the table needs: each set of permissions, and everything but one of them.
fn with_roles(settings: Settings) -> Settings {
    let mut roles: BTreeMap<String, Vec<&str>> =
        ROLES.iter().map(|(role, permissions)| ((*role).to_owned(), permissions.to_vec())).collect();
    let everything = ROLES[3].1;
    for row in ROWS {
        roles.insert(only(row.needs), row.needs.to_vec());
        for needed in row.needs {
            let others = everything.iter().copied().filter(|permission| permission != needed).collect();
            roles.insert(but(needed), others);
        }
    }
    settings.set("ROLE_PERMISSIONS", json!(roles)).set("FAILED_LOGINS_PER_MINUTE", 100_000)
}

fn only(permissions: &[&str]) -> String {
    format!("only {}", permissions.join(" "))
}

fn but(permission: &str) -> String {
    format!("all but {permission}")
}

/// Whether the answer shows nothing of what it was asked for: null, or no entry at all.
fn shows_nothing(data: &Value) -> bool {
    match data {
        Value::Null => true,
        Value::Array(items) => items.iter().all(shows_nothing),
        Value::Object(fields) => fields.values().all(shows_nothing),
        _ => false,
    }
}

#[tokio::test]
async fn the_table_has_every_field_that_reads_or_writes() {
    let app = App::start().await;
    let document = "{ __schema { types {
        kind name fields(includeDeprecated: true) {
            name args { name } type { name ofType { name ofType { name ofType { name } } } }
        }
    } } }";
    let schema = app.client("viewer").query(document).data().await;
    let mut reading = BTreeSet::new();
    for kind in schema["__schema"]["types"].as_array().unwrap().iter().filter(|kind| kind["kind"] == "OBJECT") {
        let owner = kind["name"].as_str().unwrap();
        // What a page holds was read with the page.
        let is_page = owner.ends_with("Connection") || owner.ends_with("Edge");
        // What an event carries is for those who may watch it; who that is stands with the subscriptions.
        let is_watched = owner == "Subscription" || owner == "Event";
        if owner.starts_with("__") || is_page || is_watched {
            continue;
        }
        for field in kind["fields"].as_array().unwrap() {
            let mut answer = &field["type"];
            while answer["name"].is_null() {
                answer = &answer["ofType"];
            }
            let answer = answer["name"].as_str().unwrap();
            let reads = ["ObjectType", "LinkType", "_Entity"].contains(&answer)
                || answer.ends_with("Connection")
                || !field["args"].as_array().unwrap().is_empty();
            if reads || owner == "Query" || owner == "Mutation" {
                reading.insert(format!("{owner}.{}", field["name"].as_str().unwrap()));
            }
        }
    }
    let listed: BTreeSet<_> = ROWS.iter().map(|row| row.field.to_owned()).collect();
    assert_eq!(reading, listed);
}

#[tokio::test]
async fn each_role_may_do_what_it_should_and_nothing_else() {
    let app = App::with(with_roles).await;
    let admin = app.admin();
    let mut types = Types::make(&admin).await;
    for row in ROWS {
        let mut callers: Vec<(String, Option<&str>)> = ROLES
            .iter()
            .map(|(role, has)| ((*role).to_owned(), row.needs.iter().copied().find(|needed| !has.contains(needed))))
            .collect();
        callers.push((only(row.needs), None));
        callers.extend(row.needs.iter().map(|needed| (but(needed), Some(*needed))));
        let writes = row.field.starts_with("Mutation.");
        for (role, lacking) in callers {
            let before = if writes { types.state(&admin).await } else { Vec::new() };
            let answer = app.client(&role).query(&types.document(row)).send().await;
            let what = format!("{} by {role}: {} {}", row.field, answer.status, answer.text);
            let after = if writes { types.state(&admin).await } else { Vec::new() };
            assert_eq!(answer.status, 200, "{what}");
            let data = &answer.json()["data"];
            let Some(lacking) = lacking else {
                assert_eq!(answer.json().get("errors"), None, "{what}");
                assert!(!shows_nothing(data), "{what}");
                if writes {
                    assert_ne!(after, before, "{what}");
                    types = Types::make(&admin).await;
                }
                continue;
            };
            for error in answer.errors() {
                assert_eq!(error["extensions"]["code"], "PERMISSION_DENIED", "{what}");
                assert_eq!(error["extensions"]["classification"], "FORBIDDEN", "{what}");
            }
            // Whoever may write may do so without a look at what is beside it.
            if writes && lacking == OBJECT_READ {
                types = Types::make(&admin).await;
                continue;
            }
            assert!(shows_nothing(data), "{what}");
            assert_eq!(after, before, "{what}");
        }
    }
}

#[tokio::test]
async fn without_a_good_token_nothing_is_answered() {
    let app = App::with(with_roles).await;
    let types = Types::make(&app.admin()).await;
    let expired = app.anonymous().with_token(Token::of("admin").expires_in(-3_600).sign());
    let unsigned = app.anonymous().with_token(Token::of("admin").algorithm("none").sign());
    for row in ROWS {
        for client in [app.anonymous(), expired.clone(), unsigned.clone()] {
            let answer = client.query(&types.document(row)).send().await;
            assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{}", row.field);
            assert!(answer.header("www-authenticate").unwrap().starts_with("Bearer"));
            assert_eq!(answer.expect(401)["code"], "UNAUTHENTICATED", "{}", row.field);
        }
    }
    let get = app.anonymous().get("/graphql?query=%7B__typename%7D").send().await;
    assert_eq!(get.expect(401)["code"], "UNAUTHENTICATED");
}

#[tokio::test]
async fn another_tenant_sees_nothing() {
    let app = App::with(with_roles).await;
    let admin = app.admin();
    let foreign = app.anonymous().with_token(Token::of("admin").tenant("another").sign());
    let mut types = Types::make(&admin).await;
    for row in ROWS {
        if row.field.starts_with("Mutation.") {
            types = Types::make(&admin).await;
        }
        let document = types.document(row);
        // At home first, so that it is in the cache by name and by id.
        if !row.field.starts_with("Mutation.") {
            admin.query(&document).data().await;
        }
        let answer = foreign.query(&document).send().await;
        let what = format!("{}: {} {}", row.field, answer.status, answer.text);
        match row.foreign {
            Foreign::Null | Foreign::Empty => {
                let data = answer.data();
                let own = row.field == "Query.auditLogs";
                assert!(own || shows_nothing(&data), "{what}");
            }
            Foreign::Own => assert!(!shows_nothing(&answer.data()), "{what}"),
            Foreign::Error(code) => {
                let error = answer.errors()[0].clone();
                let nested = error["extensions"]["errors"].as_array().into_iter().flatten();
                let codes: Vec<_> = nested.map(|fault| &fault["code"]).chain([&error["extensions"]["code"]]).collect();
                assert!(codes.contains(&&json!(code)), "{what}");
            }
        }
        // Those that the request names by themselves come back in words.
        let asked = |id: &&String| !document.contains(id.as_str());
        for id in types.ids.iter().filter(asked) {
            assert!(!answer.text.contains(id.as_str()), "{what}");
        }
    }
}
