//! The operation of a document that is meant, with the fragments and the variables that belong to it.

use std::collections::HashSet;

use async_graphql::{
    Name, Positioned, Variables,
    parser::types::{
        Directive, DocumentOperations, ExecutableDocument, Field, OperationDefinition, OperationType, Selection,
        SelectionSet, TypeCondition,
    },
};
use async_graphql_value::{ConstValue, Value};

use crate::refusal::Refusal;

/// Leaves only the operation of this name: editors send whole files, and only what is carried out is judged. Fragments of
/// the other operations go with them; one that no operation uses stays, to be complained of. Gives the operation's name.
pub(crate) fn choose(document: &mut ExecutableDocument, name: Option<&str>) -> Result<Option<Name>, Refusal> {
    let operations = match (&mut document.operations, name) {
        (DocumentOperations::Single(_), None) => return Ok(None),
        (DocumentOperations::Multiple(operations), Some(name)) if operations.contains_key(name) => operations,
        (DocumentOperations::Multiple(operations), None) if operations.len() == 1 => operations,
        _ => return Err(Refusal::NoOperation { name: name.map(|name| name.chars().take(100).collect()) }),
    };
    let mut rest = std::mem::take(operations);
    let key = name.map(Name::new).or_else(|| rest.keys().next().cloned());
    let Some((name, chosen)) = key.and_then(|key| rest.remove_entry(&key)) else {
        return Err(Refusal::NoOperation { name: None });
    };
    if !rest.is_empty() {
        let used = fragments(document, std::iter::once(&chosen.node));
        let foreign = fragments(document, rest.values().map(|operation| &operation.node));
        document.fragments.retain(|name, _| used.contains(name) || !foreign.contains(name));
    }
    document.operations = DocumentOperations::Single(chosen);
    Ok(Some(name))
}

/// The fragments that operations use, also by way of others.
fn fragments<'a>(
    document: &ExecutableDocument,
    operations: impl Iterator<Item = &'a OperationDefinition>,
) -> HashSet<Name> {
    let mut found = HashSet::new();
    let mut to_visit = Vec::new();
    for operation in operations {
        spreads(&operation.selection_set.node, &mut to_visit);
    }
    while let Some(name) = to_visit.pop() {
        if let Some(fragment) = document.fragments.get(&name)
            && found.insert(name)
        {
            spreads(&fragment.node.selection_set.node, &mut to_visit);
        }
    }
    found
}

fn spreads(selections: &SelectionSet, found: &mut Vec<Name>) {
    for selection in &selections.items {
        match &selection.node {
            Selection::Field(field) => spreads(&field.node.selection_set.node, found),
            Selection::InlineFragment(inline) => spreads(&inline.node.selection_set.node, found),
            Selection::FragmentSpread(spread) => found.push(spread.node.fragment_name.node.clone()),
        }
    }
}

/// Gives every variable its value, and takes those that have none out of the document: the executor would miss a default
/// where a directive uses it, and take for null what is absent, so that an update would remove what nobody named.
pub(crate) fn settle(document: &mut ExecutableDocument, variables: &mut Variables) -> Result<(), Refusal> {
    let mut absent = Absent::default();
    for (_, operation) in document.operations.iter() {
        for definition in &operation.node.variable_definitions {
            let variable = &definition.node;
            let name = &variable.name.node;
            match (&variable.default_value, variables.get(name)) {
                (Some(default), None) => {
                    variables.insert(name.clone(), default.node.clone());
                }
                (None, None) if variable.var_type.node.nullable => {
                    absent.variables.insert(name.clone());
                }
                (_, None | Some(ConstValue::Null)) if !variable.var_type.node.nullable => {
                    let message = format!(
                        "Variable \"${name}\" of required type \"{}\" was not provided.",
                        variable.var_type.node
                    );
                    return Err(Refusal::Validation { message, at: vec![definition.pos] });
                }
                _ => {}
            }
        }
    }
    if absent.variables.is_empty() {
        return Ok(());
    }
    let fragments = document.fragments.values_mut().map(|fragment| &mut fragment.node.selection_set.node);
    fragments.for_each(|selections| absent.leave_out(selections));
    let operations = match &mut document.operations {
        DocumentOperations::Single(operation) => vec![operation],
        DocumentOperations::Multiple(operations) => operations.values_mut().collect(),
    };
    for operation in operations {
        absent.leave_out(&mut operation.node.selection_set.node);
        // One that was not used is still to be complained of.
        operation.node.variable_definitions.retain(|variable| !absent.used.contains(&variable.node.name.node));
    }
    Ok(())
}

