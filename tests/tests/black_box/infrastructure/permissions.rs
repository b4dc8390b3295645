//! Each function may do what its code does, and no more.

use std::{collections::BTreeSet, rc::Rc};

use oms_tests::workspace_root;
use serde_json::Value;

use super::{
    Function, code, functions,
    template::{STAGES, Stack, text},
};

/// Where each program calls AWS. Files that are in none of these run in the server alone.
const PLACES: &[(&str, &[&str])] = &[
    ("rest", &["shared/edge/src/poke.rs"]),
    ("graphql", &["shared/edge/src/poke.rs"]),
    ("rpc", &[]),
    ("outbox-publisher", &[]),
    (
        "event-relay",
        &[
            "functions/event-relay/src/bus.rs",
            "functions/event-relay/src/marks.rs",
            "functions/event-relay/src/poison.rs",
            "functions/event-relay/src/queue.rs",
        ],
    ),
    ("migrate", &["functions/migrate/src/owner.rs"]),
    ("jwks", &["functions/jwks/src/lib.rs"]),
];

/// Files with calls that no function makes.
const SERVER_ONLY: &[&str] = &["functions/outbox-publisher/src/redrive/sqs.rs"];

/// What is no call of an SDK: the setting or the words in the code that need it, and the actions.
const OTHERWISE: &[(&str, &[&str])] =
    &[("DB_IAM_AUTH", &["rds-db:connect"]), ("REDIS_IAM_CACHE", &["elasticache:Connect"])];

/// Kafka's own rights of who produces, and of who makes topics.
const PRODUCES: &[&str] = &[
    "kafka-cluster:Connect",
    "kafka-cluster:DescribeTopic",
    "kafka-cluster:WriteData",
    "kafka-cluster:WriteDataIdempotently",
];
const MAKES_TOPICS: &[&str] = &["kafka-cluster:Connect", "kafka-cluster:CreateTopic", "kafka-cluster:DescribeTopic"];

/// What Lambda needs to fetch the events of a trigger, in the role of the function.
const FETCHES_SQS: &[&str] = &["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"];
const FETCHES_MSK: &[&str] = &[
    // The rest of EC2 is in the policy that SAM gives every function of a VPC.
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeVpcs",
    "kafka-cluster:AlterGroup",
    "kafka-cluster:Connect",
    "kafka-cluster:DescribeClusterDynamicConfiguration",
    "kafka-cluster:DescribeGroup",
    "kafka-cluster:DescribeTopic",
    "kafka-cluster:ReadData",
    "kafka:DescribeCluster",
    "kafka:DescribeClusterV2",
    "kafka:GetBootstrapBrokers",
];

/// What feeds functions: for each the name of its function's alias, and where its events come from.
fn mappings(root: &Rc<Stack>) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for stack in root.all() {
        for (_, definition) in stack.resources() {
            if definition["Type"] == "AWS::Lambda::EventSourceMapping" {
                let mapping = stack.value(&definition["Properties"]).unwrap();
                found.push((text(&mapping["FunctionName"]), text(&mapping["EventSourceArn"])));
            }
        }
    }
    assert_eq!(found.len(), 2, "{found:?}");
    found
}

/// What the code of a function needs, and what feeds it.
fn needs(root: &Rc<Stack>, function: &Function) -> BTreeSet<String> {
    let program = function.program.as_deref().unwrap();
    let (_, places) =
        PLACES.iter().find(|(name, _)| *name == program).unwrap_or_else(|| panic!("where does {program} call?"));
    let mut needs: BTreeSet<String> = BTreeSet::new();
    for place in *places {
        needs.extend(code::CALLS.get(*place).unwrap_or_else(|| panic!("{place} calls nothing")).iter().cloned());
    }
    let variables = function.variables();
    let mut add = |actions: &[&str]| needs.extend(actions.iter().map(|action| (*action).to_owned()));
    for (variable, actions) in OTHERWISE {
        if variables.iter().any(|(name, _)| name == variable) {
            add(actions);
        }
    }
    match program {
        "outbox-publisher" => add(PRODUCES),
        "migrate" => add(MAKES_TOPICS),
        _ => {}
    }
    assert!(function.properties.get("Events").is_none(), "{}: SAM would add rights of its own", function.resource);
    for (_, source) in mappings(root).iter().filter(|(alias, _)| alias.ends_with(&format!("{}:Alias", function.name))) {
        match source.split(':').nth(2).unwrap() {
            "sqs" => add(FETCHES_SQS),
            "kafka" => add(FETCHES_MSK),
            other => panic!("{}: what does it need to be fed by {other}?", function.resource),
        }
    }
    needs
}

/// The statements that a function is given: Effect, Action, Resource, Condition.
fn statements(function: &Function) -> Vec<Value> {
    let policies = function.properties["Policies"].as_array().cloned().unwrap_or_default();
    let documents = policies.into_iter().map(|policy| {
        assert!(policy.is_object(), "{}: {policy} is not written out", function.resource);
        policy["Statement"].as_array().unwrap_or_else(|| panic!("{}: {policy}", function.resource)).clone()
    });
    documents.flatten().collect()
}

fn list(value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().map(text).collect(),
        one => vec![text(one)],
    }
}

#[test]
fn every_function_may_do_what_its_code_does_and_no_more() {
    for stage in STAGES {
        let root = Stack::of(stage);
        let functions = functions(&root);
        for function in functions.iter().filter(|function| function.program.is_some()) {
            let allowed: BTreeSet<String> =
                statements(function).iter().flat_map(|statement| list(&statement["Action"])).collect();
            // Keys belong to what is encrypted with them; the next test looks at those.
            let allowed: BTreeSet<String> = allowed.into_iter().filter(|action| !action.starts_with("kms:")).collect();
            assert_eq!(allowed, needs(&root, function), "{stage}: {} (left: may, right: does)", function.resource);
        }
    }
}

#[test]
fn no_right_is_wider_than_what_it_is_for() {
    for function in functions(&Stack::of("prod")) {
        if function.program.is_none() {
            continue;
        }
        for statement in statements(&function) {
            let (actions, resources) = (list(&statement["Action"]), list(&statement["Resource"]));
            assert_eq!(statement["Effect"], "Allow", "{}: {statement}", function.resource);
            for action in &actions {
                assert!(!action.contains('*'), "{}: {action}", function.resource);
                if action.starts_with("kms:") {
                    assert!(
                        !statement["Condition"]["StringEquals"]["kms:ViaService"].is_null(),
                        "{}: {action} for whoever asks, not through a service",
                        function.resource
                    );
                }
            }
            for resource in &resources {
                // EC2 has no resources for what Lambda does with network interfaces.
                let is_ec2 = actions.iter().all(|action| action.starts_with("ec2:"));
                assert!(is_ec2 || resource.starts_with("arn:aws:"), "{}: {actions:?} on {resource}", function.resource);
                assert!(is_ec2 || resource.split(':').nth(2) != Some("*"), "{}: {resource}", function.resource);
            }
        }
    }
}

#[test]
fn every_file_that_calls_aws_belongs_to_a_function_or_to_the_server_alone() {
    let known: BTreeSet<&str> =
        PLACES.iter().flat_map(|(_, places)| places.iter()).chain(SERVER_ONLY).copied().collect();
    let calling: BTreeSet<&str> = code::CALLS.keys().map(String::as_str).collect();
    assert_eq!(known, calling, "left: listed here, right: has calls");
    let server = std::fs::read_to_string(workspace_root().join("functions/outbox-publisher/Cargo.toml")).unwrap();
    assert!(server.contains("redrive = "), "the function is built without the feature that has those calls");
}
