//! An Apache Kafka of our own: one node that is broker and controller.

mod protocol;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::account;
use super::reaper::Reaper;
use super::{child, find_program, log_tail, random_hex, temporary_folder};
use crate::process::Started;
use crate::{interrupt, ports, state, wait, workspace};

/// What Kafka 4 needs.
const OLDEST_JAVA: u32 = 17;
/// Of a topic that is made by its first use.
const PARTITIONS: u32 = 6;
/// On two busy cores it may take a while; alone it takes two seconds.
const START_LIMIT: Duration = Duration::from_secs(90);

/// Where Java and the jars of Kafka are.
#[derive(Debug, Clone)]
pub struct KafkaPrograms {
    java: PathBuf,
    jars: PathBuf,
}

impl KafkaPrograms {
    /// What is installed for this checkout.
    #[must_use]
    pub fn find(root: &Path) -> Option<Self> {
        let jars = state::folder(root).join("tools/kafka");
        // The last file that the installation writes.
        jars.join("pom.xml").is_file().then_some(())?;
        Some(Self { java: Self::java()?, jars })
    }

    /// A Java that is new enough.
    #[must_use]
    pub fn java() -> Option<PathBuf> {
        let home = std::env::var_os("JAVA_HOME").map(|home| PathBuf::from(home).join("bin/java"));
        let on_path = find_program("java", &["/opt/homebrew/opt/openjdk@17/bin", "/usr/local/opt/openjdk@17/bin"]);
        // Another one may be the system's default.
        let installed = fs::read_dir("/usr/lib/jvm").into_iter().flatten();
        let installed = installed.filter_map(|entry| Some(entry.ok()?.path().join("bin/java")));
        home.into_iter().chain(on_path).chain(installed).find(|java| {
            let printed = Command::new(java).arg("-version").stdin(Stdio::null()).output();
            printed.is_ok_and(|printed| java_major(&String::from_utf8_lossy(&printed.stderr)) >= Some(OLDEST_JAVA))
        })
    }

