//! `cargo xtask deploy` and `diff` with stand-ins for SAM and the AWS CLI, since nobody deploys from a test and moto knows no
//! nested change sets. They note how they are called, and answer as those do.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "Clippy takes what tests call for no part of them")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A checkout with one stage, and a folder of programs.
struct Checkout(PathBuf);

impl Checkout {
    fn new(name: &str, aws: &str) -> Self {
        let root = std::env::temp_dir().join(format!("oms-deploy-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        let put = |path: &str, text: &str| {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            path
        };
        put("xtask/Cargo.toml", "");
        put(
            "infra/parameters/blue.json",
            r#"{"Parameters": {"Stage": "blue", "Schedule": "rate(6 hours)", "Domain": ""}}"#,
        );
        // As if the tools had been installed.
        put("infra/requirements.txt", "");
        put(".oms/tools/infra/requirements.txt", "");
        put("infra/parameters/other.json", r#"{"Parameters": {"Stage": "blue"}}"#);
        put(
            "infra/parameters/open.json",
            r#"{"Parameters": {"Stage": "open", "JwtIssuer": "https://login.example.com/"}}"#,
        );
        put("target/lambda-layers/rds-certificates/rds/global-bundle.pem", "certificates");
        let program = |path: &str, does: &str| {
            let path = put(path, &format!("#!/bin/sh\n{does}\n"));
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        };
        let notes = r#"echo "$(basename "$0") $*" >> "$NOTES";"#;
        program(".oms/tools/infra/bin/python", "exit 0");
        program(".oms/tools/infra/bin/sam", &format!("{notes} exit ${{SAM_FAILS:-0}}"));
        // Who is logged in, and where, is asked for first.
        let login = r#"case "$1" in sts) [ -z "$NO_LOGIN" ] && echo 1234 && exit; echo "no credentials" >&2; exit 253 ;; configure) exit ;; esac"#;
        program("bin/aws", &format!("{login}\n{notes}\n{aws}"));
        Self(root)
    }

    fn xtask(&self, arguments: &[&str], more: &[(&str, &str)]) -> Output {
        let path = std::env::join_paths(
            [self.0.join("bin")].into_iter().chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())),
        );
        Command::new(env!("CARGO_BIN_EXE_xtask"))
            .args(arguments)
            .env("CARGO_MANIFEST_DIR", self.0.join("xtask"))
            .env("PATH", path.unwrap())
            .env("NOTES", self.notes_path())
            .envs(more.iter().copied())
            .output()
            .unwrap()
    }

    fn notes_path(&self) -> PathBuf {
        self.0.join("notes")
    }

    /// How the programs were called, a line each.
    fn notes(&self) -> Vec<String> {
        fs::read_to_string(self.notes_path()).unwrap_or_default().lines().map(str::to_owned).collect()
    }
}

impl Drop for Checkout {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn printed(output: &Output) -> (String, String) {
    (String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Answers of CloudFormation, where the root has one change of its own and a nested stack with two.
const CHANGES: &str = r#"
case "$*" in
  *describe-stacks*) echo '{"Stacks": [{"StackStatus": "UPDATE_COMPLETE"}]}' ;;
  *create-change-set*) echo '{"Id": "root-set"}' ;;
  *describe-change-set*root-set*) echo '{"Status": "CREATE_COMPLETE", "Changes": [
    {"ResourceChange": {"Action": "Modify", "LogicalResourceId": "Data", "ResourceType": "AWS::CloudFormation::Stack", "ChangeSetId": "data-set"}},
    {"ResourceChange": {"Action": "Remove", "LogicalResourceId": "Old", "ResourceType": "AWS::SQS::Queue"}}]}' ;;
  *describe-change-set*data-set*) echo '{"Status": "CREATE_COMPLETE", "Changes": [
    {"ResourceChange": {"Action": "Add", "LogicalResourceId": "Reader", "ResourceType": "AWS::RDS::DBInstance"}},
    {"ResourceChange": {"Action": "Modify", "LogicalResourceId": "Cluster", "ResourceType": "AWS::RDS::DBCluster", "Replacement": "True",
      "Details": [{"Target": {"Attribute": "Properties", "Name": "KmsKeyId"}}]}}]}' ;;
esac"#;

#[test]
fn a_deployment_gives_the_stage_its_parameters_and_a_version_of_its_own() {
    let checkout = Checkout::new("deploys", "exit 1");
    let output = checkout.xtask(&["deploy", "--stage", "blue", "--no-build"], &[]);
    let (stdout, stderr) = printed(&output);
    assert!(output.status.success(), "{stderr}");
    assert!(stdout.contains("/oms/blue/endpoint"), "{stdout}");
    let notes = checkout.notes();
    assert_eq!(notes.len(), 1, "{notes:?}");
    for part in [
        "sam deploy --language-extensions --template-file infra/template.yaml --stack-name oms-blue",
        "--capabilities CAPABILITY_IAM CAPABILITY_AUTO_EXPAND",
        r#"ParameterKey=Stage,ParameterValue="blue""#,
        r#"ParameterKey=Domain,ParameterValue="""#,
        r#"ParameterKey=CodeVersion,ParameterValue="1"#,
    ] {
        assert!(notes[0].contains(part), "{part} in {}", notes[0]);
    }
}

