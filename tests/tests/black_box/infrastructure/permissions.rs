//! Each function may do what its code does, with what its settings name, and no more.

use std::{collections::BTreeSet, rc::Rc};

use serde_json::{Value, json};

use super::{
    Function, code, functions,
    rights::{Rights, database_user, kafka, list, named, rights},
    template::{STAGES, Stack, text},
};

/// Where each program calls AWS: the file, and the variable that names whom.
const PLACES: &[(&str, &[(&str, &str)])] = &[
    ("rest", &[("shared/edge/src/poke.rs", "POKE_QUEUE_URL")]),
    ("graphql", &[("shared/edge/src/poke.rs", "POKE_QUEUE_URL")]),
    ("rpc", &[]),
    ("outbox-publisher", &[("functions/outbox-publisher/src/redrive/sqs.rs", "RELAY_DLQ_URL")]),
    (
        "event-relay",
        &[
            ("functions/event-relay/src/bus.rs", "EVENT_BUS_NAME"),
            ("functions/event-relay/src/marks.rs", "RELAY_TABLE_NAME"),
            ("functions/event-relay/src/poison.rs", "RELAY_DLQ_URL"),
            ("functions/event-relay/src/queue.rs", "RELAY_FIFO_URL"),
        ],
    ),
    ("migrate", &[("functions/migrate/src/owner.rs", "DB_MASTER_SECRET_ARN")]),
    ("jwks", &[("functions/jwks/src/lib.rs", "JWKS_BUCKET")]),
];

/// Kafka's own rights of who produces and redrives, and of who makes topics.
const PRODUCES: &[(&str, &str)] = &[
    ("kafka-cluster:Connect", "cluster"),
    ("kafka-cluster:WriteDataIdempotently", "cluster"),
    ("kafka-cluster:DescribeTopic", "topic/oms-events"),
    ("kafka-cluster:WriteData", "topic/oms-events"),
    ("kafka-cluster:DescribeTopic", "topic/oms-events-dlq"),
    ("kafka-cluster:WriteData", "topic/oms-events-dlq"),
    ("kafka-cluster:ReadData", "topic/oms-events-dlq"),
    ("kafka-cluster:DescribeGroup", "group/oms-redrive"),
    ("kafka-cluster:AlterGroup", "group/oms-redrive"),
];
const MAKES_TOPICS: &[(&str, &str)] = &[
    ("kafka-cluster:Connect", "cluster"),
    ("kafka-cluster:CreateTopic", "topic/oms-events"),
    ("kafka-cluster:DescribeTopic", "topic/oms-events"),
    ("kafka-cluster:CreateTopic", "topic/oms-events-dlq"),
    ("kafka-cluster:DescribeTopic", "topic/oms-events-dlq"),
];

/// What Lambda needs to fetch the events of a trigger, in the role of the function.
const FETCHES_SQS: &[&str] = &["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"];
const FETCHES_MSK: &[(&str, &str)] = &[
    ("kafka-cluster:Connect", "cluster"),
    ("kafka-cluster:DescribeClusterDynamicConfiguration", "cluster"),
    ("kafka:DescribeCluster", "cluster"),
    ("kafka:DescribeClusterV2", "cluster"),
    ("kafka:GetBootstrapBrokers", "cluster"),
    ("kafka-cluster:DescribeTopic", "topic/oms-events"),
    ("kafka-cluster:ReadData", "topic/oms-events"),
    ("kafka-cluster:DescribeGroup", "group/oms-event-relay"),
    ("kafka-cluster:AlterGroup", "group/oms-event-relay"),
];
/// The rest of what its network interfaces need is in the policy that SAM gives every function of a VPC.
const FETCHES_FROM_VPC: &[&str] = &["ec2:DescribeSecurityGroups", "ec2:DescribeVpcs"];

