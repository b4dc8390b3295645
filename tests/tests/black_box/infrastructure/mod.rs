//! What the templates of `infra/` come to, in each stage, against the code that runs there.

mod code;
mod cost;
mod deployment;
mod keys;
mod metrics;
mod pages;
mod parameters;
mod permissions;
mod rights;
mod roles;
mod settings;
mod shape;
mod template;

use std::{collections::BTreeSet, rc::Rc};

use serde_json::Value;

use self::template::Stack;

/// A function of the templates.
struct Function {
    /// Its resource, as in `RestFunction`.
    resource: String,
    /// The program in `target/lambda`; none where the template has the code itself.
    program: Option<String>,
    /// Its properties over the globals of its template, evaluated.
    properties: Value,
    /// The variables that it has in some stage or other.
    declared: BTreeSet<String>,
    /// What CloudFormation would call it.
    name: String,
}

impl Function {
    fn variables(&self) -> Vec<(String, String)> {
        let variables = self.properties["Environment"]["Variables"].as_object().into_iter().flatten();
        variables.map(|(name, value)| (name.clone(), template::text(value))).collect()
    }

    fn variable(&self, name: &str) -> Option<String> {
        self.variables().into_iter().find(|(other, _)| other == name).map(|(_, value)| value)
    }

    /// What its policies say, each statement with Effect, Action, Resource, Condition.
    fn statements(&self) -> Vec<Value> {
        let policies = self.properties["Policies"].as_array().into_iter().flatten();
        policies.flat_map(|policy| policy["Statement"].as_array().unwrap().clone()).collect()
    }
}

/// All functions of a stage.
fn functions(root: &Rc<Stack>) -> Vec<Function> {
    let mut functions = Vec::new();
    for stack in root.all() {
        for (resource, definition) in stack.resources() {
            if !matches!(definition["Type"].as_str(), Some("AWS::Serverless::Function" | "AWS::Lambda::Function")) {
                continue;
            }
            let globals = stack.value(&stack.template["Globals"]["Function"]).unwrap_or_default();
            let mut properties = stack.value(&definition["Properties"]).unwrap();
            if definition["Type"] == "AWS::Serverless::Function" {
                merge(&mut properties, &globals);
            }
            let code = properties["CodeUri"].as_str();
            let program = code.map(|code| {
                let name = code.trim_end_matches('/').strip_prefix("../target/lambda/");
                name.unwrap_or_else(|| panic!("{resource} is not where cargo-lambda builds: {code}")).to_owned()
            });
            functions.push(Function {
                resource: resource.to_owned(),
                program,
                declared: declared(&definition["Properties"])
                    .chain(declared(&stack.template["Globals"]["Function"]))
                    .collect(),
                properties,
                name: stack.physical(resource),
            });
        }
    }
    functions
}

/// The names of the variables of a function or of the globals, those that are left out in some stages too.
fn declared(properties: &Value) -> impl Iterator<Item = String> {
    properties["Environment"]["Variables"].as_object().into_iter().flatten().map(|(name, _)| name.clone())
}

/// As SAM does: what a function says stands over the globals, and lists are put together.
fn merge(own: &mut Value, globals: &Value) {
    match (own, globals) {
        (Value::Object(own), Value::Object(globals)) => {
            for (key, value) in globals {
                merge(own.entry(key).or_insert(Value::Null), value);
            }
        }
        (Value::Array(own), Value::Array(globals)) => own.splice(0..0, globals.iter().cloned()).for_each(drop),
        (own @ Value::Null, globals) => *own = globals.clone(),
        _ => {}
    }
}