/// Variables without a value.
#[derive(Default)]
struct Absent {
    variables: HashSet<Name>,
    used: HashSet<Name>,
}

impl Absent {
    fn leave_out(&mut self, selections: &mut SelectionSet) {
        for selection in &mut selections.items {
            match &mut selection.node {
                Selection::Field(field) => {
                    field.node.arguments.retain_mut(|(_, value)| self.has_value(&mut value.node));
                    self.leave_out_of(&mut field.node.directives);
                    self.leave_out(&mut field.node.selection_set.node);
                }
                Selection::InlineFragment(inline) => {
                    self.leave_out_of(&mut inline.node.directives);
                    self.leave_out(&mut inline.node.selection_set.node);
                }
                Selection::FragmentSpread(spread) => self.leave_out_of(&mut spread.node.directives),
            }
        }
    }

    fn leave_out_of(&mut self, directives: &mut [Positioned<Directive>]) {
        for directive in directives {
            directive.node.arguments.retain_mut(|(_, value)| self.has_value(&mut value.node));
        }
    }

    /// Whether the value is there; what is absent inside of it is left out, or null in a list.
    fn has_value(&mut self, value: &mut Value) -> bool {
        match value {
            Value::Variable(name) if self.variables.contains(name) => {
                self.used.insert(name.clone());
                return false;
            }
            Value::Object(fields) => fields.retain(|_, field| self.has_value(field)),
            Value::List(items) => {
                for item in items {
                    if !self.has_value(item) {
                        *item = Value::Null;
                    }
                }
            }
            _ => {}
        }
        true
    }
}

/// Puts the root fields of a mutation or a subscription that have one response key together, as GraphQL wants it: the
/// executor would carry each of them out, and finds no subscription in a fragment. Only after fragments are known to end.
pub(crate) fn merge_root(document: &mut ExecutableDocument) {
    let DocumentOperations::Single(operation) = &document.operations else { return };
    let root = match operation.node.ty {
        OperationType::Query => return,
        OperationType::Mutation => "Mutation",
        OperationType::Subscription => "Subscription",
    };
    let mut flat = Vec::new();
    flatten(document, root, &operation.node.selection_set.node, &mut flat);
    let mut merged: Vec<Positioned<Selection>> = Vec::with_capacity(flat.len());
    let before = flat.len();
    for selection in flat {
        let known = merged.iter_mut().find_map(|known| match (&mut known.node, &selection.node) {
            (Selection::Field(known), Selection::Field(field)) if same(&known.node, &field.node) => Some(known),
            _ => None,
        });
        match (known, selection.node) {
            (Some(known), Selection::Field(field)) => {
                known.node.selection_set.node.items.extend(field.node.selection_set.node.items);
            }
            (_, node) => merged.push(Positioned::new(node, selection.pos)),
        }
    }
    if merged.len() == before && operation.node.ty == OperationType::Mutation {
        return;
    }
    let used = fragments(document, std::iter::once(&operation.node));
    if let DocumentOperations::Single(operation) = &mut document.operations {
        operation.node.selection_set.node.items = merged;
    }
    // Those that were put in are no longer spread, which is no fault of the client.
    let left = fragments(document, document.operations.iter().map(|(_, operation)| &operation.node));
    document.fragments.retain(|name, _| left.contains(name) || !used.contains(name));
}

