//! What a document costs, measured before it is validated: nothing here takes longer than the document is long, however
//! its fragments multiply.

use std::collections::HashMap;

use apollo_parser::{Lexer, TokenKind};
use async_graphql::{
    Name, Positioned, Variables,
    parser::types::{ExecutableDocument, Field, Selection, SelectionSet},
};
use async_graphql_value::Value;

use crate::{config::GraphqlConfig, refusal::Refusal, schema::list_cost};

/// How deep brackets of any kind may be nested, besides those of fields: lists and objects in arguments.
const MAX_LITERAL_DEPTH: usize = 64;

/// How many bytes a document may have for each token that it may have; more is for variables.
const BYTES_PER_TOKEN: usize = 100;

/// Counts tokens and brackets, so that the parser is only given what it can digest.
pub(crate) fn measure_text(text: &str, config: &GraphqlConfig) -> Result<(), Refusal> {
    if text.len() > config.max_tokens.saturating_mul(BYTES_PER_TOKEN) {
        return Err(Refusal::TooLarge { max: config.max_tokens });
    }
    let (mut tokens, mut depth) = (0, 0_usize);
    for token in Lexer::new(text) {
        // What is no token counts as one: it is for the parser to complain of.
        match token.as_ref().map(apollo_parser::Token::kind) {
            Ok(TokenKind::Whitespace | TokenKind::Comment | TokenKind::Comma | TokenKind::Eof) => continue,
            Ok(TokenKind::LCurly | TokenKind::LBracket | TokenKind::LParen) => depth += 1,
            Ok(TokenKind::RCurly | TokenKind::RBracket | TokenKind::RParen) => depth = depth.saturating_sub(1),
            _ => {}
        }
        tokens += 1;
        if tokens > config.max_tokens {
            return Err(Refusal::TooLarge { max: config.max_tokens });
        }
        if depth > config.max_depth + MAX_LITERAL_DEPTH {
            return Err(Refusal::TooDeep { max: config.max_depth });
        }
    }
    Ok(())
}

/// The lists of introspection, which the schema puts no price on. No field of ours has such a name.
const INTROSPECTION_LISTS: [&str; 9] =
    ["types", "directives", "fields", "args", "inputFields", "enumValues", "interfaces", "possibleTypes", "locations"];

/// What a selection comes to with its fragments put in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Cost {
    fields: usize,
    depth: usize,
    aliases: usize,
    directives: usize,
}

impl Cost {
    /// With what stands beside it.
    fn and(self, other: Self) -> Self {
        Self {
            fields: self.fields.saturating_add(other.fields),
            depth: self.depth.max(other.depth),
            aliases: self.aliases.saturating_add(other.aliases),
            directives: self.directives.saturating_add(other.directives),
        }
    }
}

/// What the schema must know to say what a request costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Costs {
    /// How many representations it resolves.
    pub(crate) entities: usize,
    /// The most fields of an answer.
    pub(crate) max_complexity: usize,
}

/// Refuses what costs too much, and fragments that go in circles.
pub(crate) fn measure(
    document: &ExecutableDocument,
    variables: &Variables,
    config: &GraphqlConfig,
) -> Result<Costs, Refusal> {
    let mut measure = Measure { document, fragments: HashMap::new() };
    let mut entities = 0_usize;
    for (_, operation) in document.operations.iter() {
        let root = &operation.node.selection_set.node;
        let mut cost = measure.selection(root)?;
        cost.directives = cost.directives.saturating_add(operation.node.directives.len());
        for (actual, max, refusal) in [
            (cost.depth, config.max_depth, Refusal::TooDeep { max: config.max_depth }),
            (cost.aliases, config.max_aliases, Refusal::TooManyAliases { max: config.max_aliases }),
            (cost.directives, config.max_directives, Refusal::TooManyDirectives { max: config.max_directives }),
            // Each costs one at least. More than that is known only with the schema.
            (cost.fields, config.max_complexity, Refusal::TooComplex { max: config.max_complexity }),
        ] {
            if actual > max {
                return Err(refusal);
            }
        }
        root_fields(document, root, &mut |field| {
            match field.name.node.as_str() {
                "__schema" | "__type" | "_service" if !config.introspection => return Err(Refusal::NoIntrospection),
                "_entities" => entities = entities.saturating_add(representations(field, variables)),
                _ => {}
            }
            Ok(())
        })?;
    }
    if entities > config.max_entities {
        return Err(Refusal::TooManyEntities { max: config.max_entities });
    }
    Ok(Costs { entities, max_complexity: config.max_complexity })
}

