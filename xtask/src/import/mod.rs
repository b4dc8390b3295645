//! `cargo xtask import`: brings the types of a file into the registry, and changes nothing that is there already.

mod client;
mod compare;

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, Value};

use self::client::Client;
use crate::interrupt;
use crate::registry::Address;

/// The API takes this many definitions at a time.
const BATCH_ITEMS: usize = 1_000;
/// Half of what the API takes as one body, since a definition grows when it is stored and answered.
const BATCH_BYTES: usize = 2_000_000;

/// A definition of an object type or link type, as in the file.
type Definition = Map<String, Value>;

/// One of the two halves of a file.
struct Kind {
    /// The array's name in the file.
    key: &'static str,
    /// The path of the API.
    path: &'static str,
    /// For the summary.
    label: &'static str,
}

/// Object types first: links name them.
const KINDS: [Kind; 2] = [
    Kind { key: "objectTypes", path: "object-types", label: "object types" },
    Kind { key: "linkTypes", path: "link-types", label: "link types" },
];

/// A definition that is there in another form: where it is, its version, and the merge patch that mends it.
struct Update<'a> {
    name: &'a str,
    id: String,
    version: u64,
    patch: Definition,
}

/// What has to happen for one kind.
#[derive(Default)]
struct Plan<'a> {
    create: Vec<&'a Definition>,
    update: Vec<Update<'a>>,
    unchanged: usize,
}

/// Imports a file into the registry at `url` (that of `.oms/dev.json` when absent).
pub fn import(file: &Path, url: Option<String>, token: Option<String>) -> Result<()> {
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("cannot read {}; name a readable file", file.display()))?;
    let document: Value =
        serde_json::from_str(&text).with_context(|| format!("{} is not JSON; mend it", file.display()))?;
    let definitions = KINDS.iter().map(|kind| definitions(&document, kind.key)).collect::<Result<Vec<_>>>()?;
    let total: usize = definitions.iter().map(Vec::len).sum();
    if total == 0 {
        bail!(r#"{} holds no types; it has to be {{"objectTypes": [...], "linkTypes": [...]}}"#, file.display());
    }

    let client = Client::new(&Address::of(url, token)?);
    // Hidden by itself when stderr is not a terminal.
    let progress = ProgressBar::new(total as u64)
        .with_style(ProgressStyle::with_template("{msg:13} [{bar:40}] {pos}/{len} {elapsed}")?.progress_chars("=> "));
    let mut summary = Vec::new();
    let mut changes = 0;
    for (kind, definitions) in KINDS.iter().zip(&definitions) {
        progress.set_message(kind.label);
        let plan = plan(definitions, &client.list(kind.path)?)?;
        progress.inc(plan.unchanged as u64);
        apply(&client, kind, &plan, &progress)?;
        let (created, updated) = (plan.create.len(), plan.update.len());
        changes += created + updated;
        summary.push(format!("{}: {created} created, {updated} updated, {} unchanged", kind.label, plan.unchanged));
    }
    progress.finish_and_clear();
    for line in summary {
        println!("{line}");
    }
    if changes == 0 {
        println!("Nothing to change: {} is already imported.", file.display());
    }
    Ok(())
}

/// The definitions of one kind; none when the file does not have the kind at all.
fn definitions<'a>(document: &'a Value, key: &str) -> Result<Vec<&'a Definition>> {
    let mut names = HashSet::new();
    let list = match document.get(key) {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(list) => list.as_array().with_context(|| format!("`{key}` has to be an array; mend the file"))?,
    };
    list.iter()
        .enumerate()
        .map(|(index, definition)| {
            let definition =
                definition.as_object().with_context(|| format!("/{key}/{index} has to be an object; mend the file"))?;
            let name = name(definition).with_context(|| format!("/{key}/{index} has no `name`; mend the file"))?;
            if !names.insert(name.to_lowercase()) {
                bail!("/{key}/{index}: `{name}` is there twice (names differ by more than case); mend the file");
            }
            Ok(definition)
        })
        .collect()
}

