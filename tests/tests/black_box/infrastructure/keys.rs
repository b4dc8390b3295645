//! What is encrypted with a key of ours can be used by those who may use the thing itself, and by nobody else.

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use serde_json::json;

use super::{
    functions,
    rights::{list, named, rights},
    roles,
    template::{REGION, STAGES, Stack, text},
};

/// The key of each thing that is encrypted with one of ours, by ARNs. The bus and the cache are not among them: EventBridge and
/// ElastiCache use the key themselves, whoever calls.
fn encrypted(root: &Rc<Stack>) -> BTreeMap<String, String> {
    let mut keys = BTreeMap::new();
    for stack in root.all() {
        for (name, definition) in stack.resources() {
            let properties = stack.value(&definition["Properties"]).unwrap_or_default();
            let (arn, key) = match definition["Type"].as_str() {
                Some("AWS::SQS::Queue") => (stack.arn(name), &properties["KmsMasterKeyId"]),
                Some("AWS::DynamoDB::Table") => (stack.arn(name), &properties["SSESpecification"]["KMSMasterKeyId"]),
                Some("AWS::RDS::DBCluster") => {
                    let secret = stack.attribute(name, "MasterUserSecret.SecretArn");
                    (text(&secret), &properties["MasterUserSecret"]["KmsKeyId"])
                }
                _ => continue,
            };
            if let Some(key) = key.as_str() {
                keys.insert(arn, if key.starts_with("arn:") { key.to_owned() } else { named(root, key) });
            }
        }
    }
    assert!(keys.len() > 6, "{keys:?}");
    keys
}

/// What an action asks of the key of what it is for.
fn uses(action: &str) -> &'static [&'static str] {
    match action {
        "sqs:SendMessage" => &["kms:GenerateDataKey", "kms:Decrypt"],
        // The others do not look into messages.
        "sqs:ReceiveMessage" | "secretsmanager:GetSecretValue" => &["kms:Decrypt"],
        action if action.starts_with("dynamodb:") => &["kms:Decrypt"],
        _ => &[],
    }
}

#[test]
fn whoever_may_use_a_queue_table_or_secret_may_use_its_key_for_that_and_no_other() {
    for stage in STAGES {
        let root = Stack::of(stage);
        let keys = encrypted(&root);
        let functions =
            functions(&root).into_iter().filter(|function| function.program.is_some()).map(|mut function| {
                let letters = function.properties["DeadLetterQueue"]["TargetArn"].take();
                let mut statements = function.statements();
                // As SAM adds it.
                if letters.is_string() {
                    statements.push(json!({"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": letters}));
                }
                (function.resource, statements)
            });
        let mut used = BTreeSet::new();
        for (whose, statements) in functions.chain(roles::statements(&root)) {
            let needed: BTreeSet<_> = rights(&whose, &statements)
                .into_iter()
                .filter_map(|(action, resource)| Some((keys.get(&resource)?.clone(), action)))
                .flat_map(|(key, action)| {
                    let via = format!("{}.{REGION}.amazonaws.com", action.split(':').next().unwrap());
                    uses(&action).iter().map(move |use_of| ((*use_of).to_owned(), key.clone(), via.clone()))
                })
                .collect();
            let mut given = BTreeSet::new();
            for statement in &statements {
                for action in list(&statement["Action"]).into_iter().filter(|action| action.starts_with("kms:")) {
                    let via = text(&statement["Condition"]["StringEquals"]["kms:ViaService"]);
                    let condition = json!({"StringEquals": {"kms:ViaService": via}});
                    assert_eq!(statement["Condition"], condition, "{stage}: {whose}: {statement}");
                    given
                        .extend(list(&statement["Resource"]).into_iter().map(|key| (action.clone(), key, via.clone())));
                }
            }
            assert_eq!(given, needed, "{stage}: {whose} (left: may, right: needs)");
            used.extend(needed.into_iter().map(|(_, _, via)| via));
        }
        assert_eq!(used.len(), 3, "{stage}: queues, the table and the secret: {used:?}");
    }
}