/// Visits the fields at the root. Only after fragments are known to end.
fn root_fields<'a>(
    document: &'a ExecutableDocument,
    selections: &'a SelectionSet,
    visit: &mut impl FnMut(&'a Field) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    for selection in &selections.items {
        match &selection.node {
            Selection::Field(field) => visit(&field.node)?,
            Selection::InlineFragment(inline) => root_fields(document, &inline.node.selection_set.node, visit)?,
            Selection::FragmentSpread(spread) => {
                if let Some(fragment) = document.fragments.get(&spread.node.fragment_name.node) {
                    root_fields(document, &fragment.node.selection_set.node, visit)?;
                }
            }
        }
    }
    Ok(())
}

fn representations(field: &Field, variables: &Variables) -> usize {
    match field.get_argument("representations").map(|value| &value.node) {
        Some(Value::List(list)) => list.len(),
        Some(Value::Variable(name)) => match variables.get(name) {
            Some(async_graphql::Value::List(list)) => list.len(),
            _ => 1,
        },
        _ => 1,
    }
}

struct Measure<'a> {
    document: &'a ExecutableDocument,
    /// Each fragment is measured once; none while it is being measured.
    fragments: HashMap<&'a Name, Option<Cost>>,
}

impl<'a> Measure<'a> {
    fn selection(&mut self, selections: &'a SelectionSet) -> Result<Cost, Refusal> {
        let mut sum = Cost::default();
        for selection in &selections.items {
            let mut cost = match &selection.node {
                Selection::Field(field) => {
                    let inner = self.selection(&field.node.selection_set.node)?;
                    let list = INTROSPECTION_LISTS.contains(&field.node.name.node.as_str());
                    Cost {
                        fields: if list { list_cost(inner.fields) } else { inner.fields.saturating_add(1) },
                        depth: inner.depth + 1,
                        aliases: inner.aliases.saturating_add(usize::from(field.node.alias.is_some())),
                        ..inner
                    }
                }
                Selection::InlineFragment(inline) => self.selection(&inline.node.selection_set.node)?,
                Selection::FragmentSpread(spread) => self.fragment(&spread.node.fragment_name)?,
            };
            cost.directives = cost.directives.saturating_add(selection.node.directives().len());
            sum = sum.and(cost);
        }
        Ok(sum)
    }

    fn fragment(&mut self, name: &'a Positioned<Name>) -> Result<Cost, Refusal> {
        match self.fragments.get(&name.node) {
            Some(Some(known)) => return Ok(*known),
            Some(None) => {
                let message = format!("Cannot spread fragment \"{}\" within itself.", name.node);
                return Err(Refusal::Validation { message, at: vec![name.pos] });
            }
            None => {}
        }
        // One that is not there is for the validation to complain of, which looks at it as often as at a field.
        let Some(fragment) = self.document.fragments.get(&name.node) else {
            return Ok(Cost { fields: 1, ..Cost::default() });
        };
        self.fragments.insert(&name.node, None);
        let cost = self.selection(&fragment.node.selection_set.node)?;
        self.fragments.insert(&name.node, Some(cost));
        Ok(cost)
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::parser::parse_query;
    use oms_core::config::Source;

    use super::*;

    fn config() -> GraphqlConfig {
        let limits = [("DEPTH", "4"), ("ALIASES", "2"), ("DIRECTIVES", "2"), ("TOKENS", "40"), ("ENTITIES", "3")];
        let pairs = limits.map(|(name, value)| (format!("GRAPHQL_MAX_{name}"), value));
        GraphqlConfig::read(&mut Source::from_pairs(pairs))
    }

    fn measured(text: &str, variables: serde_json::Value) -> Result<Costs, Refusal> {
        measure(&parse_query(text).unwrap(), &Variables::from_json(variables), &config())
    }

    fn refused(text: &str) -> &'static str {
        measured(text, serde_json::json!({})).map_or_else(|refusal| refusal.code(), |_| "nothing")
    }

