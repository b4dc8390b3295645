//! What of `infra/` is for containers: the compose file, the image, the pods, and what Prometheus reads.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use super::infrastructure::{checkov, quietly};
use super::runs;
use crate::install;

/// The oldest Kubernetes that has what the manifests use: the sleep before the end of a container, without a feature gate.
const KUBERNETES: &str = "1.30.0";

/// What Kubernetes itself has no schema of.
const CUSTOM: [&str; 2] = ["kustomization.yaml", "istio.yaml"];

/// Whether those who know it find nothing wrong with what is in a folder like `infra/`.
pub fn containers(root: &Path, folder: &Path) -> Result<bool> {
    let (compose, image) = (compose(root, folder)?, image(root, folder)?);
    Ok(pods(root, folder)? & prometheus(root, folder)? & compose & image)
}

/// The compose file is one, and keeps the rules that every container in it is held to. Docker Compose itself is asked where it is.
pub fn compose(root: &Path, folder: &Path) -> Result<bool> {
    let file = folder.join("docker-compose.yml");
    let program = install::infra_tools(root)?.join("check-jsonschema");
    let (mut format, mut rules) = (Command::new(&program), Command::new(&program));
    format.args(["--builtin-schema", "vendor.compose-spec"]);
    rules.arg("--schemafile").arg(folder.join("compose.rules.json"));
    let mut passes = quietly(format.arg(&file))?;
    passes &= quietly(rules.arg(&file))?;
    let mut version = Command::new("docker");
    version.args(["compose", "version"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if version.status().is_ok_and(|status| status.success()) {
        let mut config = Command::new("docker");
        config.args(["compose", "--profile", "*", "--file"]).arg(&file).args(["config", "--quiet"]);
        passes &= runs(&mut config)?;
    }
    Ok(passes)
}

/// How the image is made is secure.
pub fn image(root: &Path, folder: &Path) -> Result<bool> {
    checkov(root, "dockerfile", &[folder.join("Dockerfile")])
}

/// Every object is what Kubernetes says it is, with no property that it does not know, and is secure.
pub fn pods(root: &Path, folder: &Path) -> Result<bool> {
    let manifests = manifests(&folder.join("kubernetes"))?;
    let mut validate = Command::new(install::infra_tools(root)?.join("kubernetes-validate"));
    validate.args(["--strict", "--quiet", "--kubernetes-version", KUBERNETES]).args(&manifests);
    let output = validate.output().context("cannot run kubernetes-validate")?;
    let said = [output.stdout, output.stderr].concat();
    // A kind that it does not know is only a warning.
    let passes = output.status.success() && said.is_empty();
    if !passes {
        eprint!("{}", String::from_utf8_lossy(&said));
    }
    Ok(checkov(root, "kubernetes", &manifests)? && passes)
}

fn manifests(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for folder in [folder.to_owned(), folder.join("migrate")] {
        let entries = fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
        let files = entries.filter_map(|entry| Some(entry.ok()?.path()));
        found.extend(files.filter(|path| {
            path.extension().is_some_and(|extension| extension == "yaml")
                && !CUSTOM.iter().any(|name| path.ends_with(name))
        }));
    }
    found.sort();
    if found.is_empty() {
        bail!("there are no manifests in {}", folder.display());
    }
    Ok(found)
}

/// What Prometheus reads is valid, and each alert rings when its test says so.
pub fn prometheus(root: &Path, folder: &Path) -> Result<bool> {
    let (program, folder) = (install::promtool(root)?, folder.join("prometheus"));
    let promtool = |arguments: &[&str]| quietly(Command::new(&program).args(arguments).current_dir(&folder));
    let mut passes = promtool(&["check", "config", "prometheus.yml"])?;
    passes &= promtool(&["check", "rules", "alerts.yml"])?;
    Ok(passes & promtool(&["test", "rules", "alerts.test.yml"])?)
}
