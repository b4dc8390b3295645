//! Creating types: one is a batch of one.

use std::collections::HashMap;

use petgraph::{algo::tarjan_scc, graphmap::DiGraphMap};
use serde_json::Value;
use uuid::Uuid;

use super::{
    Service,
    rows::{Item, ends, references, row_of},
    store::Store,
    write::{Lock, document_of},
};
use crate::{
    context::Context,
    definition::Draft,
    error::{Error, Kind, Result},
    fault::{Fault, FaultKind},
    input::{Faults, step},
};

/// The most types of one batch.
pub const MAX_BATCH: usize = 1_000;

impl<E: Store> Service<E> {
    /// Creates one type.
    pub async fn create(&self, context: &Context, input: &Value) -> Result<E> {
        let created = self.create_all(context, std::slice::from_ref(input), |_| String::new()).await?;
        created.into_iter().next().ok_or_else(|| Error::internal("a created type is missing from the answer"))
    }

    /// Creates up to 1,000 types, all or none. They may refer to each other by name.
    pub async fn create_batch(&self, context: &Context, inputs: &[Value]) -> Result<Vec<E>> {
        if inputs.is_empty() || inputs.len() > MAX_BATCH {
            let kind = match inputs.len() {
                0 => FaultKind::TooShort { min: 1 },
                actual => FaultKind::TooMany { max: MAX_BATCH, actual },
            };
            return Err(Error::Invalid { aggregate: E::INVALID, faults: vec![Fault::at("/items", kind)] });
        }
        self.create_all(context, inputs, |index| step("/items", index)).await
    }

    async fn create_all(&self, context: &Context, inputs: &[Value], at: impl Fn(usize) -> String) -> Result<Vec<E>> {
        context.require(E::RIGHTS.write)?;
        self.once(context, self.create_now(context, inputs, at), Some).await
    }

    async fn create_now(&self, context: &Context, inputs: &[Value], at: impl Fn(usize) -> String) -> Result<Vec<E>> {
        let mut faults = Faults::default();
        let mut drafts = Vec::with_capacity(inputs.len());
        let mut siblings: HashMap<String, Uuid> = HashMap::with_capacity(inputs.len());
        for (index, input) in inputs.iter().enumerate() {
            let pointer = at(index);
            let Some(draft) = Draft::parse(E::KIND, input, None, &pointer, &mut faults) else { continue };
            let id = Uuid::now_v7();
            let name = &draft.definition.name;
            if siblings.insert(name.folded(), id).is_some() {
                faults.push(step(&pointer, "name"), FaultKind::NameTaken { kind: E::KIND, name: name.to_string() });
            }
            drafts.push((id, draft));
            // A batch full of patterns takes long to judge: others get their turn in between.
            tokio::task::yield_now().await;
        }
        if E::KIND == Kind::LinkType {
            siblings.clear();
        }
        refuse_cycles(&drafts, &siblings, &mut faults);
        faults.finish(E::INVALID)?;

        let mut items: Vec<Item> = Vec::with_capacity(drafts.len());
        for (ordinal, (id, draft)) in drafts.into_iter().enumerate() {
            let mut row = row_of(&draft.definition, id);
            row.ordinal = ordinal;
            row.refs = references(&draft, None, &siblings);
            (row.source_id, row.source_name, row.target_id, row.target_name, row.cardinality) = ends::<E>(&draft, None);
            row.change_description = draft.change_description.clone();
            items.push(Item { row, draft: Some(draft) });
        }
        let mut outcomes = self.write(context, &items, Lock::None).await?;
        outcomes.sort_by_key(|outcome| outcome.ordinal);
        let documents = outcomes.iter().map(document_of).collect::<Result<Vec<_>>>()?;
        let created = documents.iter().map(|document| Self::parse(document)).collect::<Result<Vec<E>>>()?;
        if let ([entity], [document]) = (created.as_slice(), documents.as_slice())
            && !entity.shows_names()
        {
            self.keep(context, entity, document, None).await;
        }
        self.cache.content_changed(&context.tenant).await;
        Ok(created)
    }
}

/// Refuses cycles of required references within a batch, self-references among them: an edge lies on a cycle exactly when
/// both its ends are in one strongly connected component.
fn refuse_cycles(drafts: &[(Uuid, Draft)], siblings: &HashMap<String, Uuid>, faults: &mut Faults) {
    let mut graph = DiGraphMap::<Uuid, ()>::new();
    let mut edges = Vec::new();
    for (id, draft) in drafts {
        for wanted in draft.references.values().filter(|wanted| wanted.required) {
            if let Some(target) = wanted.key.folded_name().and_then(|name| siblings.get(&name)) {
                graph.add_edge(*id, *target, ());
                edges.push((*id, *target, wanted.pointer.as_str()));
            }
        }
    }
    let components = tarjan_scc(&graph).into_iter().enumerate();
    let component: HashMap<Uuid, usize> =
        components.flat_map(|(i, ids)| ids.into_iter().map(move |id| (id, i))).collect();
    for (id, target, pointer) in edges {
        if component.get(&id) == component.get(&target) {
            faults.push(pointer, FaultKind::CircularReference);
        }
    }
}
