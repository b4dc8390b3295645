//! What must hold in every stage, whatever is added.

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use oms_tests::workspace_root;
use serde_json::{Value, json};

use super::{
    functions, rights,
    template::{STAGES, Stack, text},
};

/// Every resource of a stage: its stack's name, its own, its type, and its evaluated properties.
pub(super) fn resources(stage: &str) -> Vec<(String, String, String, Value)> {
    let mut found = Vec::new();
    for stack in Stack::of(stage).all() {
        for (name, definition) in stack.resources() {
            let properties = stack.value(&definition["Properties"]).unwrap_or_default();
            found.push((stack.name.clone(), name.to_owned(), text(&definition["Type"]), properties));
        }
    }
    found
}

/// All texts somewhere in a value.
fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(items) => items.iter().flat_map(texts).collect(),
        Value::Object(pairs) => pairs.values().flat_map(texts).collect(),
        _ => Vec::new(),
    }
}

/// The queues of a stage by their ARNs: name and properties.
fn queues(stage: &str) -> BTreeMap<String, (String, Value)> {
    let stacks = Stack::of(stage).all();
    let of = |stack: &Rc<Stack>| {
        let queues = stack.resources().into_iter().filter(|(_, definition)| definition["Type"] == "AWS::SQS::Queue");
        let queues = queues.map(|(name, definition)| {
            let properties = stack.value(&definition["Properties"]).unwrap_or_default();
            (stack.arn(name), (stack.physical(name), properties))
        });
        queues.collect::<Vec<_>>()
    };
    stacks.iter().flat_map(of).collect()
}

fn letters_of(queue: &Value) -> Option<String> {
    queue["RedrivePolicy"]["deadLetterTargetArn"].as_str().map(str::to_owned)
}

/// The ARNs of queues that dead letters go to: from queues, from other services, and from the relay itself.
fn letters(stage: &str) -> BTreeSet<String> {
    let mut letters: BTreeSet<String> = queues(stage).values().filter_map(|(_, queue)| letters_of(queue)).collect();
    for (_, _, kind, properties) in resources(stage) {
        if kind != "AWS::SQS::Queue" && kind != "AWS::CloudFormation::Stack" {
            letters.extend(dead_letter_targets(&properties));
        }
    }
    let relay = functions(&Stack::of(stage)).into_iter().find(|function| function.resource == "RelayFunction").unwrap();
    let (_, own) = relay.variables().into_iter().find(|(name, _)| name == "RELAY_DLQ_URL").unwrap();
    letters.insert(rights::named(&Stack::of(stage), &own));
    letters
}

#[test]
fn every_queue_has_dead_letters_or_is_where_they_go() {
    for stage in STAGES {
        let (queues, letters) = (queues(stage), letters(stage));
        assert!(queues.len() > 5, "{stage} has {} queues", queues.len());
        for (arn, (_, queue)) in &queues {
            assert!(letters_of(queue).is_some() || letters.contains(arn), "{stage}: {arn} loses what fails");
            if letters.contains(arn) {
                assert_eq!(
                    queue["MessageRetentionPeriod"],
                    json!(1_209_600),
                    "{stage}: {arn} keeps letters for 14 days"
                );
            }
        }
        for letter in &letters {
            assert!(queues.contains_key(letter), "{stage}: {letter} is no queue");
        }
    }
}

#[test]
fn somebody_hears_of_dead_letters_in_every_queue_of_them() {
    for stage in STAGES {
        let (queues, alarms) = (queues(stage), alarms(stage));
        for letter in letters(stage) {
            let (name, _) = &queues[&letter];
            let dimensions = json!([{"Name": "QueueName", "Value": name}]);
            let of_it = |(_, alarm): &&(String, Value)| {
                alarm["Namespace"] == "AWS/SQS"
                    && alarm["MetricName"] == "ApproximateNumberOfMessagesVisible"
                    && alarm["Dimensions"] == dimensions
            };
            let found = alarms.iter().find(of_it).unwrap_or_else(|| panic!("{stage}: no alarm for letters in {name}"));
            let (_, alarm) = found;
            assert_eq!((&alarm["Threshold"], &alarm["Statistic"]), (&json!(0), &json!("Maximum")), "{stage}: {name}");
            assert!(alarm["AlarmActions"].as_array().is_some_and(|all| !all.is_empty()), "{stage}: {name}");
        }
    }
}

/// What stands under `DeadLetterConfig`, `DeadLetterQueue`, and the like.
fn dead_letter_targets(value: &Value) -> Vec<String> {
    match value {
        Value::Object(pairs) => pairs
            .iter()
            .flat_map(|(key, value)| {
                if key.starts_with("DeadLetter") {
                    texts(value).into_iter().filter(|text| text.starts_with("arn:")).map(str::to_owned).collect()
                } else {
                    dead_letter_targets(value)
                }
            })
            .collect(),
        Value::Array(items) => items.iter().flat_map(dead_letter_targets).collect(),
        _ => Vec::new(),
    }
}

/// The alarms of a stage: metric, dimensions, and the whole.
fn alarms(stage: &str) -> Vec<(String, Value)> {
    let all = resources(stage).into_iter().filter(|(_, _, kind, _)| kind == "AWS::CloudWatch::Alarm");
    all.map(|(_, name, _, properties)| (name, properties)).collect()
}

#[test]
fn every_function_has_alarms_that_somebody_hears() {
    for stage in STAGES {
        let alarms = alarms(stage);
        for function in functions(&Stack::of(stage)) {
            for metric in ["Errors", "Throttles"] {
                let of_it = |alarm: &Value| {
                    let whole = texts(alarm);
                    whole.contains(&metric) && whole.contains(&function.name.as_str())
                };
                let mut found = alarms.iter().filter(|(_, alarm)| of_it(alarm));
                let heard = found.any(|(_, alarm)| alarm["AlarmActions"].as_array().is_some_and(|all| !all.is_empty()));
                assert!(heard, "{stage}: no alarm for {metric} of {}", function.resource);
            }
        }
    }
}

