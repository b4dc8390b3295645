//! Enough of CloudFormation to know what a stage's templates come to: parameters, conditions, intrinsic functions, and nested
//! stacks. What only AWS knows, such as an address, is made up in its shape.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    path::{Path, PathBuf},
    rc::Rc,
};

use oms_tests::workspace_root;
use saphyr::{LoadableYamlNode, ScalarOwned, YamlOwned};
use serde_json::{Map, Value, json};

pub(super) const REGION: &str = "eu-west-1";
pub(super) const ACCOUNT: &str = "123456789012";

/// What is deployed.
pub(super) const CODE_VERSION: &str = "1795600000-5a2b3c4";

/// What is there in every installation: those who deploy choose one of them.
pub(super) const STAGES: [&str; 3] = ["dev", "staging", "prod"];

/// A template with the parameters that it is given.
pub(super) struct Stack {
    pub(super) name: String,
    pub(super) template: Value,
    pub(super) parameters: BTreeMap<String, Value>,
    nested: RefCell<BTreeMap<String, Rc<Stack>>>,
    folder: PathBuf,
}

/// A template's YAML as the JSON that it stands for: `!Sub x` is `{"Fn::Sub": x}`.
pub(super) fn load(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let documents = YamlOwned::load_from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut template = json_of(&documents[0]);
    repeat(&mut template["Resources"]);
    template
}

/// Writes out `Fn::ForEach`: a name, what it stands for, and what is repeated.
fn repeat(resources: &mut Value) {
    let given = std::mem::take(resources);
    let mut all = Map::new();
    for (name, resource) in given.as_object().cloned().unwrap_or_default() {
        if !name.starts_with("Fn::ForEach::") {
            all.insert(name, resource);
            continue;
        }
        let variable = resource[0].as_str().unwrap();
        for value in resource[1].as_array().unwrap() {
            let written = resource[2].to_string().replace(&format!("${{{variable}}}"), value.as_str().unwrap());
            let written = written.replace(&json!({"Ref": variable}).to_string(), &value.to_string());
            let Value::Object(written) = serde_json::from_str(&written).unwrap() else { panic!("{name}") };
            all.extend(written);
        }
    }
    *resources = Value::Object(all);
}

fn json_of(yaml: &YamlOwned) -> Value {
    match yaml {
        YamlOwned::Value(scalar) => match scalar {
            ScalarOwned::Null => Value::Null,
            ScalarOwned::Boolean(value) => json!(value),
            ScalarOwned::Integer(value) => json!(value),
            ScalarOwned::FloatingPoint(value) => json!(value.into_inner()),
            ScalarOwned::String(value) => json!(value),
        },
        YamlOwned::Sequence(items) => items.iter().map(json_of).collect(),
        YamlOwned::Mapping(pairs) => pairs.iter().map(|(key, value)| (text(&json_of(key)), json_of(value))).collect(),
        YamlOwned::Tagged(tag, value) => {
            let value = json_of(value);
            let (name, value) = match (tag.suffix.as_str(), value) {
                (name @ ("Ref" | "Condition"), value) => (name.to_owned(), value),
                ("GetAtt", Value::String(path)) => {
                    let (resource, attribute) = path.split_once('.').expect("an attribute of a resource");
                    ("Fn::GetAtt".to_owned(), json!([resource, attribute]))
                }
                (name, value) => (format!("Fn::{name}"), value),
            };
            json!({name: value})
        }
        other => panic!("unexpected YAML: {other:?}"),
    }
}

/// What stands in a string, a number or a truth value.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(_) | Value::Bool(_) => value.to_string(),
        other => panic!("expected a text, found {other}"),
    }
}

/// What the parameter file of a stage says.
pub(super) fn parameter_file(stage: &str) -> BTreeMap<String, Value> {
    let path = workspace_root().join(format!("infra/parameters/{stage}.json"));
    let file: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    file["Parameters"].as_object().unwrap().clone().into_iter().collect()
}

