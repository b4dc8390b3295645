//! promtool, which checks what Prometheus reads.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use super::{packages, runs, system};
use crate::{interrupt, state};

const BY_HAND: &str = "install promtool, a part of Prometheus (https://prometheus.io/download), then run this again";

/// promtool: the one on the PATH, else the one of Debian's package, which is only unpacked: installed it would start a
/// Prometheus on this machine.
pub fn promtool(root: &Path) -> Result<PathBuf> {
    if runs("promtool") {
        return Ok(PathBuf::from("promtool"));
    }
    let folder = state::folder(root).join("tools/prometheus");
    let program = folder.join("usr/bin/promtool");
    if program.is_file() {
        return Ok(program);
    }
    if !runs("apt-get") {
        packages(&[(false, "prometheus", "prometheus")], BY_HAND)?;
        return Ok(PathBuf::from("promtool"));
    }
    eprintln!("Unpacking Debian's package prometheus into {}", folder.display());
    let download = folder.join("download");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&download).with_context(|| format!("cannot create {}", download.display()))?;
    if !fetch(&download)? {
        // The lists of packages are missing, or too old.
        let _ = system("apt-get", &["update", "-qq"]);
        if !fetch(&download)? {
            bail!("apt-get has no package prometheus; {BY_HAND}");
        }
    }
    let mut packages = fs::read_dir(&download)?.filter_map(|entry| Some(entry.ok()?.path()));
    let package = packages.find(|path| path.extension().is_some_and(|extension| extension == "deb"));
    let package = package.context("apt-get download left no package")?;
    let unpacked = folder.join("unpacked");
    let status = interrupt::run(Command::new("dpkg-deb").arg("--extract").arg(&package).arg(&unpacked))?;
    if !status.success() {
        bail!("dpkg-deb could not unpack {}; {BY_HAND}", package.display());
    }
    // In one step, so that half of it is never taken for all.
    fs::rename(unpacked.join("usr"), folder.join("usr")).context("cannot finish the installation of promtool")?;
    fs::remove_dir_all(&download)?;
    fs::remove_dir_all(&unpacked)?;
    Ok(program)
}

fn fetch(folder: &Path) -> Result<bool> {
    let mut download = Command::new("apt-get");
    download.args(["download", "-qq", "prometheus"]).current_dir(folder).stderr(Stdio::null());
    Ok(interrupt::run(&mut download)?.success())
}
