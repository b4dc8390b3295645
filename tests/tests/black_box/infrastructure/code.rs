//! Which calls to AWS the code makes, found in its text: the SDKs have one method for each operation.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::LazyLock,
};

use oms_tests::workspace_root;

/// The calls of a file, as IAM names them, such as `sqs:SendMessage`.
pub(super) type Calls = BTreeSet<String>;

/// The SDKs, and the prefix that IAM has for each.
const SDKS: [(&str, &str); 5] = [
    ("aws-sdk-dynamodb", "dynamodb"),
    ("aws-sdk-eventbridge", "events"),
    ("aws-sdk-s3", "s3"),
    ("aws-sdk-secretsmanager", "secretsmanager"),
    ("aws-sdk-sqs", "sqs"),
];

/// What IAM calls otherwise than the SDK does.
fn action(prefix: &str, operation: &str) -> String {
    let name: String = operation.split('_').map(capitalized).collect();
    // A batch needs the right to its single messages, and a transaction that to what it does: ours update.
    // <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis-iam.html>
    let name = match (prefix, name.as_str()) {
        ("dynamodb", "TransactWriteItems") => "UpdateItem",
        ("sqs", "SendMessageBatch") => "SendMessage",
        ("sqs", "DeleteMessageBatch") => "DeleteMessage",
        ("sqs", "ChangeMessageVisibilityBatch") => "ChangeMessageVisibility",
        (_, name) => name,
    };
    format!("{prefix}:{name}")
}

fn capitalized(word: &str) -> String {
    let (first, rest) = word.split_at(1);
    first.to_uppercase() + rest
}

/// The calls of each file with code that is deployed.
pub(super) static CALLS: LazyLock<BTreeMap<String, Calls>> = LazyLock::new(calls);

fn calls() -> BTreeMap<String, Calls> {
    let operations = operations();
    let mut found = BTreeMap::new();
    for folder in ["shared", "functions"] {
        for file in sources(&workspace_root().join(folder)) {
            let text = std::fs::read_to_string(&file).unwrap();
            let code = text.split("#[cfg(test)]\nmod ").next().unwrap();
            if !code.contains("aws_sdk_") && !code.contains("client: &'a Client") {
                continue;
            }
            let calls: Calls = operations
                .iter()
                .filter(|(method, _)| code.contains(&format!(".{method}()")))
                .map(|(_, action)| action.clone())
                .collect();
            if !calls.is_empty() {
                let path = file.strip_prefix(workspace_root()).unwrap().to_string_lossy().into_owned();
                found.insert(path, calls);
            }
        }
    }
    found
}

/// All operations of the SDKs that the workspace depends on: the method of the client, and the action.
fn operations() -> Vec<(String, String)> {
    let output = std::process::Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["metadata", "--format-version=1", "--offline", "--locked"])
        .current_dir(workspace_root())
        .output()
        .unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut operations = Vec::new();
    for (sdk, prefix) in SDKS {
        let package = metadata["packages"].as_array().unwrap().iter().find(|package| package["name"] == sdk);
        let manifest = package.unwrap_or_else(|| panic!("{sdk} is no dependency"))["manifest_path"].as_str().unwrap();
        let folder = Path::new(manifest).parent().unwrap().join("src/operation");
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "rs") {
                let method = path.file_stem().unwrap().to_string_lossy().into_owned();
                operations.push((method.clone(), action(prefix, &method)));
            }
        }
    }
    assert!(operations.len() > 200, "the SDKs have {} operations", operations.len());
    operations
}

/// The Rust files of deployed code below a folder: no tests, benches and examples.
pub(super) fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !matches!(name.as_str(), "tests" | "benches" | "examples" | "target") {
            files.extend(sources(&path));
        } else if name.ends_with(".rs") && name != "tests.rs" {
            files.push(path);
        }
    }
    files
}
