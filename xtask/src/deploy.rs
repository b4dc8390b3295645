//! `cargo xtask deploy` and `diff`: the templates in `infra/`, with AWS SAM and the AWS CLI.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{functions, install, interrupt, wait, workspace};

/// Who signs the certificates of Aurora. Lambda has no copy.
const CERTIFICATES: &str = "https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem";
const TEMPLATE: &str = "infra/template.yaml";
const CODE_VERSION: &str = "CodeVersion";
const CHANGE_SET: &str = "oms-diff";
/// A change set of five nested stacks takes about a minute.
const CHANGE_SET_TIME: Duration = Duration::from_secs(600);
const CAPABILITIES: [&str; 2] = ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"];

/// What to deploy, or to compare.
#[derive(Debug, Clone)]
pub struct Deployment {
    /// A file of `infra/parameters`, without its ending.
    pub stage: String,
    /// Take the functions as the last build left them.
    pub no_build: bool,
    /// The bucket for code and templates; SAM makes one when there is none.
    pub bucket: Option<String>,
}

impl Deployment {
    fn stack(&self) -> String {
        format!("oms-{}", self.stage)
    }

    /// Where SAM puts code and templates.
    fn uploads(&self) -> Vec<String> {
        let mut arguments = vec!["--s3-prefix".to_owned(), self.stack()];
        match &self.bucket {
            Some(bucket) => arguments.extend(["--s3-bucket".to_owned(), bucket.clone()]),
            None => arguments.push("--resolve-s3".to_owned()),
        }
        arguments
    }

    /// Builds what the templates name, and gives the parameters.
    fn prepare(&self, root: &Path) -> Result<BTreeMap<String, String>> {
        let mut parameters = parameters(root, &self.stage)?;
        // Before anything that takes minutes.
        who_is_logged_in()?;
        if !self.no_build {
            functions::build(root)?;
        }
        certificates(root)?;
        // Another one with each deployment: it makes the migration run, and new settings reach the alias.
        parameters.insert(CODE_VERSION.to_owned(), code_version(root)?);
        Ok(parameters)
    }
}

/// Builds the functions and brings a stage to what the checkout says.
pub fn deploy(deployment: &Deployment) -> Result<()> {
    let root = workspace::root()?;
    let sam = install::sam(&root)?;
    let parameters = deployment.prepare(&root)?;
    let mut command = Command::new(sam);
    in_region(&mut command)
        .current_dir(&root)
        .args(["deploy", "--language-extensions", "--template-file", TEMPLATE])
        .args(["--stack-name", &deployment.stack(), "--no-confirm-changeset", "--no-fail-on-empty-changeset"])
        .args(deployment.uploads())
        .arg("--capabilities")
        .args(CAPABILITIES)
        .arg("--parameter-overrides")
        .args(overrides(&parameters));
    if !interrupt::run(&mut command)?.success() {
        bail!(
            "the deployment failed, see above; what CloudFormation had begun to change it puts back by itself. If it was the \
             resource Migration, see 'A migration fails' in docs/runbook.md"
        );
    }
    println!("Deployed {}; its endpoints are in SSM under /oms/{}/endpoint.", deployment.stack(), deployment.stage);
    Ok(())
}

/// Shows what a deployment would change, in every nested stack, and changes nothing. Where one stack changes, CloudFormation
/// does not know yet what it gives to another, and counts whatever takes it as changed.
pub fn diff(deployment: &Deployment) -> Result<()> {
    let root = workspace::root()?;
    let sam = install::sam(&root)?;
    let parameters = deployment.prepare(&root)?;
    let packaged = root.join("target/infra/template.yaml");
    fs::create_dir_all(root.join("target/infra"))?;
    let mut package = Command::new(sam);
    in_region(&mut package)
        .current_dir(&root)
        .args(["package", "--language-extensions", "--template-file", TEMPLATE])
        .args(deployment.uploads())
        .arg("--output-template-file")
        .arg(&packaged)
        .stdout(Stdio::null());
    if !interrupt::run(&mut package)?.success() {
        bail!("the templates can't be packaged, see above");
    }
    let stack = deployment.stack();
    if !CloudFormation.exists(&stack)? {
        println!("{stack} is not there yet: a deployment would make everything in {TEMPLATE} and the stacks below it.");
        return Ok(());
    }
    let id = CloudFormation.create(&stack, &packaged, &parameters)?;
    let changes = CloudFormation.changes(&id, &deployment.stage);
    CloudFormation.ask(&["delete-change-set", "--change-set-name", &id])?;
    let changes = changes?;
    if changes.is_empty() {
        println!("Nothing would change in {stack}, but that its functions are published anew.");
    } else {
        println!("A deployment of {stack} would publish its functions anew, and change {} resources:", changes.len());
        for change in changes {
            println!("  {change}");
        }
    }
    Ok(())
}