impl Stack {
    /// The root of a stage.
    pub(super) fn of(stage: &str) -> Rc<Self> {
        Self::with(parameter_file(stage))
    }

    /// The root with these parameters.
    pub(super) fn with(mut parameters: BTreeMap<String, Value>) -> Rc<Self> {
        parameters.insert("CodeVersion".to_owned(), json!(CODE_VERSION));
        Rc::new(Self::new("root", &workspace_root().join("infra/template.yaml"), parameters))
    }

    fn new(name: &str, file: &Path, mut given: BTreeMap<String, Value>) -> Self {
        let template = load(file);
        for (parameter, definition) in template["Parameters"].as_object().cloned().unwrap_or_default() {
            let default = || definition.get("Default").unwrap_or_else(|| panic!("{name} is not given {parameter}"));
            given.entry(parameter.clone()).or_insert_with(|| default().clone());
        }
        for parameter in given.keys() {
            assert!(template["Parameters"].get(parameter).is_some(), "{name} has no parameter {parameter}");
        }
        let folder = file.parent().unwrap().to_owned();
        Self { name: name.to_owned(), template, parameters: given, nested: RefCell::default(), folder }
    }

    /// The resources that there are in this stage.
    pub(super) fn resources(&self) -> Vec<(&str, &Value)> {
        let resources = self.template["Resources"].as_object().unwrap().iter();
        let wanted = resources.filter(|(_, resource)| match resource.get("Condition") {
            None => true,
            Some(condition) => self.condition(condition.as_str().unwrap()),
        });
        wanted.map(|(name, resource)| (name.as_str(), resource)).collect()
    }

    /// This stack and those below it.
    pub(super) fn all(self: &Rc<Self>) -> Vec<Rc<Self>> {
        let nested =
            self.resources().into_iter().filter(|(_, resource)| resource["Type"] == "AWS::CloudFormation::Stack");
        let below: Vec<_> = nested.flat_map(|(name, _)| self.nested(name).all()).collect();
        [self.clone()].into_iter().chain(below).collect()
    }

    /// A nested stack, with what this one gives it.
    pub(super) fn nested(&self, name: &str) -> Rc<Self> {
        if let Some(stack) = self.nested.borrow().get(name) {
            return stack.clone();
        }
        let properties = &self.template["Resources"][name]["Properties"];
        let given = self.value(&properties["Parameters"]).unwrap_or_default();
        let given = given.as_object().cloned().unwrap_or_default().into_iter().collect();
        let file = self.folder.join(properties["TemplateURL"].as_str().unwrap());
        let stack = Rc::new(Self::new(name, &file, given));
        self.nested.borrow_mut().insert(name.to_owned(), stack.clone());
        stack
    }

    /// What a value of the template comes to; none where it is left out.
    pub(super) fn value(&self, value: &Value) -> Option<Value> {
        match value {
            Value::Array(items) => Some(items.iter().filter_map(|item| self.value(item)).collect()),
            Value::Object(pairs) => match pairs.iter().next() {
                Some((name, argument)) if pairs.len() == 1 && (name == "Ref" || name.starts_with("Fn::")) => {
                    self.call(name, argument)
                }
                _ => Some(Value::Object(
                    pairs
                        .iter()
                        .filter_map(|(key, value)| Some((key.clone(), self.value(value)?)))
                        .collect::<Map<_, _>>(),
                )),
            },
            scalar => Some(scalar.clone()),
        }
    }