/// What feeds functions.
fn mappings(root: &Rc<Stack>) -> Vec<Value> {
    let mut found = Vec::new();
    for stack in root.all() {
        let resources = stack.resources().into_iter();
        let mappings = resources.filter(|(_, definition)| definition["Type"] == "AWS::Lambda::EventSourceMapping");
        found.extend(mappings.map(|(_, definition)| stack.value(&definition["Properties"]).unwrap()));
    }
    assert_eq!(found.len(), 2, "{found:?}");
    found
}

/// What the code of a function calls by an SDK.
fn calls(root: &Rc<Stack>, function: &Function) -> Rights {
    let program = function.program.as_deref().unwrap();
    let (_, places) =
        PLACES.iter().find(|(name, _)| *name == program).unwrap_or_else(|| panic!("where does {program} call?"));
    let mut found = Rights::new();
    for (file, variable) in *places {
        let calls = code::CALLS.get(*file).unwrap_or_else(|| panic!("{file} calls nothing"));
        let name = function.variable(variable).unwrap_or_else(|| panic!("{} needs {variable}", function.resource));
        let resource = match *variable {
            "DB_MASTER_SECRET_ARN" => name,
            "JWKS_BUCKET" => named(root, &name) + "/jwks.json",
            _ => named(root, &name),
        };
        found.extend(calls.iter().map(|action| (action.clone(), resource.clone())));
    }
    found
}

/// What the code of a function needs, and what feeds it.
fn needs(root: &Rc<Stack>, function: &Function) -> Rights {
    let mut needs = calls(root, function);
    let mut add = |actions: &[&str], resource: &str| {
        needs.extend(actions.iter().map(|action| ((*action).to_owned(), resource.to_owned())));
    };
    let given = |name: &str| function.variable(name).unwrap_or_else(|| panic!("{} needs {name}", function.resource));
    if function.variable("DB_IAM_AUTH").is_some() {
        add(&["rds-db:connect"], &database_user(root, &given("DB_HOST"), &given("DB_USER")));
    }
    if let Some(cache) = function.variable("REDIS_IAM_CACHE") {
        add(&["elasticache:Connect"], &named(root, &cache));
        add(&["elasticache:Connect"], &named(root, &given("REDIS_USER")));
    }
    let of_kafka = match function.program.as_deref() {
        Some("outbox-publisher") => PRODUCES,
        Some("migrate") => MAKES_TOPICS,
        _ => &[],
    };
    for (action, part) in of_kafka {
        add(&[action], &kafka(root, part));
    }
    for mapping in mappings(root).iter().filter(|mapping| text(&mapping["FunctionName"]).ends_with(&alias(function))) {
        let source = text(&mapping["EventSourceArn"]);
        if source.starts_with("arn:aws:sqs:") {
            add(FETCHES_SQS, &source);
        } else {
            assert_eq!(source, kafka(root, "cluster"), "{}: what does it need to be fed by that?", function.resource);
            assert_eq!(mapping["Topics"], json!(["oms-events"]));
            FETCHES_MSK.iter().for_each(|(action, part)| add(&[action], &kafka(root, part)));
            add(FETCHES_FROM_VPC, "*");
        }
    }
    needs
}

fn alias(function: &Function) -> String {
    format!(":{}:Alias", function.name)
}

#[test]
fn every_function_may_do_what_its_code_does_with_what_its_settings_name_and_no_more() {
    for stage in STAGES {
        let root = Stack::of(stage);
        let functions = functions(&root);
        for function in functions.iter().filter(|function| function.program.is_some()) {
            let may = rights(&function.resource, &function.statements());
            // Keys belong to what is encrypted with them, and have a test of their own.
            let may: Rights = may.into_iter().filter(|(action, _)| !action.starts_with("kms:")).collect();
            let does = needs(&root, function);
            let (wide, missing): (Vec<_>, Vec<_>) = (may.difference(&does).collect(), does.difference(&may).collect());
            assert!(
                wide.is_empty() && missing.is_empty(),
                "{stage}: {} may and needs not: {wide:#?}, needs and may not: {missing:#?}",
                function.resource
            );
        }
    }
}

