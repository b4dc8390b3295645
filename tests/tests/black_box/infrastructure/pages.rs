//! What the runbook and the README of `infra/` name is there, so that nobody finds out in an outage that it is not.

use std::collections::BTreeSet;

use oms_tests::workspace_root;
use serde_json::json;

use super::{
    parameters, shape,
    template::{STAGES, Stack, load},
};

const PAGES: [&str; 2] = ["docs/runbook.md", "infra/README.md"];

/// What only AWS's own pages know.
const OF_AWS: [&str; 2] = ["DatabaseConnectionsCurrentlySessionPinned", "InitDuration"];

fn page(file: &str) -> String {
    std::fs::read_to_string(workspace_root().join(file)).unwrap()
}

/// What comes before a word and after it, each time that it is there.
fn around<'a>(page: &'a str, word: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
    page.match_indices(word).map(move |(at, _)| (&page[..at], &page[at + word.len()..]))
}

#[test]
fn every_resource_that_a_command_names_is_one_of_that_stack() {
    let root = Stack::of("prod");
    let mut named = 0;
    for file in PAGES {
        let page = page(file);
        // The shell function of the page: `oms STACK RESOURCE`.
        for (before, rest) in around(&page, "oms ").filter(|(before, _)| before.ends_with(['(', '`'])) {
            let mut words = rest.split(|c: char| !(c.is_alphanumeric() || c == '$'));
            let (stack, resource) = (words.next().unwrap(), words.next().unwrap());
            assert_eq!(root.template["Resources"][stack]["Type"], "AWS::CloudFormation::Stack", "{file}: oms {stack}");
            let resources = match resource.strip_prefix('$') {
                None => vec![resource],
                Some(variable) => {
                    let (_, list) = before.rsplit_once(&format!("for {variable} in ")).expect("a loop");
                    list.split([';', '\n']).next().unwrap().split_whitespace().collect()
                }
            };
            for resource in resources {
                let known = &root.nested(stack).template["Resources"];
                assert!(known.get(resource).is_some(), "{file}: {stack} has no {resource}");
                named += 1;
            }
        }
    }
    assert!(named > 8, "{named}");
}

/// Names such as `DatabaseSnapshot` that stand alone between backticks.
fn camel_case(page: &str) -> BTreeSet<String> {
    let prose: Vec<&str> = page.split("```").step_by(2).collect();
    let prose = prose.concat();
    let words = prose.split('`').skip(1).step_by(2).filter(|word| {
        let capitals = word.chars().filter(char::is_ascii_uppercase).count();
        let letters = word.chars().all(|c| c.is_ascii_alphanumeric());
        letters
            && capitals > 1
            && word.starts_with(|c: char| c.is_ascii_uppercase())
            && word.chars().any(|c| c.is_lowercase())
    });
    words.map(str::to_owned).collect()
}

#[test]
fn every_parameter_that_a_page_names_is_one_of_the_root() {
    let root = load(&workspace_root().join("infra/template.yaml"));
    let mut known: BTreeSet<String> = root["Parameters"].as_object().unwrap().keys().cloned().collect();
    // The same letters are for what the templates make and what it is measured by.
    for (_, resource, _, properties) in STAGES.into_iter().flat_map(shape::resources) {
        known.insert(resource);
        let queries = properties["Metrics"].as_array().into_iter().flatten();
        let metrics = queries.map(|query| &query["MetricStat"]["Metric"]).chain([&properties]);
        known.extend(metrics.filter_map(|metric| metric["MetricName"].as_str()).map(str::to_owned));
    }
    let named: BTreeSet<String> = PAGES.into_iter().flat_map(|file| camel_case(&page(file))).collect();
    assert!(named.len() > 8, "{named:?}");
    let unknown: Vec<_> =
        named.iter().filter(|name| !known.contains(*name) && !OF_AWS.contains(&name.as_str())).collect();
    assert_eq!(unknown, [""; 0], "neither a parameter nor anything else of the templates");
    for name in OF_AWS {
        assert!(named.contains(name) && !known.contains(name), "{name} needs no excuse");
    }
}

#[test]
fn every_stage_that_a_command_names_could_be_one() {
    let root = load(&workspace_root().join("infra/template.yaml"));
    let pages = PAGES.map(page).concat();
    let named = around(&pages, "--stage ").map(|(_, rest)| {
        let word = rest.trim_start_matches(['"', '$']);
        word.split(|c: char| !(c.is_alphanumeric() || c == '-')).next().unwrap()
    });
    // The pages say what `STAGE` stands for.
    let named: BTreeSet<&str> = named.filter(|stage| *stage != "STAGE").collect();
    assert!(named.contains("dev"), "{named:?}");
    for stage in named {
        assert_eq!(parameters::fault(&root["Parameters"]["Stage"], &json!(stage)), None);
    }
}