/// Compares what the file says with what is there.
fn plan<'a>(definitions: &[&'a Definition], there: &[Definition]) -> Result<Plan<'a>> {
    let there: HashMap<String, &Definition> =
        there.iter().filter_map(|found| Some((name(found)?.to_lowercase(), found))).collect();
    let mut plan = Plan::default();
    for definition in definitions {
        let name = name(definition).unwrap_or_default();
        let Some(found) = there.get(&name.to_lowercase()) else {
            plan.create.push(definition);
            continue;
        };
        let patch = compare::patch(definition, found);
        if patch.is_empty() {
            plan.unchanged += 1;
            continue;
        }
        let id = found.get("id").and_then(Value::as_str).with_context(|| format!("the API gave `{name}` no id"))?;
        let version = found
            .get("version")
            .and_then(Value::as_u64)
            .with_context(|| format!("the API gave `{name}` no version"))?;
        plan.update.push(Update { name, id: id.to_owned(), version, patch });
    }
    Ok(plan)
}

fn apply(client: &Client, kind: &Kind, plan: &Plan<'_>, progress: &ProgressBar) -> Result<()> {
    let (batches, completions) = creation(batches(&plan.create, BATCH_ITEMS, BATCH_BYTES));
    for batch in &batches {
        interrupt::check()?;
        client.create(kind.path, batch)?;
        progress.inc(batch.len() as u64);
    }
    for completion in &completions {
        interrupt::check()?;
        client.update(kind.path, completion)?;
    }
    for update in &plan.update {
        interrupt::check()?;
        client.update(kind.path, update)?;
        progress.inc(1);
    }
    Ok(())
}

/// How batches are created whose definitions point at each other: what points at a type of a later batch is created
/// without these references and completed by an update once every type is there.
fn creation<'a>(batches: Vec<&[&'a Definition]>) -> (Vec<Vec<Cow<'a, Definition>>>, Vec<Update<'a>>) {
    let folded = |definition: &Definition| name(definition).map(str::to_lowercase);
    let mut later: HashSet<String> = batches.iter().copied().flatten().filter_map(|one| folded(one)).collect();
    let mut completions = Vec::new();
    let mut created = Vec::new();
    for batch in batches {
        for definition in batch {
            later.remove(&folded(definition).unwrap_or_default());
        }
        let creatable = |definition: &&'a Definition| {
            let definition: &'a Definition = definition;
            let (Some(name), Some(properties)) = (name(definition), definition.get("properties")) else {
                return Cow::Borrowed(definition);
            };
            let mut without = properties.clone();
            if !leave_out(&mut without, &later) {
                return Cow::Borrowed(definition);
            }
            let patch = Definition::from_iter([("properties".to_owned(), properties.clone())]);
            // A name is as good as an id here: the registry has just taken it.
            completions.push(Update { name, id: name.to_owned(), version: 1, patch });
            let mut definition = definition.clone();
            definition.insert("properties".to_owned(), without);
            Cow::Owned(definition)
        };
        created.push(batch.iter().map(creatable).collect());
    }
    (created, completions)
}

/// Takes away the references to these types, of nested properties too; tells whether there were any.
fn leave_out(properties: &mut Value, types: &HashSet<String>) -> bool {
    let mut found = false;
    for property in properties.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
        let target = property.get("referenceTo").and_then(Value::as_str);
        if target.is_some_and(|target| types.contains(&target.to_lowercase())) {
            property.remove("referenceTo");
            found = true;
        }
        if let Some(nested) = property.get_mut("properties") {
            found |= leave_out(nested, types);
        }
    }
    found
}

/// Slices of at most `items` definitions and, unless a single one is larger, at most `bytes` of JSON.
fn batches<'s, 'a>(definitions: &'s [&'a Definition], items: usize, bytes: usize) -> Vec<&'s [&'a Definition]> {
    let mut batches = Vec::new();
    let (mut start, mut size) = (0, 0);
    for (index, definition) in definitions.iter().enumerate() {
        let length = serde_json::to_string(definition).map_or(0, |json| json.len() + 1);
        if index > start && (index - start == items || size + length > bytes) {
            batches.extend(definitions.get(start..index));
            (start, size) = (index, 0);
        }
        size += length;
    }
    batches.extend(definitions.get(start..).filter(|rest| !rest.is_empty()));
    batches
}