/// SAM only knows the other of the two names that a region may be given by.
fn in_region(command: &mut Command) -> &mut Command {
    match std::env::var_os("AWS_REGION") {
        Some(region) => command.env("AWS_DEFAULT_REGION", region),
        None => command,
    }
}

/// The AWS CLI, which knows how people log in: what it printed, or why it did not.
fn aws(arguments: &[&str]) -> Result<Result<String, String>> {
    interrupt::check()?;
    let output = Command::new("aws")
        .args(arguments)
        .output()
        .context("cannot run aws; install the AWS CLI (https://aws.amazon.com/cli), log in, then run this again")?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    Ok(if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) })
}

/// Says which account and region it goes to.
fn who_is_logged_in() -> Result<()> {
    let account = match aws(&["sts", "get-caller-identity", "--query", "Account", "--output", "text"])? {
        Ok(account) => account,
        Err(reason) => {
            bail!("the AWS CLI is not logged in, or has no region: {reason}; run `aws configure sso` or set AWS_REGION")
        }
    };
    let region = match std::env::var("AWS_REGION") {
        Ok(region) => region,
        // Nothing where none is set: then whoever needs one says so.
        Err(_) => aws(&["configure", "get", "region"])?.unwrap_or_default(),
    };
    eprintln!("Account {account}, region {region}");
    Ok(())
}

/// The parameters of a stage, by name.
pub fn parameters(root: &Path, stage: &str) -> Result<BTreeMap<String, String>> {
    #[derive(Deserialize)]
    struct File {
        #[serde(rename = "Parameters")]
        parameters: BTreeMap<String, String>,
    }
    let folder = root.join("infra/parameters");
    let path = folder.join(format!("{stage}.json"));
    let Ok(text) = fs::read_to_string(&path) else {
        bail!("there is no stage {stage:?}: expected one of {}", stages(&folder)?.join(", "));
    };
    let file: File = serde_json::from_str(&text).with_context(|| format!("{} is not valid", path.display()))?;
    let open: Vec<&str> = file
        .parameters
        .iter()
        .filter(|(_, value)| value.contains("example.com"))
        .map(|(key, _)| key.as_str())
        .collect();
    if !open.is_empty() {
        bail!("{} still has to say {}; what is there is an example", path.display(), open.join(", "));
    }
    // Resources are named after the one, the stack after the other.
    if file.parameters.get("Stage").is_none_or(|named| named != stage) {
        bail!("{}: Stage has to be {stage:?}, as the file is called", path.display());
    }
    Ok(file.parameters)
}

fn stages(folder: &Path) -> Result<Vec<String>> {
    let files = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let names = files.filter_map(|file| Some(file.ok()?.file_name().to_str()?.strip_suffix(".json")?.to_owned()));
    let mut names: Vec<String> = names.collect();
    names.sort();
    Ok(names)
}

/// Puts the authorities of Aurora where the template's layer takes them from.
fn certificates(root: &Path) -> Result<()> {
    let file = root.join("target/lambda-layers/rds-certificates/rds/global-bundle.pem");
    if file.is_file() {
        return Ok(());
    }
    let partial = file.with_extension("partial");
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    eprintln!("Fetching {CERTIFICATES}");
    let mut curl = Command::new("curl");
    curl.args(["--fail", "--silent", "--show-error", "--location", CERTIFICATES, "--output"]).arg(&partial);
    let fetched = interrupt::run(&mut curl).context("curl is needed to fetch the certificates of Aurora")?;
    if !fetched.success() {
        bail!("{CERTIFICATES} can't be fetched; put it at {}, then run this again", file.display());
    }
    fs::rename(partial, file)?;
    Ok(())
}

fn code_version(root: &Path) -> Result<String> {
    let described = Command::new("git").current_dir(root).args(["describe", "--always", "--dirty"]).output();
    let described = described.ok().filter(|output| output.status.success()).map(|output| output.stdout);
    let commit = described.map_or_else(|| "unknown".into(), |name| String::from_utf8_lossy(&name).trim().to_owned());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
    Ok(format!("{}-{commit}", now.as_secs()))
}

/// CloudFormation.
struct CloudFormation;

impl CloudFormation {
    fn call(&self, arguments: &[&str]) -> Result<Result<Value, String>> {
        match aws(&[&["cloudformation", "--output", "json"], arguments].concat())? {
            Ok(printed) if printed.is_empty() => Ok(Ok(Value::Null)),
            Ok(printed) => {
                Ok(Ok(serde_json::from_str(&printed).context("the AWS CLI printed something else than JSON")?))
            }
            Err(reason) => Ok(Err(reason)),
        }
    }

    fn ask(&self, arguments: &[&str]) -> Result<Value> {
        self.call(arguments)?.map_err(|error| anyhow::anyhow!("{error}"))
    }

