//! What the C libraries that cargo builds need on this machine.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use super::{packages, runs};

/// A C compiler, make, CMake and OpenSSL's headers: librdkafka, zstd and aws-lc are built from source.
pub fn build_tools() -> Result<()> {
    let by_hand = "install a C and C++ compiler, make, cmake, pkg-config and OpenSSL's headers, then run this again";
    let compilers = runs("cc") && runs("c++") && runs("make");
    packages(
        &[
            (compilers, "build-essential", "gcc"),
            (runs("cmake"), "cmake", "cmake"),
            (runs("pkg-config"), "pkg-config", "pkgconf"),
            (openssl(), "libssl-dev", "openssl@3"),
            (zlib(), "zlib1g-dev", "zlib"),
        ],
        by_hand,
    )?;
    if !runs("cc") {
        bail!("there is no C compiler after the installation; {by_hand}");
    }
    Ok(())
}

/// As openssl-sys looks for it: what the user says, else pkg-config, else Homebrew.
fn openssl() -> bool {
    std::env::var_os("OPENSSL_DIR").is_some()
        || pkg_config("openssl")
        || ["/opt/homebrew/opt/openssl@3", "/usr/local/opt/openssl@3"].iter().any(|folder| Path::new(folder).is_dir())
}

/// macOS has it in its SDK.
fn zlib() -> bool {
    cfg!(target_os = "macos") || pkg_config("zlib")
}

fn pkg_config(library: &str) -> bool {
    Command::new("pkg-config")
        .args(["--exists", library])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