fn name(definition: &Definition) -> Option<&str> {
    definition.get("name").and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn objects(list: Value) -> Vec<Definition> {
        serde_json::from_value(list).unwrap()
    }

    #[test]
    fn a_plan_creates_updates_and_leaves_alone() {
        let file = json!({"objectTypes": [
            {"name": "Customer", "displayName": "Customer"},
            {"name": "Order", "displayName": "Order"},
            {"name": "Sensor", "displayName": "Sensor"},
        ]});
        let there = objects(json!([
            {"id": "1", "version": 4, "name": "customer", "displayName": "Customer"},
            {"id": "2", "version": 5, "name": "Order", "displayName": "Order"},
        ]));
        let wanted = definitions(&file, "objectTypes").unwrap();
        let plan = plan(&wanted, &there).unwrap();
        assert_eq!(plan.create.iter().filter_map(|one| name(one)).collect::<Vec<_>>(), ["Sensor"]);
        assert_eq!(plan.unchanged, 1);
        let [update] = plan.update.as_slice() else { panic!("one update") };
        assert_eq!(
            (update.id.as_str(), update.version, Value::from(update.patch.clone())),
            ("1", 4, json!({"name": "Customer"}))
        );
    }

    #[test]
    fn a_name_may_be_there_once() {
        let file = json!({"linkTypes": [{"name": "has"}, {"name": "HAS"}]});
        assert!(definitions(&file, "linkTypes").unwrap_err().to_string().contains("/linkTypes/1"));
    }

    #[test]
    fn what_points_at_a_later_batch_is_completed_at_the_end() {
        let pointing = |name: &str, target: &str| {
            json!({"name": name, "properties": [
                {"name": "to", "dataType": "REFERENCE", "referenceTo": target},
                {"name": "in", "dataType": "OBJECT", "properties": [
                    {"name": "deep", "dataType": "REFERENCE", "referenceTo": target},
                ]},
            ]})
        };
        // A points into its own batch, B to a later one in another case, C back, D at itself, E at what is there.
        let list =
            [pointing("A", "B"), pointing("B", "d"), pointing("C", "a"), pointing("D", "D"), pointing("E", "Old")];
        let list = objects(list.to_vec().into());
        let list: Vec<&Definition> = list.iter().collect();
        let (created, completions) = creation(batches(&list, 2, usize::MAX));
        assert_eq!(created.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2, 1]);
        let changed: Vec<_> =
            created.iter().flatten().zip(&list).filter(|(now, file)| now.as_ref() != **file).collect();
        let [(now, _)] = changed.as_slice() else { panic!("one is changed: {changed:?}") };
        let expected = json!({"name": "B", "properties": [
            {"name": "to", "dataType": "REFERENCE"},
            {"name": "in", "dataType": "OBJECT", "properties": [{"name": "deep", "dataType": "REFERENCE"}]},
        ]});
        assert_eq!(json!(now), expected);
        let [completion] = completions.as_slice() else { panic!("one completion") };
        assert_eq!((completion.name, completion.version), ("B", 1));
        assert_eq!(completion.patch.get("properties"), list.get(1).and_then(|b| b.get("properties")));
    }

    #[test]
    fn batches_are_bounded_by_items_and_bytes() {
        let list = objects(json!((0..5).map(|n| json!({"name": format!("T{n}")})).collect::<Vec<_>>()));
        let list: Vec<&Definition> = list.iter().collect();
        let sizes = |items, bytes| batches(&list, items, bytes).iter().map(|batch| batch.len()).collect::<Vec<_>>();
        assert_eq!(sizes(2, 1_000), [2, 2, 1]);
        assert_eq!(sizes(9, 42), [3, 2], "13 bytes and a comma each");
        assert_eq!(sizes(9, 1), [1, 1, 1, 1, 1], "a large one goes alone");
        assert_eq!(sizes(5, 1_000), [5]);
        assert!(batches(&[], 5, 5).is_empty());
    }
}