    /// Whether the stack was ever deployed.
    fn exists(&self, stack: &str) -> Result<bool> {
        match self.call(&["describe-stacks", "--stack-name", stack])? {
            Ok(answer) => Ok(answer["Stacks"][0]["StackStatus"] != "REVIEW_IN_PROGRESS"),
            Err(error) if error.contains("does not exist") => Ok(false),
            Err(error) => bail!("{error}"),
        }
    }

    fn create(&self, stack: &str, template: &Path, parameters: &BTreeMap<String, String>) -> Result<String> {
        let given: Vec<Value> = parameters
            .iter()
            .map(|(key, value)| match key.as_str() {
                // With another one every function would seem to change.
                CODE_VERSION => json!({"ParameterKey": key, "UsePreviousValue": true}),
                _ => json!({"ParameterKey": key, "ParameterValue": value}),
            })
            .collect();
        let (given, template) = (serde_json::to_string(&given)?, format!("file://{}", template.display()));
        let what = ["create-change-set", "--stack-name", stack, "--change-set-name", CHANGE_SET];
        let how = ["--include-nested-stacks", "--template-body", &template, "--parameters", &given, "--capabilities"];
        let answer = self.ask(&[&what[..], &how, &CAPABILITIES].concat())?;
        answer["Id"].as_str().map(str::to_owned).context("CloudFormation gave the change set no id")
    }

    /// The changes of a change set and of those below it, each with the path of its resource.
    fn changes(&self, id: &str, path: &str) -> Result<Vec<String>> {
        let described = wait::until("the change set was not ready", CHANGE_SET_TIME, || {
            interrupt::check()?;
            let described = self.ask(&["describe-change-set", "--change-set-name", id])?;
            let status = described["Status"].as_str().unwrap_or_default().to_owned();
            Ok(matches!(status.as_str(), "CREATE_COMPLETE" | "FAILED").then_some(described))
        })?;
        let reason = described["StatusReason"].as_str().unwrap_or_default();
        if described["Status"] == "FAILED" {
            // It has two ways to say that nothing changes.
            if reason.contains("didn't contain changes") || reason.contains("No updates are to be performed") {
                return Ok(Vec::new());
            }
            bail!("CloudFormation can't tell what would change in {path}: {reason}");
        }
        let mut lines = Vec::new();
        for change in described["Changes"].as_array().into_iter().flatten() {
            let change = &change["ResourceChange"];
            let below = format!("{path}/{}", change["LogicalResourceId"].as_str().unwrap_or_default());
            match change["ChangeSetId"].as_str() {
                Some(nested) => lines.extend(self.changes(nested, &below)?),
                None => lines.push(line(change, &below)),
            }
        }
        Ok(lines)
    }
}

/// Parameters as SAM takes them: what has no quotes it splits at blanks.
#[must_use]
pub fn overrides(parameters: &BTreeMap<String, String>) -> Vec<String> {
    let quoted = |value: &str| value.replace('\\', r"\\").replace('"', r#"\""#);
    parameters.iter().map(|(key, value)| format!("ParameterKey={key},ParameterValue=\"{}\"", quoted(value))).collect()
}

/// One change: a sign for what happens, the resource, its type, and which properties.
fn line(change: &Value, path: &str) -> String {
    let text = |key: &str| change[key].as_str().unwrap_or_default();
    let sign = match (text("Action"), text("Replacement")) {
        ("Add", _) => "+",
        ("Remove", _) => "-",
        (_, "True") => "! replaced:",
        (_, "Conditional") => "? may be replaced:",
        _ => "~",
    };
    let mut properties: Vec<&str> = change["Details"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|detail| {
            let target = &detail["Target"];
            target["Name"].as_str().or_else(|| target["Attribute"].as_str())
        })
        .collect();
    properties.sort_unstable();
    properties.dedup();
    let named = if properties.is_empty() { String::new() } else { format!(" ({})", properties.join(", ")) };
    format!("{sign} {path} {}{named}", text("ResourceType"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_says_what_happens_to_what() {
        let change = json!({
            "Action": "Modify", "ResourceType": "AWS::Lambda::Function", "Replacement": "False",
            "Details": [{"Target": {"Attribute": "Properties", "Name": "Code"}}, {"Target": {"Attribute": "Tags"}}],
        });
        assert_eq!(line(&change, "prod/Functions/Rest"), "~ prod/Functions/Rest AWS::Lambda::Function (Code, Tags)");
        let change = json!({"Action": "Modify", "ResourceType": "AWS::RDS::DBCluster", "Replacement": "True"});
        assert_eq!(line(&change, "prod/Data/Cluster"), "! replaced: prod/Data/Cluster AWS::RDS::DBCluster");
    }
}