    fn call(&self, name: &str, argument: &Value) -> Option<Value> {
        match name {
            "Ref" => self.reference(&text(&self.value(argument).unwrap())),
            "Fn::GetAtt" => {
                let path = argument.as_array().unwrap();
                let attribute = path[1..].iter().map(text).collect::<Vec<_>>().join(".");
                Some(self.attribute(path[0].as_str().unwrap(), &attribute))
            }
            "Fn::Sub" => Some(json!(self.substitute(argument))),
            "Fn::If" => {
                let (condition, branches) = (argument[0].as_str().unwrap(), &argument.as_array().unwrap()[1..]);
                self.value(if self.condition(condition) { &branches[0] } else { &branches[1] })
            }
            "Fn::Join" => {
                let list = self.value(&argument[1]).unwrap();
                let items: Vec<String> = list.as_array().unwrap().iter().map(text).collect();
                Some(json!(items.join(argument[0].as_str().unwrap())))
            }
            "Fn::Split" => {
                let whole = text(&self.value(&argument[1]).unwrap());
                Some(whole.split(argument[0].as_str().unwrap()).map(Value::from).collect())
            }
            "Fn::Select" => {
                let index: usize = text(&self.value(&argument[0]).unwrap()).parse().unwrap();
                let list = self.value(&argument[1]).unwrap();
                Some(list.get(index).unwrap_or_else(|| panic!("nothing at {index} of {list}")).clone())
            }
            "Fn::FindInMap" => {
                let keys = self.value(argument).unwrap();
                Some(self.template["Mappings"][text(&keys[0])][text(&keys[1])][text(&keys[2])].clone())
            }
            "Fn::GetAZs" => Some(json!([format!("{REGION}a"), format!("{REGION}b"), format!("{REGION}c")])),
            "Fn::Cidr" => Some((0..16).map(|block| Value::from(format!("10.0.{block}.0/24"))).collect()),
            "Fn::ToJsonString" => Some(json!(self.value(argument)?.to_string())),
            other => panic!("{}: {other} is not known here", self.name),
        }
    }

    fn condition(&self, name: &str) -> bool {
        let definition = &self.template["Conditions"][name];
        assert!(!definition.is_null(), "{} has no condition {name}", self.name);
        self.holds(definition)
    }

    /// Whether a condition holds that is written out.
    pub(super) fn holds(&self, definition: &Value) -> bool {
        let (name, argument) = definition.as_object().unwrap().iter().next().unwrap();
        let all = || argument.as_array().unwrap().iter();
        match name.as_str() {
            "Condition" => self.condition(argument.as_str().unwrap()),
            "Fn::Equals" => text(&self.value(&argument[0]).unwrap()) == text(&self.value(&argument[1]).unwrap()),
            "Fn::Not" => !self.holds(&argument[0]),
            "Fn::And" => all().all(|part| self.holds(part)),
            "Fn::Or" => all().any(|part| self.holds(part)),
            other => panic!("{}: {other} is no condition", self.name),
        }
    }

    /// What `Ref` says; none where it says that something is left out.
    pub(super) fn reference(&self, name: &str) -> Option<Value> {
        if let Some(value) = self.parameters.get(name) {
            let kind = self.template["Parameters"][name]["Type"].as_str().unwrap();
            let is_list = kind.starts_with("List<") || kind == "CommaDelimitedList";
            return Some(match value {
                Value::String(list) if is_list => list.split(',').map(Value::from).collect(),
                value => value.clone(),
            });
        }
        Some(json!(match name {
            "AWS::NoValue" => return None,
            "AWS::Region" => REGION.to_owned(),
            "AWS::AccountId" => ACCOUNT.to_owned(),
            "AWS::Partition" => "aws".to_owned(),
            "AWS::URLSuffix" => "amazonaws.com".to_owned(),
            "AWS::StackName" => format!("oms-{}", self.name),
            "AWS::StackId" => format!("arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/{}/1", self.name),
            // What SAM makes beside a resource: `RestFunction.Alias`.
            name => match name.split_once('.') {
                Some((resource, made)) => format!("{}:{made}", self.arn(resource)),
                None if self.kind(name) == "AWS::SQS::Queue" => {
                    format!("https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/{}", self.physical(name))
                }
                None if matches!(
                    self.kind(name),
                    "AWS::MSK::Cluster" | "AWS::MSK::ServerlessCluster" | "AWS::SNS::Topic"
                ) =>
                {
                    self.arn(name)
                }
                None => self.physical(name),
            },
        }))
    }

