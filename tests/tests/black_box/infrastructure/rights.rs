//! Rights as IAM has them: what statements allow, and the ARNs of what settings name.

use std::{collections::BTreeSet, rc::Rc};

use serde_json::Value;

use super::template::{ACCOUNT, REGION, Stack, text};

/// Actions, each with the ARN of what it is allowed on.
pub(super) type Rights = BTreeSet<(String, String)>;

/// What IAM knows no resources for.
const OF_NO_RESOURCE: [&str; 3] = ["ec2:DescribeSecurityGroups", "ec2:DescribeVpcs", "logs:DescribeLogGroups"];

/// What statements allow. None of them may deny, nor be for all of anything.
pub(super) fn rights(whose: &str, statements: &[Value]) -> Rights {
    let mut rights = Rights::new();
    for statement in statements {
        assert_eq!(statement["Effect"], "Allow", "{whose}: {statement}");
        for action in list(&statement["Action"]) {
            for resource in list(&statement["Resource"]) {
                let is_narrow = resource.starts_with("arn:aws:") && !resource.contains('*');
                let is_right = is_narrow || OF_NO_RESOURCE.contains(&action.as_str());
                assert!(is_right && !action.contains('*'), "{whose}: {action} on {resource}");
                rights.insert((action.clone(), resource));
            }
        }
    }
    rights
}

pub(super) fn list(value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().map(text).collect(),
        one => vec![text(one)],
    }
}

/// The ARN of the resource that a setting names as `Ref` does: by its name, or by its URL.
pub(super) fn named(root: &Rc<Stack>, name: &str) -> String {
    for stack in root.all() {
        for (resource, _) in stack.resources() {
            if stack.reference(resource).is_some_and(|reference| reference == name) {
                return stack.arn(resource);
            }
        }
    }
    panic!("nothing is called {name}")
}

/// The stage's Kafka cluster, or a topic or a group of it: `topic/oms-events`.
pub(super) fn kafka(root: &Rc<Stack>, part: &str) -> String {
    let stacks = root.all();
    let resources = stacks.iter().flat_map(|stack| stack.resources().into_iter().map(move |(name, _)| (stack, name)));
    let mut clusters = resources
        .filter(|(stack, name)| stack.kind(name).starts_with("AWS::MSK::"))
        .map(|(stack, name)| stack.arn(name));
    let cluster = clusters.next().expect("a cluster");
    assert!(clusters.next().is_none(), "one cluster");
    match part.split_once('/') {
        Some((kind, name)) => format!("{}/{name}", cluster.replace(":cluster/", &format!(":{kind}/"))),
        None => cluster,
    }
}

/// A database user as IAM names it: of the proxy or of the cluster that is at the address.
pub(super) fn database_user(root: &Rc<Stack>, host: &str, user: &str) -> String {
    for stack in root.all() {
        for (name, definition) in stack.resources() {
            let (endpoint, id) = match definition["Type"].as_str() {
                Some("AWS::RDS::DBProxy") => ("Endpoint", stack.physical(name)),
                Some("AWS::RDS::DBCluster") => {
                    ("Endpoint.Address", text(&stack.attribute(name, "DBClusterResourceId")))
                }
                _ => continue,
            };
            if stack.attribute(name, endpoint) == host {
                return format!("arn:aws:rds-db:{REGION}:{ACCOUNT}:dbuser:{id}/{user}");
            }
        }
    }
    panic!("no database is at {host}")
}
