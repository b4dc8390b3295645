//! The service as programs in other languages see it: grpcio, and the clients of connectrpc.com over each protocol. Both know
//! which methods there are, and fail when they call fewer.

use std::{path::PathBuf, process::Stdio, time::Duration};

use oms_tests::{App, Token, program, samples, workspace_root};
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
    time::timeout,
};

/// Runs a script of `tests/clients`, against a service of its own.
async fn run(program: PathBuf, script: &str) {
    let app = App::start().await;
    let mut command = Command::new(&program);
    command.arg(script).current_dir(workspace_root().join("tests/clients")).env_clear();
    command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    command.env("OMS_URL", app.anonymous().base()).env("OMS_GRPC_URL", app.grpc());
    command.env("OMS_TOKEN", Token::of("admin").sign()).stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(Duration::from_secs(120), command.output()).await;
    let output = output.unwrap_or_else(|_| panic!("{script} does not end")).expect("it runs");
    let [said, error] = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(output.status.success(), "{script} failed:\n{said}\n{error}");
    println!("{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_method_answers_the_clients_of_connect() {
    let installed = workspace_root().join("tests/clients/node_modules/@connectrpc/connect-node").is_dir();
    assert!(installed, "the clients are not installed; run `cargo xtask test`");
    run("node".into(), "rpc.mjs").await;
}

/// What the README tells a reader in Rust to run.
#[tokio::test(flavor = "multi_thread")]
async fn the_example_keeps_a_copy_of_all_object_types() {
    let app = App::start().await;
    let editor = app.client("editor");
    editor.post("object-types", &samples::object_type("Customer")).expect(201).await;
    let id = editor.post("object-types", &samples::object_type("Order")).expect(201).await["id"].clone();
    let id = id.as_str().unwrap();
    let mut example = Command::new(program("examples/watch"));
    example.env_clear().env("OMS_GRPC", app.grpc()).env("TOKEN", Token::of("viewer").sign());
    example.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut example = example.spawn().expect("it runs");
    let mut lines = BufReader::new(example.stdout.take().unwrap()).lines();
    let mut line =
        async || timeout(Duration::from_secs(60), lines.next_line()).await.expect("in time").unwrap().unwrap();
    assert_eq!(line().await, "2 object types");
    editor.patch("object-types/Order", 1, &json!({"displayName": "Purchase"})).expect(200).await;
    assert_eq!(line().await, format!("EVENT_TYPE_OBJECT_TYPE_UPDATED of {id} to version 2"));
    editor.delete("object-types/Order", 2).expect(204).await;
    assert_eq!(line().await, format!("EVENT_TYPE_OBJECT_TYPE_DELETED of {id} to version 3"));
    assert!(example.try_wait().unwrap().is_none(), "it goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_method_answers_grpcio() {
    let python = workspace_root().join(".oms/tools/clients/bin/python");
    assert!(python.is_file(), "the clients are not installed; run `cargo xtask test`");
    run(python, "rpc.py").await;
}
