//! Apache Kafka, from the jars of Maven Central.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::{packages, runs};
use crate::services::KafkaPrograms;
use crate::{interrupt, state};

/// Java, and the jars of Apache Kafka in `.oms/tools/kafka`.
pub fn kafka(root: &Path) -> Result<KafkaPrograms> {
    java()?;
    jars(root)?;
    KafkaPrograms::find(root).context("Apache Kafka is not found after its installation; remove .oms/tools/kafka")
}

fn java() -> Result<()> {
    let by_hand = "install a Java runtime, 17 or newer (https://adoptium.net), then run this again";
    // Newer releases of Debian have no package of version 17, older ones a default that is too old.
    for debian in ["openjdk-17-jre-headless", "default-jre-headless"] {
        if KafkaPrograms::java().is_some() {
            return Ok(());
        }
        if let Err(error) = packages(&[(false, debian, "openjdk@17")], by_hand) {
            eprintln!("{error:#}");
        }
    }
    if KafkaPrograms::java().is_none() {
        bail!("this system's packages have no Java 17 or newer; {by_hand}");
    }
    Ok(())
}

fn jars(root: &Path) -> Result<()> {
    let pom = root.join("xtask/kafka/pom.xml");
    let wanted = fs::read(&pom).with_context(|| format!("cannot read {}", pom.display()))?;
    let tools = state::folder(root).join("tools");
    let folder = tools.join("kafka");
    // It is copied after everything else, and tells which version the jars are.
    if fs::read(folder.join("pom.xml")).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    packages(
        &[(runs("mvn"), "maven", "maven")],
        "install Apache Maven (https://maven.apache.org), then run this again",
    )?;
    eprintln!("Installing Apache Kafka with mvn into {}", folder.display());
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let status = interrupt::run(
        Command::new("mvn")
            .args(["-B", "-q", "dependency:copy-dependencies", "-DincludeScope=runtime", "-f"])
            .arg(&pom)
            .arg(format!("-DoutputDirectory={}", folder.display()))
            .current_dir(&tools),
    )?;
    if !status.success() {
        bail!("mvn could not install it, see above; with a network, run this again");
    }
    fs::write(folder.join("pom.xml"), wanted).context("cannot finish the installation of Apache Kafka")
}