#[test]
fn code_goes_into_the_bucket_that_is_named() {
    let checkout = Checkout::new("bucket", "exit 1");
    for (arguments, says) in [
        (&[][..], "--s3-prefix oms-blue --resolve-s3"),
        (&["--bucket", "code"], "--s3-prefix oms-blue --s3-bucket code"),
    ] {
        let output = checkout.xtask(&[&["deploy", "--stage", "blue", "--no-build"], arguments].concat(), &[]);
        assert!(output.status.success(), "{:?}", printed(&output));
        let notes = checkout.notes();
        assert!(notes.last().unwrap().contains(says), "{notes:?}");
        assert_eq!(notes.last().unwrap().contains("--resolve-s3"), arguments.is_empty(), "{notes:?}");
    }
}

#[test]
fn a_deployment_that_fails_says_so() {
    let checkout = Checkout::new("fails", "exit 1");
    let output = checkout.xtask(&["deploy", "--stage", "blue", "--no-build"], &[("SAM_FAILS", "1")]);
    assert!(!output.status.success());
    let (_, stderr) = printed(&output);
    assert!(stderr.contains("the deployment failed"), "{stderr}");
}

#[test]
fn a_difference_shows_what_changes_in_every_stack_and_leaves_no_change_set() {
    let checkout = Checkout::new("differs", CHANGES);
    let output = checkout.xtask(&["diff", "--stage", "blue", "--no-build"], &[]);
    let (stdout, stderr) = printed(&output);
    assert!(output.status.success(), "{stderr}");
    assert_eq!(
        stdout,
        "A deployment of oms-blue would publish its functions anew, and change 3 resources:\n  + blue/Data/Reader AWS::RDS::DBInstance\n  \
         ! replaced: blue/Data/Cluster AWS::RDS::DBCluster (KmsKeyId)\n  - blue/Old AWS::SQS::Queue\n"
    );
    let notes = checkout.notes();
    assert!(notes[0].starts_with("sam package"), "{notes:?}");
    let create = notes.iter().find(|note| note.contains("create-change-set")).unwrap();
    assert!(create.contains("--include-nested-stacks"), "{create}");
    assert!(create.contains(r#"{"ParameterKey":"CodeVersion","UsePreviousValue":true}"#), "{create}");
    assert!(notes.last().unwrap().contains("delete-change-set --change-set-name root-set"), "{notes:?}");
    assert!(!notes.iter().any(|note| note.contains("execute") || note.contains("delete-stack")), "{notes:?}");
}

#[test]
fn before_the_first_deployment_everything_is_new() {
    let unknown = "echo 'Stack with id oms-blue does not exist' >&2; exit 254";
    let checkout = Checkout::new("first", unknown);
    let output = checkout.xtask(&["diff", "--stage", "blue", "--no-build"], &[]);
    let (stdout, stderr) = printed(&output);
    assert!(output.status.success() && stdout.starts_with("oms-blue is not there yet"), "{stdout}{stderr}");
    assert!(!checkout.notes().iter().any(|note| note.contains("change-set")), "{:?}", checkout.notes());
}

#[test]
fn what_cloudformation_finds_wrong_is_told_and_no_change_is_no_failure() {
    let failed = |reason: &str| {
        format!(
            r#"case "$*" in
  *describe-stacks*) echo '{{"Stacks": [{{"StackStatus": "UPDATE_COMPLETE"}}]}}' ;;
  *create-change-set*) echo '{{"Id": "root-set"}}' ;;
  *describe-change-set*) echo '{{"Status": "FAILED", "StatusReason": "{reason}"}}' ;;
esac"#
        )
    };
    let checkout = Checkout::new(
        "same",
        &failed("The submitted information did not contain changes. No updates are to be performed."),
    );
    let output = checkout.xtask(&["diff", "--stage", "blue", "--no-build"], &[]);
    assert_eq!(printed(&output).0, "Nothing would change in oms-blue, but that its functions are published anew.\n");
    let checkout = Checkout::new("wrong", &failed("Template error: no such parameter"));
    let output = checkout.xtask(&["diff", "--stage", "blue", "--no-build"], &[]);
    let (_, stderr) = printed(&output);
    assert!(!output.status.success() && stderr.contains("no such parameter"), "{stderr}");
    assert!(checkout.notes().last().unwrap().contains("delete-change-set"), "{:?}", checkout.notes());
}

