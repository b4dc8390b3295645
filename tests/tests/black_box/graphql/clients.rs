//! The service as programs in JavaScript see it: those of `tests/clients`, which `cargo xtask test` installs.

use std::{process::Stdio, time::Duration};

use oms_tests::{App, Token, workspace_root};
use tokio::{process::Command, time::timeout};

/// Runs one of them against a service of its own; it fails when what it finds is not as it should be.
async fn run(script: &str) {
    let folder = workspace_root().join("tests/clients");
    assert!(folder.join("node_modules").is_dir(), "the clients are not installed; run `cargo xtask test`");
    let app = App::start().await;
    let mut node = Command::new("node");
    // Neither a proxy nor options of the developer's own Node.js.
    node.arg(script).current_dir(folder).env_clear().stdin(Stdio::null()).kill_on_drop(true);
    node.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    node.env("OMS_URL", app.anonymous().base()).env("OMS_TOKEN", Token::of("admin").sign());
    let output = timeout(Duration::from_secs(120), node.output()).await;
    let output = output.unwrap_or_else(|_| panic!("{script} does not end")).expect("Node.js runs");
    let [said, error] = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(output.status.success(), "{script} failed:\n{said}\n{error}");
    println!("{said}");
}

#[tokio::test]
async fn every_audit_of_graphql_over_http_passes() {
    run("audit.mjs").await;
}

#[tokio::test]
async fn the_schema_composes_with_other_subgraphs() {
    run("compose.mjs").await;
}

#[tokio::test]
async fn a_gateway_joins_types_with_what_other_subgraphs_know() {
    run("gateway.mjs").await;
}

#[tokio::test]
async fn a_generated_client_is_type_checked_and_runs() {
    run("codegen.mjs").await;
}

#[tokio::test]
async fn the_reference_client_of_graphql_over_sse_watches_and_resumes() {
    run("subscription.mjs").await;
}
