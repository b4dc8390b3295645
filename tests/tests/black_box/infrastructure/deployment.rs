//! A deployment: the migration comes first, traffic moves step by step and back, and functions fit to the database.

use std::{collections::BTreeSet, rc::Rc};

use serde_json::{Value, json};

use super::{
    Function, functions,
    template::{CODE_VERSION, STAGES, Stack, text},
};

/// The functions that requests come to.
const BEHIND_THE_APIS: [&str; 5] =
    ["RestFunction", "GraphqlFunction", "RestStreamFunction", "GraphqlStreamFunction", "RpcFunction"];

/// What PostgreSQL's `max_connections` is with so many ACUs at most, as AWS tells.
const MAX_CONNECTIONS: [(&str, f64); 2] = [("8", 1669.0), ("16", 3360.0)];

fn stack_of_functions(stage: &str) -> Rc<Stack> {
    Stack::of(stage).nested("Functions")
}

/// The resources that have to be there before this one, as CloudFormation sees it.
fn awaited(template: &Value, resource: &str, found: &mut BTreeSet<String>) {
    let definition = &template["Resources"][resource];
    let mut names = BTreeSet::new();
    mentioned(definition, &mut names);
    let depends_on = &definition["DependsOn"];
    names.extend(
        depends_on.as_str().into_iter().chain(depends_on.as_array().into_iter().flatten().flat_map(Value::as_str)),
    );
    for name in names {
        // What SAM makes of it, as `RestFunction.Alias`, goes by its name.
        let name = name.split('.').next().unwrap();
        if template["Resources"].get(name).is_some() && found.insert(name.to_owned()) {
            awaited(template, name, found);
        }
    }
}

/// The names in `Ref`, `Fn::GetAtt` and `Fn::Sub` anywhere in a value.
fn mentioned<'a>(value: &'a Value, names: &mut BTreeSet<&'a str>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| mentioned(item, names)),
        Value::Object(pairs) => {
            for (key, value) in pairs {
                match (key.as_str(), value) {
                    // SAM gives these alarms to CodeDeploy, not to the function.
                    ("DeploymentPreference", _) => {}
                    ("Ref", Value::String(name)) => drop(names.insert(name)),
                    ("Fn::GetAtt", Value::Array(path)) => names.extend(path[0].as_str()),
                    ("Fn::Sub", Value::String(pattern)) => {
                        names.extend(pattern.split("${").skip(1).filter_map(|rest| rest.split('}').next()));
                    }
                    _ => mentioned(value, names),
                }
            }
        }
        _ => {}
    }
}

#[test]
fn nothing_that_runs_new_code_comes_before_the_migration() {
    let stack = stack_of_functions("prod");
    let before = |resource: &str| {
        let mut found = BTreeSet::new();
        awaited(&stack.template, resource, &mut found);
        found
    };
    assert!(before("Migration").contains("MigrateFunction"));
    let mut waiting = 0;
    for (name, definition) in stack.resources() {
        let runs = matches!(
            definition["Type"].as_str().unwrap(),
            "AWS::Serverless::Function"
                | "AWS::Lambda::EventSourceMapping"
                | "AWS::Scheduler::Schedule"
                | "AWS::CloudFormation::Stack"
        );
        if runs && name != "MigrateFunction" {
            assert!(before(name).contains("Migration"), "{name} does not wait for the migration");
            waiting += 1;
        }
    }
    assert!(waiting > 10, "{waiting}");
}

#[test]
fn every_deployment_migrates_and_gives_every_function_a_version_that_its_alias_takes() {
    for stage in STAGES {
        let stack = stack_of_functions(stage);
        let (_, migration) = stack.resources().into_iter().find(|(name, _)| *name == "Migration").unwrap();
        let migration = stack.value(&migration["Properties"]).unwrap();
        assert_eq!(migration["Version"], CODE_VERSION, "{stage}");
        assert_eq!(migration["ServiceToken"], stack.reference("MigrateFunction.Alias").unwrap(), "{stage}");
        for Function { resource, properties, .. } in deployed(stage) {
            assert_eq!(properties["AutoPublishAlias"], "live", "{stage}: {resource}");
            assert_eq!(properties["AutoPublishCodeSha256"], CODE_VERSION, "{stage}: {resource}");
        }
    }
}