/// Beside what is written: `AWSLambdaBasicExecutionRole` for the log, `AWSLambdaVPCAccessExecutionRole` for network interfaces where
/// there is a `VpcConfig`, `AWSXRayDaemonWriteAccess` where `Tracing` is `Active`, and the right to send to a `DeadLetterQueue`.
/// `Events`, `Connectors` and names among the policies would bring more.
#[test]
fn sam_adds_no_rights_but_those_for_logs_the_network_traces_and_dead_letters() {
    for stage in STAGES {
        for function in functions(&Stack::of(stage)).iter().filter(|function| function.program.is_some()) {
            let (place, properties) = (format!("{stage}: {}", function.resource), &function.properties);
            for key in ["Role", "Events", "Connectors", "ManagedPolicyArns", "AssumeRolePolicyDocument"] {
                assert!(properties.get(key).is_none(), "{place} has {key}");
            }
            let policies = properties["Policies"].as_array().unwrap();
            assert!(
                policies.iter().all(|policy| policy["Statement"].is_array()),
                "{place}: a policy is not written out"
            );
            let is_outside = function.program.as_deref() == Some("jwks");
            assert_eq!(properties.get("VpcConfig").is_none(), is_outside, "{place}: who is in the network?");
            // The network has an endpoint to X-Ray, and SAM gives the right, where there is a collector.
            let collects = function.variable("TRACE_ENDPOINT").is_some();
            assert_eq!(properties["Tracing"] == "Active", collects, "{place}: {}", properties["Tracing"]);
            let letters = properties.get("DeadLetterQueue").is_some();
            assert_eq!(letters, function.program.as_deref() == Some("migrate"), "{place}: who waits for an answer?");
        }
    }
}

/// There is no other way out of the network, and each endpoint has a policy of its own.
#[test]
fn the_endpoints_of_the_network_let_through_what_functions_call() {
    for stage in STAGES {
        let root = Stack::of(stage);
        let network = root.nested("Network");
        let endpoints: Vec<Value> = network
            .resources()
            .into_iter()
            .filter(|(_, definition)| definition["Type"] == "AWS::EC2::VPCEndpoint")
            .map(|(_, definition)| network.value(&definition["Properties"]).unwrap())
            .collect();
        let inside =
            |function: &&Function| function.program.is_some() && function.properties.get("VpcConfig").is_some();
        let mut passing = 0;
        for function in functions(&root).iter().filter(inside) {
            for (action, resource) in calls(&root, function) {
                let service = format!(".{}", action.split(':').next().unwrap());
                let lets_through = |endpoint: &&Value| {
                    let statements = endpoint["PolicyDocument"]["Statement"].as_array().unwrap();
                    let allows = |statement: &Value| {
                        list(&statement["Action"]).contains(&action)
                            && list(&statement["Resource"]).iter().any(|pattern| matches(pattern, &resource))
                    };
                    text(&endpoint["ServiceName"]).ends_with(&service) && statements.iter().any(allows)
                };
                let way = endpoints.iter().find(lets_through);
                assert!(way.is_some(), "{stage}: {} can't reach {action} on {resource}", function.resource);
                passing += 1;
            }
        }
        assert!(passing > 8, "{stage}: {passing}");
    }
}

/// Whether a text is as a pattern says, in which `*` stands for anything.
fn matches(pattern: &str, whole: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == whole,
        Some((before, after)) => whole
            .strip_prefix(before)
            .is_some_and(|rest| rest.char_indices().any(|(at, _)| matches(after, &rest[at..])) || after.is_empty()),
    }
}

#[test]
fn every_file_that_calls_aws_belongs_to_a_function() {
    let known: BTreeSet<&str> = PLACES.iter().flat_map(|(_, places)| places.iter()).map(|(file, _)| *file).collect();
    let calling: BTreeSet<&str> = code::CALLS.keys().map(String::as_str).collect();
    assert_eq!(known, calling, "left: listed here, right: has calls");
}