#[test]
fn who_is_not_logged_in_hears_it_first() {
    let checkout = Checkout::new("login", "exit 1");
    for command in ["deploy", "diff"] {
        let output = checkout.xtask(&[command, "--stage", "blue", "--no-build"], &[("NO_LOGIN", "1")]);
        let (_, stderr) = printed(&output);
        assert!(
            !output.status.success() && stderr.contains("not logged in") && stderr.contains("no credentials"),
            "{stderr}"
        );
    }
    assert_eq!(checkout.notes(), Vec::<String>::new());
}

#[test]
fn a_stage_that_is_not_there_or_not_filled_in_is_refused_before_anything_happens() {
    let checkout = Checkout::new("refused", "exit 1");
    for (stage, says) in
        [("green", "expected one of blue, open, other"), ("open", "JwtIssuer"), ("other", r#"Stage has to be "other""#)]
    {
        let output = checkout.xtask(&["deploy", "--stage", stage, "--no-build"], &[]);
        let (_, stderr) = printed(&output);
        assert!(!output.status.success() && stderr.contains(says), "{stderr}");
    }
    assert!(!Path::new(&checkout.notes_path()).exists(), "{:?}", checkout.notes());
}

/// What is in `infra`, with something in place of what a build and a download leave.
fn packaged() -> (Checkout, Output) {
    let root = xtask::workspace::root().unwrap();
    xtask::install::infra_tools(&root).unwrap();
    let unknown = "echo 'Stack with id oms-blue does not exist' >&2; exit 254";
    let checkout = Checkout::new("real", unknown);
    let copied = Command::new("cp").arg("-R").arg(root.join("infra")).arg(&checkout.0).status();
    assert!(copied.unwrap().success());
    fs::remove_dir_all(checkout.0.join(".oms")).unwrap();
    std::os::unix::fs::symlink(root.join(".oms"), checkout.0.join(".oms")).unwrap();
    for function in ["event-relay", "graphql", "jwks", "migrate", "outbox-publisher", "rest", "rpc"] {
        let folder = checkout.0.join("target/lambda").join(function);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("bootstrap"), function).unwrap();
    }
    let moto = std::env::var("AWS_ENDPOINT_URL").expect("run this by `cargo xtask test`");
    let bucket = format!("oms-code-{}", std::process::id());
    let made = ureq::put(format!("{}/{bucket}", moto.trim_end_matches('/'))).send_empty().unwrap();
    assert!(made.status().is_success(), "{made:?}");
    // The file of the test is a stage of its own.
    fs::write(checkout.0.join("infra/parameters/blue.json"), r#"{"Parameters": {"Stage": "blue"}}"#).unwrap();
    let output = checkout.xtask(&["diff", "--stage", "blue", "--no-build", "--bucket", &bucket], &[]);
    (checkout, output)
}

/// Needs a moto at `AWS_ENDPOINT_URL`, as `cargo xtask test` brings.
#[test]
fn sam_packages_the_templates_as_they_are() {
    let (checkout, output) = packaged();
    let (stdout, stderr) = printed(&output);
    assert!(output.status.success(), "{stdout}{stderr}");
    assert!(!stderr.contains("Traceback"), "{stderr}");
    let template = fs::read_to_string(checkout.0.join("target/infra/template.yaml")).unwrap();
    for stack in ["Network", "Data", "Events", "Functions", "Observability"] {
        let after = template.split(&format!("\n  {stack}:\n")).nth(1).unwrap();
        let address = after.lines().find_map(|line| line.trim().strip_prefix("TemplateURL: ")).unwrap();
        assert!(address.starts_with("http") && address.ends_with(".template"), "{stack}: {address}");
    }
}

/// SAM splits what it is given by rules of its own.
#[test]
fn sam_reads_the_parameters_of_every_stage_as_they_are() {
    let root = xtask::workspace::root().unwrap();
    let python = xtask::install::infra_tools(&root).unwrap().join("python");
    let script = "import json, sys; from samcli.cli.types import CfnParameterOverridesType as T; \
        print(json.dumps(T().convert(sys.argv[1:], None, None)))";
    for stage in ["dev", "staging", "prod"] {
        let file = fs::read_to_string(root.join("infra/parameters").join(format!("{stage}.json"))).unwrap();
        let file: serde_json::Value = serde_json::from_str(&file).unwrap();
        let mut parameters: std::collections::BTreeMap<String, String> =
            serde_json::from_value(file["Parameters"].clone()).unwrap();
        parameters.insert("Empty".to_owned(), String::new());
        parameters.insert("Quotes".to_owned(), r#"a "b" c"#.to_owned());
        let output =
            Command::new(&python).args(["-c", script]).args(xtask::deploy::overrides(&parameters)).output().unwrap();
        let (stdout, stderr) = printed(&output);
        let read: std::collections::BTreeMap<String, String> =
            serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}{stderr}"));
        assert_eq!(read, parameters, "{stage}");
    }
}