/// A subscription has one source of events: one field at its root, without a condition. Only after [`merge_root`].
pub(crate) fn check_subscription(operation: &OperationDefinition) -> Result<(), Refusal> {
    let is_source = |selection: &Selection| match selection {
        Selection::Field(field) => !field.node.name.node.starts_with("__") && field.node.directives.is_empty(),
        Selection::InlineFragment(_) | Selection::FragmentSpread(_) => false,
    };
    let items = &operation.selection_set.node.items;
    match items.iter().enumerate().find(|(index, item)| *index > 0 || !is_source(&item.node)) {
        Some((_, extra)) => Err(Refusal::Validation {
            message: "A subscription must select exactly one field at its root, without directives.".to_owned(),
            at: vec![extra.pos],
        }),
        None => Ok(()),
    }
}

/// Whether two fields are one. Those that differ in their arguments are for the validation to complain of.
fn same(known: &Field, field: &Field) -> bool {
    known.response_key().node == field.response_key().node
        && known.name.node == field.name.node
        && known.arguments == field.arguments
        && known.directives.is_empty()
        && field.directives.is_empty()
}

/// The selections with the fragments put in that stand there without a condition.
fn flatten(
    document: &ExecutableDocument,
    root: &str,
    selections: &SelectionSet,
    flat: &mut Vec<Positioned<Selection>>,
) {
    let at_root = |condition: &TypeCondition| condition.on.node == root;
    for selection in &selections.items {
        let inner = match &selection.node {
            Selection::InlineFragment(inline) if inline.node.directives.is_empty() => {
                let fits = inline.node.type_condition.as_ref().is_none_or(|condition| at_root(&condition.node));
                fits.then_some(&inline.node.selection_set.node)
            }
            Selection::FragmentSpread(spread) if spread.node.directives.is_empty() => {
                let fragment = document.fragments.get(&spread.node.fragment_name.node);
                let fragment = fragment.filter(|fragment| {
                    at_root(&fragment.node.type_condition.node) && fragment.node.directives.is_empty()
                });
                fragment.map(|fragment| &fragment.node.selection_set.node)
            }
            _ => None,
        };
        match inner {
            Some(inner) => flatten(document, root, inner, flat),
            None => flat.push(selection.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::parser::parse_query;

    use super::*;

    fn chosen(text: &str, name: Option<&str>) -> Result<Vec<String>, Refusal> {
        let mut document = parse_query(text).unwrap();
        choose(&mut document, name)?;
        assert_eq!(document.operations.iter().count(), 1);
        let mut names: Vec<String> = document.fragments.keys().map(ToString::to_string).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// A document without the places of its parts.
    fn shown(document: &ExecutableDocument) -> String {
        let text = format!("{document:?}");
        text.split("Pos(").map(|part| part.split_once(')').map_or(part, |(_, rest)| rest)).collect()
    }

    const FILE: &str = "query A { ...F } query B { b { ...G } } fragment F on Query { a ...Both } \
        fragment G on Query { b ...Both } fragment Both on Query { c } fragment Unused on Query { d }";

    #[test]
    fn the_operation_that_is_meant_keeps_its_fragments_and_those_of_nobody() {
        assert_eq!(chosen(FILE, Some("A")).unwrap(), ["Both", "F", "Unused"]);
        assert_eq!(chosen(FILE, Some("B")).unwrap(), ["Both", "G", "Unused"]);
        assert_eq!(chosen("query A { a }", None).unwrap(), Vec::<String>::new());
        assert_eq!(chosen("{ a }", None).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn what_is_not_there_or_not_clear_is_refused() {
        assert_eq!(chosen(FILE, None), Err(Refusal::NoOperation { name: None }));
        for text in [FILE, "{ a }"] {
            assert_eq!(chosen(text, Some("C")), Err(Refusal::NoOperation { name: Some("C".into()) }));
        }
    }

    #[test]
    fn what_is_not_given_is_absent_and_defaults_are_given() {
        let text = "query($a: Int, $b: Int = 7, $c: Int, $d: Int) {
            f(a: $a, o: {a: $a, c: $c, l: [$a, $c]}) @x(a: $a) { ...F } }
            fragment F on T { g(a: $a, b: $b) }";
        let mut document = parse_query(text).unwrap();
        let mut variables = Variables::from_json(serde_json::json!({"c": null}));
        settle(&mut document, &mut variables).unwrap();
        assert_eq!(serde_json::to_value(&variables).unwrap(), serde_json::json!({"b": 7, "c": null}));
        let expected = "query($b: Int = 7, $c: Int, $d: Int) {
            f(o: {c: $c, l: [null, $c]}) @x { ...F } } fragment F on T { g(b: $b) }";
        assert_eq!(shown(&document), shown(&parse_query(expected).unwrap()));
    }

    #[test]
    fn a_required_variable_must_be_given_and_not_be_null() {
        for (text, variables, refused) in [
            ("query($a: Int!) { f(a: $a) }", serde_json::json!({}), true),
            ("query($a: Int!) { f(a: $a) }", serde_json::json!({"a": null}), true),
            ("query($a: Int! = 1) { f(a: $a) }", serde_json::json!({"a": null}), true),
            ("query($a: Int! = 1) { f(a: $a) }", serde_json::json!({}), false),
            ("query($a: Int = 1) { f(a: $a) }", serde_json::json!({"a": null}), false),
        ] {
            let mut document = parse_query(text).unwrap();
            let settled = settle(&mut document, &mut Variables::from_json(variables.clone()));
            assert_eq!(settled.is_err(), refused, "{text} {variables}");
        }
    }

    #[test]
    fn a_mutation_that_is_selected_several_times_is_one() {
        for (text, expected) in [
            ("mutation { f(a: 1) { x } f(a: 1) { y } }", "mutation { f(a: 1) { x y } }"),
            ("mutation { f { x } ...F } fragment F on Mutation { f { y } g }", "mutation { f { x y } g }"),
            ("mutation { ... { f { x } } ... on Mutation { f { y } } }", "mutation { f { x y } }"),
            ("mutation { a: f { x } f { x } }", "mutation { a: f { x } f { x } }"),
            ("mutation { f(a: 1) { x } f(a: 2) { y } }", "mutation { f(a: 1) { x } f(a: 2) { y } }"),
            ("{ f { x } f { y } }", "{ f { x } f { y } }"),
            ("subscription { f { x } ...F } fragment F on Subscription { f { y } }", "subscription { f { x y } }"),
            ("subscription { ...F } fragment F on Subscription { f { y } }", "subscription { f { y } }"),
        ] {
            let mut document = parse_query(text).unwrap();
            merge_root(&mut document);
            assert_eq!(shown(&document), shown(&parse_query(expected).unwrap()), "{text}");
        }
    }

    #[test]
    fn a_subscription_has_one_field_at_its_root() {
        for (text, good) in [
            ("subscription { f { x } }", true),
            ("subscription { a: f { x } }", true),
            ("subscription { ... { f { x } } ... on Subscription { f { y } } }", true),
            ("subscription { f { x } g { x } }", false),
            ("subscription { f { x } a: f { x } }", false),
            ("subscription { f(a: 1) { x } f(a: 2) { x } }", false),
            ("subscription { __typename }", false),
            ("subscription { f { x } __typename }", false),
            ("subscription { f @skip(if: true) { x } }", false),
            ("subscription { ... @include(if: true) { f { x } } }", false),
            ("subscription { ...F @skip(if: false) } fragment F on Subscription { f { x } }", false),
            ("subscription { ... on Query { f { x } } }", false),
        ] {
            let mut document = parse_query(text).unwrap();
            merge_root(&mut document);
            let operation = document.operations.iter().next().unwrap().1;
            assert_eq!(check_subscription(&operation.node).is_ok(), good, "{text}");
        }
    }
}
