//! Programs and packages from PyPI, each in an environment of its own under `.oms/tools`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use super::packages;
use crate::services::Moto;
use crate::{interrupt, state};

const BY_HAND: &str = "install Python 3.10 or newer with its venv module (https://python.org), then run this again";

/// moto, which plays AWS.
const MOTO: &str = "moto[server]>=5.1,<6";

/// moto's server: the one of the Python on the PATH, else one of our own. Gives the Python that runs it.
pub fn moto(root: &Path) -> Result<PathBuf> {
    if let Some(python) = Moto::python(root) {
        return Ok(python);
    }
    let folder = state::folder(root).join("tools/moto");
    eprintln!("Installing moto with pip into {}", folder.display());
    environment(&folder, &["--quiet", MOTO])?;
    Moto::python(root).context("moto does not run after its installation; remove .oms/tools/moto, then run this again")
}

/// The Python clients that the black-box tests run, in `.oms/tools/clients`.
pub fn python_clients(root: &Path) -> Result<()> {
    listed(root, "clients", "tests/clients/requirements.txt").map(drop)
}

/// The tools that check templates, containers and migrations, in `.oms/tools/infra`; gives the folder of their programs.
pub fn infra_tools(root: &Path) -> Result<PathBuf> {
    listed(root, "infra", "infra/requirements.txt")
}

/// AWS SAM, which deploys. One of the PATH may be too old for the templates.
pub fn sam(root: &Path) -> Result<PathBuf> {
    Ok(infra_tools(root)?.join("sam"))
}

/// The linker for another architecture, and for the older C library of Lambda: a folder that goes before the PATH.
pub fn cross_compiler(root: &Path) -> Result<PathBuf> {
    listed(root, "zig", "infra/zig-requirements.txt")
}

/// k6, which makes load.
pub fn k6(root: &Path) -> Result<PathBuf> {
    Ok(listed(root, "k6", "tests/load/requirements.txt")?.join("k6"))
}

/// Installs what a list names into an environment of its own, once for each content of the list; gives the folder of the
/// programs.
fn listed(root: &Path, name: &str, list: &str) -> Result<PathBuf> {
    let list = root.join(list);
    let wanted = fs::read(&list).with_context(|| format!("cannot read {}", list.display()))?;
    let folder = state::folder(root).join("tools").join(name);
    let (programs, installed) = (folder.join("bin"), folder.join("requirements.txt"));
    if fs::read(&installed).is_ok_and(|installed| installed == wanted) && works(&programs.join("python")) {
        return Ok(programs);
    }
    eprintln!("Installing with pip what {} names into {}", list.display(), folder.display());
    environment(&folder, &["--quiet", "-r", &list.to_string_lossy()])?;
    fs::write(&installed, wanted).with_context(|| format!("cannot write {}", installed.display()))?;
    Ok(programs)
}

/// Makes a Python environment anew and lets pip install into it.
pub(super) fn environment(folder: &Path, arguments: &[&str]) -> Result<()> {
    python()?;
    if let Some(parent) = folder.parent() {
        fs::create_dir_all(parent)?;
    }
    let made = interrupt::run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(folder))?;
    if !made.success() {
        bail!("python3 could not make an environment in {}, see above; {BY_HAND}", folder.display());
    }
    let pip = ["-m", "pip", "install", "--disable-pip-version-check"];
    let done = interrupt::run(Command::new(folder.join("bin/python")).args(pip).args(arguments))?;
    if !done.success() {
        bail!("pip could not install {}, see above; with a network, run this again", arguments.join(" "));
    }
    Ok(())
}

fn python() -> Result<()> {
    let python = PathBuf::from("python3");
    // Debian's Python comes without the two.
    let venv = imports(&python, "venv, ensurepip");
    packages(&[(works(&python), "python3", "python"), (venv, "python3-venv", "python")], BY_HAND)
}

fn works(python: &Path) -> bool {
    imports(python, "sys")
}

fn imports(python: &Path, modules: &str) -> bool {
    Command::new(python)
        .args(["-c", &format!("import {modules}")])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
