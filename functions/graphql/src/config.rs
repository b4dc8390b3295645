//! Settings of GraphQL, checked at start.

use oms_core::config::Source;

/// Settings of GraphQL: what a query may ask for, and whether the schema may be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GraphqlConfig {
    /// `GRAPHQL_INTROSPECTION`: whether `__schema`, `__type` and `_service` are answered.
    pub introspection: bool,
    /// `GRAPHQL_MAX_DEPTH`: how deep fields may be nested.
    pub max_depth: usize,
    /// `GRAPHQL_MAX_COMPLEXITY`: how many fields an answer may have, counting a list by the most items it can have.
    pub max_complexity: usize,
    /// `GRAPHQL_MAX_ALIASES`: how many fields may be renamed.
    pub max_aliases: usize,
    /// `GRAPHQL_MAX_DIRECTIVES`: how many directives a query may have.
    pub max_directives: usize,
    /// `GRAPHQL_MAX_TOKENS`: how many tokens a document may have.
    pub max_tokens: usize,
    /// `GRAPHQL_MAX_ENTITIES`: how many representations a federated query may resolve.
    pub max_entities: usize,
}

impl GraphqlConfig {
    /// Reads the settings. Problems are noted in the source.
    pub fn read(source: &mut Source) -> Self {
        Self {
            // The parser itself stops at 64.
            max_depth: limit(source, "GRAPHQL_MAX_DEPTH", 20, 60),
            max_complexity: limit(source, "GRAPHQL_MAX_COMPLEXITY", 100_000, 10_000_000),
            max_aliases: limit(source, "GRAPHQL_MAX_ALIASES", 100, 10_000),
            max_directives: limit(source, "GRAPHQL_MAX_DIRECTIVES", 50, 10_000),
            max_tokens: limit(source, "GRAPHQL_MAX_TOKENS", 10_000, 1_000_000),
            max_entities: limit(source, "GRAPHQL_MAX_ENTITIES", 1_000, 10_000),
            introspection: source.parse("GRAPHQL_INTROSPECTION", true, "true or false"),
        }
    }
}

fn limit(source: &mut Source, key: &str, default: usize, most: usize) -> usize {
    let value = source.parse(key, default, "a number");
    if !(1..=most).contains(&value) {
        source.problem(format!("{key}: must be from 1 to {most}"));
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_has_bounds_and_every_problem_is_named() {
        let mut source = Source::from_pairs([
            ("GRAPHQL_MAX_DEPTH", "61"),
            ("GRAPHQL_MAX_ALIASES", "0"),
            ("GRAPHQL_MAX_TOKENS", "many"),
            ("GRAPHQL_INTROSPECTION", "perhaps"),
        ]);
        GraphqlConfig::read(&mut source);
        let text = source.finish().unwrap_err().to_string();
        for expected in [
            "GRAPHQL_MAX_DEPTH: must be from 1 to 60",
            "GRAPHQL_MAX_ALIASES",
            "GRAPHQL_MAX_TOKENS",
            "GRAPHQL_INTROSPECTION",
        ] {
            assert!(text.contains(expected), "{text}");
        }
    }
}
