//! The templates of `infra/`, checked offline by those who know CloudFormation.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::runs;
use crate::install;

/// Any does: the templates name none.
const REGION: &str = "eu-west-1";

/// Whether the templates in a folder are valid, are as SAM wants them, and are secure, or say next to a resource why it is
/// otherwise.
pub fn templates(root: &Path, folder: &Path) -> Result<bool> {
    let tools = install::infra_tools(root)?;
    let templates = files(folder)?;
    let mut passes = runs(Command::new(tools.join("cfn-lint")).args(["--regions", REGION, "--"]).args(&templates))?;
    for template in &templates {
        let mut sam = Command::new(tools.join("sam"));
        sam.args(["validate", "--lint", "--region", REGION, "--template"]).arg(template);
        // Without credentials it asks nobody, and it must not ask for news about itself.
        sam.env("SAM_CLI_TELEMETRY", "0");
        passes &= quietly(&mut sam)?;
    }
    Ok(passes & checkov(root, "cloudformation", &templates)?)
}

/// Whether checkov finds nothing in these files but what is excused next to it. It may only look, not ask anybody.
pub(super) fn checkov(root: &Path, framework: &str, files: &[PathBuf]) -> Result<bool> {
    let mut command = Command::new(install::infra_tools(root)?.join("checkov"));
    command
        .args(["--framework", framework, "--skip-download", "--compact", "--quiet"])
        .args(files.iter().flat_map(|file| [Path::new("--file"), file]))
        .env("LOG_LEVEL", "ERROR");
    quietly(&mut command)
}

/// Runs a tool that says much also when all is well; what it said is shown when it is not.
pub(super) fn quietly(command: &mut Command) -> Result<bool> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("cannot run {program}"))?;
    if !output.status.success() {
        eprintln!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    }
    Ok(output.status.success())
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut templates: Vec<PathBuf> =
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| is_template(path)).collect();
    templates.sort();
    if templates.is_empty() {
        bail!("there are no templates in {}", folder.display());
    }
    Ok(templates)
}

/// docker-compose.yml, which ends otherwise, is none.
fn is_template(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "yaml")
}
