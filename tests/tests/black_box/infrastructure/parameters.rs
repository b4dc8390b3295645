//! What a stage is given is what its templates take.

use oms_tests::workspace_root;
use serde_json::{Value, json};

use super::template::{STAGES, Stack, load, parameter_file, text};

/// What is wrong with the value of a parameter.
pub(super) fn fault(definition: &Value, value: &Value) -> Option<String> {
    let value = text(value);
    let number: Result<f64, _> = value.parse();
    let mut schema = json!({});
    if let Some(pattern) = definition["AllowedPattern"].as_str() {
        // CloudFormation's has to match the whole.
        schema["pattern"] = json!(format!("^(?:{pattern})$"));
    }
    if let Some(values) = definition["AllowedValues"].as_array() {
        schema["enum"] = values.iter().map(|value| Value::from(text(value))).collect();
    }
    for (of_parameter, of_schema) in [("MinLength", "minLength"), ("MaxLength", "maxLength")] {
        if let Some(limit) = definition.get(of_parameter) {
            schema[of_schema] = limit.clone();
        }
    }
    let fits = jsonschema::is_valid(&schema, &json!(value));
    let fits = fits
        && match (definition["Type"].as_str().unwrap(), number) {
            ("Number", Ok(number)) => {
                let limit = |name: &str| definition.get(name).map(|limit| text(limit).parse::<f64>().unwrap());
                limit("MinValue").is_none_or(|least| number >= least)
                    && limit("MaxValue").is_none_or(|most| number <= most)
            }
            ("Number", Err(_)) => false,
            _ => true,
        };
    (!fits).then(|| format!("{value:?} is not as {definition} says"))
}

/// The rules of the root that its parameters break.
fn broken(root: &Stack) -> Vec<String> {
    let rules = root.template["Rules"].as_object().unwrap().iter();
    let applying = rules.filter(|(_, rule)| rule.get("RuleCondition").is_none_or(|condition| root.holds(condition)));
    let assertions = applying.flat_map(|(_, rule)| rule["Assertions"].as_array().unwrap());
    assertions
        .filter(|assertion| !root.holds(&assertion["Assert"]))
        .map(|assertion| text(&assertion["AssertDescription"]))
        .collect()
}

#[test]
fn every_parameter_file_is_accepted_by_all_templates() {
    for stage in STAGES {
        assert_eq!(parameter_file(stage)["Stage"], json!(stage));
        for (name, value) in parameter_file(stage) {
            assert!(value.is_string(), "{stage}: {name} has to be a text, as CloudFormation has it");
        }
        let root = Stack::of(stage);
        for stack in root.all() {
            for (name, value) in &stack.parameters {
                let fault = fault(&stack.template["Parameters"][name], value);
                assert_eq!(fault, None, "{stage}: {name} of {}", stack.name);
            }
        }
        assert_eq!(broken(&root), [""; 0], "{stage}");
    }
}

#[test]
fn a_value_that_would_fail_a_deployment_is_refused() {
    let root = load(&workspace_root().join("infra/template.yaml"));
    for (name, value) in [
        ("Stage", "Prod"),
        ("CodeVersion", "short"),
        ("EndpointZones", "4"),
        ("DatabaseMaxCapacity", "0"),
        ("DatabaseMaxCapacity", "many"),
        ("BackupRetentionDays", "36"),
        ("PublisherSchedule", "rate(6"),
        ("JwtAlgorithm", "HS256"),
        ("JwtIssuer", ""),
        ("JwksUrl", "http://login.example.com/keys"),
    ] {
        assert!(fault(&root["Parameters"][name], &json!(value)).is_some(), "{name}: {value:?}");
    }
    for (name, value) in [("DatabaseMinCapacity", "0"), ("DomainName", "oms.example.com")] {
        let mut parameters = parameter_file("staging");
        parameters.insert(name.to_owned(), json!(value));
        assert_eq!(broken(&Stack::with(parameters)).len(), 1, "{name}: {value}");
    }
}
