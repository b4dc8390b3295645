//! Creating types: one is a batch of one.

use std::collections::{HashMap, HashSet};

use serde_json::Value;
use uuid::Uuid;

use super::{
    Service,
    rows::{Item, ends, references, row_of},
    store::Store,
    write::document_of,
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
        let mut outcomes = self.write(context, &items, false, false).await?;
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

/// Refuses cycles of required references within a batch, self-references among them.
fn refuse_cycles(drafts: &[(Uuid, Draft)], siblings: &HashMap<String, Uuid>, faults: &mut Faults) {
    let edges: HashMap<Uuid, Vec<(Uuid, &str)>> = drafts
        .iter()
        .map(|(id, draft)| {
            let targets = draft.references.values().filter(|wanted| wanted.required).filter_map(|wanted| {
                let target = siblings.get(&wanted.key.folded_name()?)?;
                Some((*target, wanted.pointer.as_str()))
            });
            (*id, targets.collect())
        })
        .collect();
    let reaches = |from: Uuid, to: Uuid| {
        let (mut open, mut seen) = (vec![from], HashSet::new());
        while let Some(node) = open.pop() {
            if node == to {
                return true;
            }
            if seen.insert(node) {
                open.extend(edges.get(&node).into_iter().flatten().map(|(target, _)| *target));
            }
        }
        false
    };
    for (id, _) in drafts {
        for (target, pointer) in edges.get(id).into_iter().flatten() {
            if reaches(*target, *id) {
                faults.push(*pointer, FaultKind::CircularReference);
            }
        }
    }
}