    pub(super) fn kind(&self, name: &str) -> &str {
        self.template["Resources"][name]["Type"].as_str().unwrap_or_else(|| panic!("{} has no {name}", self.name))
    }

    /// The name that CloudFormation would give.
    pub(super) fn physical(&self, name: &str) -> String {
        self.kind(name);
        let fifo = &self.template["Resources"][name]["Properties"]["FifoQueue"];
        format!("{}-{name}-1{}", self.name, if *fifo == json!(true) { ".fifo" } else { "" })
    }

    pub(super) fn arn(&self, name: &str) -> String {
        let (kind, name) = (self.kind(name), self.physical(name));
        let parts: Vec<String> = kind.split("::").map(str::to_lowercase).collect();
        match kind {
            "AWS::SQS::Queue" => format!("arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"),
            "AWS::S3::Bucket" => format!("arn:aws:s3:::{name}"),
            "AWS::DynamoDB::Table" => format!("arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{name}"),
            "AWS::Events::EventBus" => format!("arn:aws:events:{REGION}:{ACCOUNT}:event-bus/{name}"),
            "AWS::MSK::ServerlessCluster" | "AWS::MSK::Cluster" => {
                format!("arn:aws:kafka:{REGION}:{ACCOUNT}:cluster/{name}/0-1")
            }
            _ => format!("arn:aws:{}:{REGION}:{ACCOUNT}:{}:{name}", parts[1], parts[2]),
        }
    }

    /// What `Fn::GetAtt` says.
    pub(super) fn attribute(&self, resource: &str, attribute: &str) -> Value {
        if let Some(output) = attribute.strip_prefix("Outputs.") {
            let stack = self.nested(resource);
            let output = &stack.template["Outputs"][output];
            assert!(!output.is_null(), "{resource} has no output {attribute}");
            return stack.value(&output["Value"]).unwrap();
        }
        json!(match attribute {
            "Arn" | "DBClusterArn" | "DBProxyArn" | "ARN" | "TopicArn" => self.arn(resource),
            "MasterUserSecret.SecretArn" => format!("arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:rds!cluster-1"),
            other if other.ends_with("Arn") => format!("{}:{other}", self.arn(resource)),
            "QueueName" => self.physical(resource),
            "QueueUrl" => text(&self.reference(resource).unwrap()),
            "Endpoint.Port" | "ReaderEndpoint.Port" => "5432".to_owned(),
            "Endpoint.Address" | "Endpoint" => format!("{}.example.com", resource.to_lowercase()),
            "RegionalDomainName" => format!("{}.s3.{REGION}.amazonaws.com", resource.to_lowercase()),
            "Brokers" | "BootstrapBrokers" => "boot.example.com:9098".to_owned(),
            other => format!("{}.{other}", self.physical(resource)),
        })
    }

    /// `${Name}` and `${Resource.Attribute}`; `${!Name}` is meant as it stands.
    fn substitute(&self, argument: &Value) -> String {
        let (pattern, own) = match argument {
            Value::String(pattern) => (pattern.as_str(), Map::new()),
            list => (list[0].as_str().unwrap(), list[1].as_object().unwrap().clone()),
        };
        let (mut done, mut rest) = (String::new(), pattern);
        while let Some((before, after)) = rest.split_once("${") {
            let (name, behind) = after.split_once('}').expect("a closed brace");
            done.push_str(before);
            match name.split_once('.') {
                _ if name.starts_with('!') => done.push_str(&format!("${{{}}}", &name[1..])),
                _ if own.contains_key(name) => done.push_str(&text(&self.value(&own[name]).unwrap())),
                Some((resource, attribute)) if attribute != "Alias" && attribute != "Version" => {
                    done.push_str(&text(&self.attribute(resource, attribute)));
                }
                _ => done.push_str(&text(&self.reference(name).unwrap())),
            }
            rest = behind;
        }
        done + rest
    }
}
