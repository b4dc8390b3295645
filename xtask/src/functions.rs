//! The functions as they are deployed: how they are built, and how large they are.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::{install, interrupt, workspace};

/// The programs that are functions. Their names are those of the folders in `target/lambda` that the templates name.
const FUNCTIONS: [&str; 7] = ["event-relay", "graphql", "jwks", "migrate", "outbox-publisher", "rest", "rpc"];

/// Those that talk to Kafka bring OpenSSL along: Lambda has another one than the machine that builds.
const VENDORED: &str = "oms-migrate/ssl-vendored,oms-outbox-publisher/ssl-vendored";

const ARM64: &str = "aarch64-unknown-linux-gnu";
const SIZES: &str = "docs/sizes.md";

/// Builds what is deployed, for arm64, into `target/lambda`.
pub fn build(root: &Path) -> Result<()> {
    if !has_standard_library(ARM64)? {
        bail!("Rust's standard library for {ARM64} is not here; run `rustup target add {ARM64}`, then this again");
    }
    run(root, &["--arm64"])
}

/// Builds the same for this machine, into `target/release`.
pub fn build_here(root: &Path) -> Result<()> {
    let mut command = workspace::cargo(root);
    command
        .args(["build", "--release", "--locked", "--features", VENDORED])
        .args(FUNCTIONS.iter().flat_map(|function| ["--bin", function]));
    if !interrupt::run(&mut command)?.success() {
        bail!("the functions can't be built; mend the errors above, then run this again");
    }
    Ok(())
}

/// Builds the server for this machine, and what measures it, into `target/release`. Built together with the functions it would
/// give them more features than they are deployed with.
pub fn build_server(root: &Path) -> Result<()> {
    let mut command = workspace::cargo(root);
    command.args([
        "build",
        "--release",
        "--locked",
        "-p",
        "oms-server",
        "-p",
        "oms-bench",
        "-p",
        "oms-bench-reference",
    ]);
    if !interrupt::run(&mut command)?.success() {
        bail!("the server can't be built; mend the errors above, then run this again");
    }
    Ok(())
}

/// Writes the table of sizes anew: of what is deployed, or of the same for this machine where it can't be built.
pub fn sizes() -> Result<()> {
    let root = workspace::root()?;
    let folder = root.join("target/lambda-sizes");
    let into = ["--output-format", "zip", "--lambda-dir"].map(str::to_owned);
    let into: Vec<String> = into.into_iter().chain([folder.to_string_lossy().into_owned()]).collect();
    let into: Vec<&str> = into.iter().map(String::as_str).collect();
    let target = if has_standard_library(ARM64)? {
        "--arm64"
    } else {
        eprintln!("Rust's standard library for {ARM64} is not here: measuring what this machine can build");
        "--x86-64"
    };
    run(&root, &[&[target], into.as_slice()].concat())?;
    let measured = FUNCTIONS.map(|function| measure(&folder.join(function).join("bootstrap.zip")));
    let mut table = Vec::new();
    for (function, size) in FUNCTIONS.into_iter().zip(measured) {
        table.push((function, size?));
    }
    let architecture = target.trim_start_matches("--");
    fs::create_dir_all(root.join("docs"))?;
    fs::write(root.join(SIZES), render(architecture, &table)).with_context(|| format!("cannot write {SIZES}"))?;
    println!("Wrote {SIZES}; commit it.");
    Ok(())
}

fn run(root: &Path, arguments: &[&str]) -> Result<()> {
    let (cargo_lambda, linker) = (install::cargo_lambda(root)?, install::cross_compiler(root)?);
    let mut command = Command::new(cargo_lambda);
    command
        .current_dir(root)
        // cargo-lambda would change how a panic ends: it must not end an environment.
        .args(["lambda", "build", "--release", "--locked", "--disable-optimizations", "--skip-target-check"])
        .args(FUNCTIONS.iter().flat_map(|function| ["--bin", function]))
        .args(["--features", VENDORED])
        .args(arguments)
        // Names are for profilers: what is deployed is half as large again with them.
        .env("CARGO_PROFILE_RELEASE_STRIP", "symbols");
    let present = std::env::var_os("PATH").unwrap_or_default();
    command.env("PATH", std::env::join_paths([linker].into_iter().chain(std::env::split_paths(&present)))?);
    if !interrupt::run(&mut command)?.success() {
        bail!("the functions can't be built; mend the errors above, then run this again");
    }
    Ok(())
}

fn has_standard_library(target: &str) -> Result<bool> {
    let printed = Command::new("rustc").args(["--print", "sysroot"]).output().context("cannot run rustc")?;
    let sysroot = String::from_utf8_lossy(&printed.stdout).trim().to_owned();
    Ok(Path::new(&sysroot).join("lib/rustlib").join(target).join("lib").is_dir())
}

/// Bytes of the file, and of what is in it: Lambda limits both, and loads the latter.
fn measure(zip: &Path) -> Result<(u64, u64)> {
    let bytes = fs::read(zip).with_context(|| format!("cannot read {}", zip.display()))?;
    // The central directory at the end has the size of the one file.
    let entry = bytes.windows(4).rposition(|window| window == b"PK\x01\x02").context("this is no zip file")?;
    let field = bytes.get(entry + 24..entry + 28).context("this zip file is cut off")?;
    let unzipped = u32::from_le_bytes(field.try_into()?);
    Ok((bytes.len() as u64, u64::from(unzipped)))
}

fn render(architecture: &str, table: &[(&str, (u64, u64))]) -> String {
    let mut text = String::from(
        "# How large the functions are\n\nWritten by `cargo xtask sizes`. Lambda takes 50 MB zipped and 250 MB unzipped; a cold start \
         loads what is zipped.\n\n",
    );
    let _ = writeln!(text, "| function | zipped, MB | unzipped, MB |\n| --- | ---: | ---: |");
    for (function, (zipped, unzipped)) in table {
        let _ = writeln!(text, "| {function} | {} | {} |", megabytes(*zipped), megabytes(*unzipped));
    }
    let _ = writeln!(text, "\nBuilt for {architecture}.");
    text
}

/// With one digit behind the point.
fn megabytes(bytes: u64) -> String {
    let tenths = bytes.div_ceil(100_000);
    format!("{}.{}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_megabytes_with_one_digit_never_too_small() {
        assert_eq!([0, 1, 100_000, 5_230_001].map(megabytes), ["0.0", "0.1", "0.1", "5.3"]);
    }
}
