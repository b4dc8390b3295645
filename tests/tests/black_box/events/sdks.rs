//! The messages as others read them: the CloudEvents SDKs of JavaScript and Python, and AsyncAPI's parser.

use std::{path::PathBuf, process::Stdio, time::Duration};

use oms_tests::{Server, Topic, workspace_root};
use serde_json::json;
use tokio::{io::AsyncWriteExt, process::Command, time::timeout};

use super::{HISTORY, database, history};

/// Runs a script of `tests/clients` with this input; it fails when what it finds is not as it should be.
async fn run(program: PathBuf, script: &str, input: &str) {
    let folder = workspace_root().join("tests/clients");
    let mut command = Command::new(&program);
    command.arg(script).current_dir(folder).env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).await.unwrap();
    drop(stdin);
    let output = timeout(Duration::from_secs(120), child.wait_with_output()).await;
    let output = output.unwrap_or_else(|_| panic!("{script} does not end")).unwrap();
    let [said, error] = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(output.status.success(), "{script} failed:\n{said}\n{error}");
    println!("{said}");
}

/// What is in Kafka after some writes: headers and value, a line of JSON each.
async fn lines() -> String {
    let (_database, settings) = database().await;
    let topic = Topic::create(2).await;
    let server = Server::start(&topic.settings(settings)).await;
    history(&server.client("editor")).await;
    let messages = topic.wait_for(HISTORY).await;
    let lines = messages.iter().map(|message| json!({"headers": message.headers, "value": message.value}).to_string());
    lines.collect::<Vec<_>>().join("\n")
}

fn node() -> PathBuf {
    let installed = workspace_root().join("tests/clients/node_modules/cloudevents").is_dir();
    assert!(installed, "the clients are not installed; run `cargo xtask test`");
    "node".into()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_messages_are_events_for_the_sdk_of_javascript() {
    run(node(), "cloudevents.mjs", &lines().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_messages_are_events_for_the_sdk_of_python() {
    let python = workspace_root().join(".oms/tools/clients/bin/python");
    assert!(python.is_file(), "the clients are not installed; run `cargo xtask test`");
    run(python, "cloudevents_check.py", &lines().await).await;
}

#[tokio::test]
async fn the_document_is_asyncapi() {
    run(node(), "asyncapi.mjs", "").await;
}