fn deployed(stage: &str) -> Vec<Function> {
    functions(&Stack::of(stage)).into_iter().filter(|function| function.program.is_some()).collect()
}

#[test]
fn errors_or_latency_of_a_function_behind_the_apis_take_all_of_them_back() {
    for stage in STAGES {
        let (stack, functions) = (stack_of_functions(stage), deployed(stage));
        let preference = &stack.parameters["DeploymentPreference"];
        assert_eq!(preference == "AllAtOnce", stage == "dev", "{stage}: traffic moves step by step");
        let alarm = |name: &str| stack.value(&stack.template["Resources"][name]["Properties"]).unwrap().to_string();
        let (errors, latency) = (alarm("RollbackErrorsAlarm"), alarm("RollbackLatencyAlarm"));
        let alarms = ["RollbackErrorsAlarm", "RollbackLatencyAlarm"].map(|name| stack.physical(name));
        for name in BEHIND_THE_APIS {
            let function = functions.iter().find(|function| function.resource == name).unwrap();
            let expected = json!({"Type": preference, "Alarms": alarms});
            assert_eq!(function.properties["DeploymentPreference"], expected, "{stage}: {name}");
            assert!(errors.contains(&format!("{:?}", function.name)), "{stage}: errors of {name}");
            // A stream lasts as long as it lasts.
            let is_stream = function.variables().iter().any(|(name, _)| name == "RESPONSE_STREAMING");
            assert_eq!(latency.contains(&format!("{:?}", function.name)), !is_stream, "{stage}: latency of {name}");
        }
    }
}

#[test]
fn functions_never_open_more_connections_than_their_proxy_has_and_an_alarm_takes_for_theirs() {
    for stage in STAGES {
        let root = Stack::of(stage);
        let functions = deployed(stage);
        let environments = |name: &str| -> f64 {
            let function = functions.iter().find(|function| function.resource == name).unwrap();
            text(&function.properties["ReservedConcurrentExecutions"]).parse().unwrap()
        };
        let number = |name: &str| -> f64 { text(&root.parameters[name]).parse().unwrap() };
        let requests: f64 = BEHIND_THE_APIS.map(environments).iter().sum();
        assert_eq!(
            number("ThrottleBurst"),
            environments("RestFunction"),
            "{stage}: who is let in finds an environment"
        );
        if text(&root.parameters["DatabaseProxy"]) == "true" {
            let acu = text(&root.parameters["DatabaseMaxCapacity"]);
            let (_, all) = MAX_CONNECTIONS.iter().find(|(acus, _)| *acus == acu).expect("what AWS tells of it");
            let of_proxy = (all * number("ProxyConnectionsPercent") / 100.0).floor();
            assert!(requests <= of_proxy, "{stage}: {requests} for requests, the proxy has {of_proxy}");
        }
        // What the alarm leaves above those for requests is for the others: the publisher has two for each environment.
        let observability = root.nested("Observability");
        let alarm = &observability.template["Resources"]["DatabaseConnectionsAlarm"]["Properties"];
        let alarm = observability.value(alarm).unwrap();
        let allowance = format!("connections - 5 * {}", requests / 5.0);
        assert_eq!(alarm["Metrics"][0]["Expression"], allowance, "{stage}");
        let others = 2.0 * environments("PublisherFunction") + environments("MigrateFunction");
        assert!(others < alarm["Threshold"].as_f64().unwrap(), "{stage}: {others} of the others raise the alarm");
    }
}

#[test]
fn pokes_leave_the_schedule_an_environment_of_the_publisher() {
    let stack = stack_of_functions("prod");
    let pokes = stack.value(&stack.template["Resources"]["PublisherPokes"]["Properties"]).unwrap();
    let at_most = pokes["ScalingConfig"]["MaximumConcurrency"].as_u64().unwrap();
    let functions = deployed("prod");
    let publisher = functions.iter().find(|function| function.resource == "PublisherFunction").unwrap();
    assert!(at_most < publisher.properties["ReservedConcurrentExecutions"].as_u64().unwrap());
}