#[test]
fn every_alarm_leads_to_a_heading_of_the_runbook() {
    let runbook = std::fs::read_to_string(workspace_root().join("docs/runbook.md")).unwrap();
    let headings: BTreeSet<&str> = runbook.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let mut used = BTreeSet::new();
    for (name, alarm) in alarms("prod") {
        let description = alarm["AlarmDescription"].as_str().unwrap_or_default();
        let heading = headings.iter().find(|heading| description.contains(&format!("'{heading}'")));
        assert!(description.contains("docs/runbook.md"), "{name}: {description:?}");
        used.insert(*heading.unwrap_or_else(|| panic!("{name} leads nowhere: {description:?}")));
    }
    assert!(used.len() > 6, "{used:?}");
}

#[test]
fn nothing_is_open_to_the_world_but_the_apis() {
    for stage in STAGES {
        for (stack, name, kind, properties) in resources(stage) {
            let place = format!("{stage}: {stack}.{name}");
            match kind.as_str() {
                "AWS::EC2::InternetGateway" | "AWS::EC2::NatGateway" | "AWS::EC2::EIP" | "AWS::Lambda::Url" => {
                    panic!("{place}: {kind}")
                }
                "AWS::EC2::SecurityGroup" | "AWS::EC2::SecurityGroupIngress" => {
                    let rules = properties["SecurityGroupIngress"]
                        .as_array()
                        .cloned()
                        .unwrap_or_else(|| vec![properties.clone()]);
                    for rule in rules {
                        for range in ["CidrIp", "CidrIpv6"].iter().filter_map(|key| rule[*key].as_str()) {
                            assert!(!range.ends_with("/0"), "{place}: {rule}");
                        }
                    }
                }
                "AWS::S3::Bucket" => {
                    let blocked = &properties["PublicAccessBlockConfiguration"];
                    for what in ["BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"] {
                        assert_eq!(blocked[what], json!(true), "{place}: {what}");
                    }
                }
                "AWS::Lambda::Permission" => {
                    assert_ne!(properties["Principal"], json!("*"), "{place}");
                }
                _ => {}
            }
            assert_ne!(properties["PubliclyAccessible"], json!(true), "{place}");
            assert_ne!(properties["MapPublicIpOnLaunch"], json!(true), "{place}");
            assert!(properties.get("FunctionUrlConfig").is_none(), "{place}");
            for document in ["PolicyDocument", "Policy", "KeyPolicy", "AssumeRolePolicyDocument"] {
                for statement in properties[document]["Statement"].as_array().into_iter().flatten() {
                    let anybody = statement["Principal"] == json!("*") || statement["Principal"]["AWS"] == json!("*");
                    if statement["Effect"] == "Allow" && anybody {
                        let narrowed = statement["Condition"].to_string();
                        // Of an endpoint the network decides who reaches it, of the bucket its endpoint.
                        let inside = kind == "AWS::EC2::VPCEndpoint" || narrowed.contains("aws:SourceVpce");
                        assert!(inside, "{place} lets everybody: {statement}");
                    }
                }
            }
        }
    }
}

#[test]
fn only_two_apis_can_be_reached() {
    let kinds =
        ["AWS::Serverless::HttpApi", "AWS::Serverless::Api", "AWS::ApiGatewayV2::Api", "AWS::ApiGateway::RestApi"];
    let apis: Vec<_> = resources("prod").into_iter().filter(|(_, _, kind, _)| kinds.contains(&kind.as_str())).collect();
    assert_eq!(apis.len(), 2, "{:?}", apis.iter().map(|api| &api.1).collect::<Vec<_>>());
}

#[test]
fn the_rule_of_the_bus_knows_every_event_that_has_a_schema() {
    let schemas = std::fs::read_dir(workspace_root().join("events/schemas")).unwrap();
    let names = schemas.map(|file| file.unwrap().file_name().to_string_lossy().split('.').next().unwrap().to_owned());
    let schemas: BTreeSet<String> = names.collect();
    let rules: Vec<_> = resources("prod").into_iter().filter(|(_, _, kind, _)| kind == "AWS::Events::Rule").collect();
    let fans_out =
        rules.iter().map(|rule| &rule.3["EventPattern"]).find(|pattern| pattern.get("detail-type").is_some());
    let pattern = fans_out.expect("a rule for the events of OMS");
    assert_eq!(pattern["source"], json!(["openfoundry.oms"]));
    let types: BTreeSet<String> = texts(&pattern["detail-type"]).into_iter().map(str::to_owned).collect();
    assert_eq!(types, schemas, "left: the rule, right: events/schemas");
}

#[test]
fn in_dev_nothing_keeps_the_database_awake() {
    let all = resources("dev");
    let cluster = all.iter().find(|(_, _, kind, _)| kind == "AWS::RDS::DBCluster").unwrap();
    assert_eq!(text(&cluster.3["ServerlessV2ScalingConfiguration"]["MinCapacity"]).parse::<f64>().unwrap(), 0.0);
    assert!(!all.iter().any(|(_, _, kind, _)| kind == "AWS::RDS::DBProxy"), "a proxy keeps connections open");
    for stage in ["staging", "prod"] {
        assert!(resources(stage).iter().any(|(_, _, kind, _)| kind == "AWS::RDS::DBProxy"), "{stage} has a proxy");
    }
}