    /// Runs one of Kafka's programs in its folder.
    fn command(&self, folder: &Path, class: &str) -> Command {
        let mut classes = self.jars.clone().into_os_string();
        classes.push("/*");
        let mut command = child::command(folder, &self.java);
        command
            .args(["-Xms128m", "-Xmx512m", "-XX:+UseSerialGC"])
            // Starts faster; the best code is not worth the wait here.
            .arg("-XX:TieredStopAtLevel=1")
            .args(["-Djava.awt.headless=true", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"])
            .arg("-cp")
            .arg(classes)
            .arg(class);
        command
    }
}

/// The version is in quotes: `openjdk version "17.0.15" 2025-04-15`.
fn java_major(printed: &str) -> Option<u32> {
    printed.split('"').nth(1)?.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// A Kafka on 127.0.0.1 that makes topics on first use.
///
/// A temporary one ends when the value is dropped; one for development runs on.
#[derive(Debug)]
pub struct Kafka {
    programs: KafkaPrograms,
    folder: PathBuf,
    port: u16,
    controller_port: u16,
    child: Option<Child>,
    /// Only a temporary server has one.
    reaper: Option<Reaper>,
}

/// Its name on record.
pub const KAFKA: &str = "Kafka";

impl Kafka {
    /// A new, empty Kafka on a free port, gone with this value.
    pub fn temporary() -> Result<Self> {
        let programs = Self::programs()?;
        let folder = temporary_folder("kafka", None)?;
        let reaper = Reaper::start(None, child::REAP, [folder.as_os_str()])?;
        let (port, controller_port) = (ports::free()?, ports::free()?);
        let mut kafka = Self { programs, folder, port, controller_port, child: None, reaper: Some(reaper) };
        kafka.start()?;
        Ok(kafka)
    }

    /// The Kafka of the development environment, with the data that `folder` keeps. It runs on after this value is gone.
    pub fn development(folder: &Path, port: u16) -> Result<Self> {
        account::create_folder(folder, None)?;
        let controller_port = ports::free_from(port.saturating_add(1))?;
        let (programs, folder) = (Self::programs()?, folder.to_owned());
        let mut kafka = Self { programs, folder, port, controller_port, child: None, reaper: None };
        kafka.start()?;
        Ok(kafka)
    }

    fn programs() -> Result<KafkaPrograms> {
        KafkaPrograms::find(&workspace::root()?)
            .context("Apache Kafka is not installed; `cargo xtask test` and `cargo xtask dev --kafka` install it")
    }

    /// `127.0.0.1:PORT`
    #[must_use]
    pub fn brokers(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The port it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The running process.
    pub fn started(&self) -> Result<Started> {
        let child = self.child.as_ref().context("Kafka was not started")?;
        Started::record(KAFKA, child.id())
    }

    /// Creates a topic unless it is there. `configs` are as in `max.message.bytes`.
    pub fn create_topic(&self, name: &str, partitions: u16, configs: &[(&str, &str)]) -> Result<()> {
        protocol::create_topic(self.port, name, i32::from(partitions), configs)
    }

    /// How many partitions a topic has; none when it is not there.
    pub fn partitions(&self, topic: &str) -> Result<Option<usize>> {
        let topics = protocol::metadata(self.port)?.topics;
        Ok(topics.into_iter().find(|(name, _)| name == topic).map(|(_, partitions)| partitions))
    }

    /// Starts it, or starts it again on the same port and data, and returns once it takes requests.
    pub fn start(&mut self) -> Result<()> {
        if self.child.is_some() {
            return Ok(());
        }
        let settings = self.folder.join("server.properties");
        fs::write(&settings, self.settings()).with_context(|| format!("cannot write {}", settings.display()))?;
        let cluster = self.cluster(&settings)?;
        let log_path = self.folder.join("kafka.log");
        let log = File::create(&log_path).with_context(|| format!("cannot write {}", log_path.display()))?;
        let mut command = self.programs.command(&self.folder, "kafka.Kafka");
        command.arg(&settings).stderr(log.try_clone()?).stdout(log);
        self.child = Some(command.spawn().context("cannot run /bin/sh")?);
        let ready = wait::until("Kafka did not answer", START_LIMIT, || {
            interrupt::check()?;
            if let Some(child) = &mut self.child
                && child.try_wait()?.is_some()
            {
                bail!("Kafka did not start:\n{}", log_tail(&log_path));
            }
            // Another one may have taken the port a moment earlier: the cluster tells. It is of use once the
            // controller has let the broker in.
            let metadata = protocol::metadata(self.port).ok();
            Ok(metadata.filter(|metadata| metadata.cluster == cluster && metadata.brokers == 1))
        });
        if ready.is_err() {
            self.kill();
        }
        ready.map(drop)
    }

    /// Ends it in an orderly way; the data stays. After a kill the next start would wait until the controller no longer
    /// expects the old broker.
    pub fn stop(&mut self) -> Result<()> {
        match self.child.take() {
            Some(child) => child::stop("Kafka", child),
            None => Ok(()),
        }
    }

    /// Ends it at once, as a crash would; the data stays.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// The id of the cluster; the first time the data folder is made.
    fn cluster(&self, settings: &Path) -> Result<String> {
        let path = self.folder.join("cluster");
        if let Ok(cluster) = fs::read_to_string(&path) {
            return Ok(cluster);
        }
        // Any text will do for a cluster's id.
        let cluster = random_hex(8)?;
        let mut format = self.programs.command(&self.folder, "kafka.tools.StorageTool");
        format.args(["format", "--cluster-id", &cluster, "--config"]).arg(settings);
        let data = self.folder.join("data");
        if data.exists() {
            // Somebody ended the formatting before its end.
            fs::remove_dir_all(&data).with_context(|| format!("cannot remove {}", data.display()))?;
        }
        let output = format.output().context("cannot run /bin/sh")?;
        interrupt::check()?;
        if !output.status.success() {
            let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            bail!("Kafka did not make its data folder {}:\n{said}{errors}", data.display());
        }
        fs::write(&path, &cluster).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(cluster)
    }

    fn settings(&self) -> String {
        let (port, controller, data) = (self.port, self.controller_port, self.folder.join("data"));
        // A backslash would be an escape in this format.
        let data = data.display().to_string().replace('\\', "\\\\");
        format!(
            "process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={data}
auto.create.topics.enable=true
num.partitions={PARTITIONS}
{SINGLE_NODE}"
        )
    }
}

/// One replica of everything, few partitions of Kafka's own topics, and no waiting for others. Kafka never syncs to disk
/// by itself, so nothing has to be switched off for speed.
const SINGLE_NODE: &str = "default.replication.factor=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
controller.quorum.election.timeout.ms=300
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=3000
";

impl Drop for Kafka {
    fn drop(&mut self) {
        if self.reaper.take().is_some()
            && let Some(mut child) = self.child.take()
        {
            let _ = child.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::java_major;

    #[test]
    fn the_major_version_of_java_is_a_number() {
        let printed =
            ["openjdk version \"17.0.15\" 2025-04-15\n", "openjdk version \"21\"", "java version \"1.8.0_402\"", ""];
        assert_eq!(printed.map(java_major), [Some(17), Some(21), Some(1), None]);
    }
}