    #[test]
    fn what_is_just_within_a_limit_passes_and_one_more_is_refused() {
        for (within, beyond, code) in [
            ("{ a { b { c { d } } } }", "{ a { b { c { d { e } } } } }", "QUERY_TOO_DEEP"),
            ("{ x: a y: b c }", "{ x: a y: b z: c }", "TOO_MANY_ALIASES"),
            ("{ a @skip(if: true) b @skip(if: true) }", "{ a @x @y ... @z { b } }", "TOO_MANY_DIRECTIVES"),
            ("query @x { a @y }", "query @x @y { a @z }", "TOO_MANY_DIRECTIVES"),
            (
                "{ _entities(representations: [{}, {}, {}]) { a } }",
                "{ _entities(representations: [{}, {}]) { a } ...F } fragment F on Query { _entities(representations: [{}, {}]) { a } }",
                "TOO_MANY_ENTITIES",
            ),
        ] {
            assert_eq!(refused(within), "nothing", "{within}");
            assert_eq!(refused(beyond), code, "{beyond}");
        }
    }

    #[test]
    fn fragments_count_wherever_they_are_put_in() {
        assert_eq!(refused("{ a { ...F } } fragment F on T { b { c { d } } }"), "nothing");
        assert_eq!(refused("{ a { z { ...F } } } fragment F on T { b { c { d } } }"), "QUERY_TOO_DEEP");
        assert_eq!(refused("{ ...F b { ...F } c { ...F } } fragment F on T { x: a }"), "TOO_MANY_ALIASES");
        assert_eq!(refused("{ a { ... { ... { ... { ... { b } } } } } }"), "nothing", "no field, no level");
    }

    #[test]
    fn fragments_that_multiply_or_go_in_circles_are_refused_at_once() {
        let chain: String = (0..100).map(|n| format!("fragment f{n} on T {{ ...f{0} ...f{0} }} ", n + 1)).collect();
        assert_eq!(refused(&format!("{{ ...f0 }} {chain} fragment f100 on T {{ a }}")), "QUERY_TOO_COMPLEX");
        assert_eq!(refused(&format!("{{ ...f0 }} {chain}")), "QUERY_TOO_COMPLEX", "the last fragment is missing");
        assert_eq!(
            refused("{ ...a } fragment a on T { b { ...c } } fragment c on T { ...a }"),
            "GRAPHQL_VALIDATION_FAILED"
        );
    }

    #[test]
    fn introspection_has_its_price() {
        let types = |depth: usize| {
            format!(
                "{{ __schema {{ types {} }} }}",
                "{ fields { type ".repeat(depth) + "{ name }" + &"} }".repeat(depth)
            )
        };
        let config = GraphqlConfig { max_depth: 60, ..config() };
        let measured = |text: &str| measure(&parse_query(text).unwrap(), &Variables::default(), &config);
        assert!(measured(&types(2)).is_ok());
        assert_eq!(measured(&types(5)).unwrap_err().code(), "QUERY_TOO_COMPLEX");
        let schema = crate::schema::sdl();
        for name in INTROSPECTION_LISTS {
            assert!(!schema.contains(&format!("\n\t{name}:")) && !schema.contains(&format!("\n\t{name}(")), "{name}");
        }
    }

    #[test]
    fn representations_are_counted_in_variables_too() {
        let query = "query($r: [_Any!]!) { _entities(representations: $r) { a } }";
        let costs = measured(query, serde_json::json!({"r": [{}, {}]})).unwrap();
        assert_eq!(costs.entities, 2);
        let refusal = measured(query, serde_json::json!({"r": [{}, {}, {}, {}]})).unwrap_err();
        assert_eq!(refusal, Refusal::TooManyEntities { max: 3 });
    }

    #[test]
    fn tokens_are_counted_whatever_they_are_and_brackets_before_they_are_parsed() {
        let text = |tokens: usize| format!("{{ {} }}", "a, # b\n".repeat(tokens - 2));
        assert_eq!(measure_text(&text(40), &config()), Ok(()));
        assert_eq!(measure_text(&text(41), &config()), Err(Refusal::TooLarge { max: 40 }));
        assert_eq!(measure_text(&"\u{0}".repeat(41), &config()), Err(Refusal::TooLarge { max: 40 }));
        assert_eq!(measure_text(&" ".repeat(4_000), &config()), Ok(()));
        assert_eq!(measure_text(&" ".repeat(4_001), &config()), Err(Refusal::TooLarge { max: 40 }));
        let config = GraphqlConfig { max_tokens: 1_000_000, ..config() };
        for bracket in ["{a", "[", "("] {
            let text = bracket.repeat(10_000);
            assert_eq!(measure_text(&text, &config), Err(Refusal::TooDeep { max: 4 }), "{bracket}");
        }
    }
}
