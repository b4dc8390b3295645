//! What is wrong with the files for containers is noticed, and they fit what the code says.

#![expect(clippy::unwrap_used, reason = "Clippy takes what tests call for no part of them")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use xtask::lint::containers::{self, compose, image, pods, prometheus};
use xtask::{token, workspace};

/// A copy of what of `infra` is for containers, gone with the value.
struct Copy(PathBuf);

impl Copy {
    fn new(name: &str) -> Self {
        let infra = workspace::root().unwrap().join("infra");
        let copy = std::env::temp_dir().join(format!("oms-containers-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&copy);
        fs::create_dir_all(&copy).unwrap();
        let parts = ["docker-compose.yml", "compose.rules.json", "Dockerfile", "kubernetes", "prometheus"];
        let parts = parts.map(|part| infra.join(part));
        assert!(Command::new("cp").arg("-R").args(parts).arg(&copy).status().unwrap().success());
        Self(copy)
    }

    /// Changes a file, which must have what is changed.
    fn change(&self, file: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.0.join(file)).unwrap();
        assert!(text.contains(from), "{from}");
        fs::write(self.0.join(file), text.replacen(from, to, 1)).unwrap();
    }

    fn passes(&self, check: Check) -> bool {
        check(&workspace::root().unwrap(), &self.0).unwrap()
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

type Check = fn(&Path, &Path) -> anyhow::Result<bool>;

/// Something in a file that a check is there for.
struct Fault(Check, &'static str, &'static str, &'static str);

#[test]
fn they_pass_as_they_are_and_each_fault_fails() {
    assert!(Copy::new("whole").passes(containers::containers));
    let (file, deployment, alerts) = ("docker-compose.yml", "kubernetes/deployment.yaml", "prometheus/alerts.yml");
    let open = ("\"127.0.0.1:${OMS_MOTO_PORT:-15000}:5000\"", "\"${OMS_MOTO_PORT:-15000}:5000\"");
    let age = "max(oms_outbox_oldest_age_seconds) > 60";
    for Fault(check, file, from, to) in [
        Fault(compose, file, "    shm_size:", "    shm_sise:"),
        Fault(compose, file, "valkey:8.1.10-alpine", "valkey:latest"),
        Fault(compose, file, open.0, open.1),
        Fault(compose, file, "user: appuser", "user: root"),
        Fault(compose, file, "memory: 1g, pids: 400", "memory: 1g"),
        Fault(image, "Dockerfile", "USER 65532:65532", "USER root"),
        Fault(image, "Dockerfile", "HEALTHCHECK", "# HEALTHCHECK"),
        Fault(pods, deployment, "containerPort: 8080", "containerPort: http"),
        Fault(pods, deployment, "readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false"),
        Fault(pods, "kubernetes/scaling.yaml", "minReplicas", "minimumReplicas"),
        Fault(pods, "kubernetes/service.yaml", "kind: Service", "kind: Servise"),
        Fault(pods, "kubernetes/migrate/job.yaml", "checkov.io/skip2", "example.com/skip2"),
        Fault(prometheus, "prometheus/prometheus.yml", "scrape_interval: 15s", "scrape_interval: often"),
        Fault(prometheus, alerts, age, "max(oms_outbox_oldest_age_seconds > 60"),
        Fault(prometheus, alerts, age, "max(oms_outbox_oldest_age_seconds) > 6000"),
    ] {
        let copy = Copy::new("faulty");
        copy.change(file, from, to);
        assert!(!copy.passes(check), "{file}: {to}");
    }
}

/// Every name of a metric, as in `oms_request_duration_seconds`, that stands in a text.
fn metrics(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.filter(|word| word.starts_with("oms_")).map(str::to_owned).collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn read(files: impl IntoIterator<Item = PathBuf>) -> String {
    files.into_iter().map(|file| fs::read_to_string(file).unwrap()).collect()
}

#[test]
fn alerts_and_dashboards_know_every_metric_and_no_other() {
    let root = workspace::root().unwrap();
    let code =
        ["shared/edge/src/metrics/mod.rs", "shared/edge/src/metrics/prometheus.rs", "shared/core/src/breaker.rs"];
    let code = read(code.map(|file| root.join(file)));
    // Names of crates are not in quotes.
    let described: BTreeSet<String> =
        code.split('"').filter(|text| text.starts_with("oms_")).map(str::to_owned).collect();
    let shown = metrics(&read([root.join("infra/grafana/dashboards/oms.json")]));
    let alarmed = metrics(&read(files(&root.join("infra/prometheus"))));
    // A histogram is scraped as buckets, a sum and a count.
    let of_histogram = |name: &String| {
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix));
        base.unwrap_or(name).to_owned()
    };
    let shown: BTreeSet<String> = shown.iter().map(of_histogram).collect();
    let alarmed: BTreeSet<String> = alarmed.iter().map(of_histogram).collect();
    assert_eq!(shown, described, "a panel for each metric");
    assert!(alarmed.is_subset(&described), "{alarmed:?}");
}

/// The README's table has what the code reads, as a test of its own shows.
#[test]
fn containers_get_settings_that_there_are() {
    let root = workspace::root().unwrap();
    let read = |file: &str| fs::read_to_string(root.join(file)).unwrap();
    let (compose, readme) = (read("infra/docker-compose.yml"), read("README.md"));
    let (_, compose) = compose.split_once("x-oms-environment:").unwrap();
    let (compose, _) = compose.split_once("\nservices:").unwrap();
    let pods = read("infra/kubernetes/config.yaml")
        + &["deployment.yaml", "migrate/job.yaml"].map(|file| read(&format!("infra/kubernetes/{file}"))).concat();
    let settings: BTreeSet<&str> = compose
        .lines()
        .chain(pods.lines())
        .filter_map(|line| line.trim().trim_start_matches("- name: ").split([':', '=']).next())
        .filter(|name| name.len() > 3 && name.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
        .collect();
    assert!(settings.contains("KAFKA_BROKERS") && settings.contains("DB_HOST"), "{settings:?}");
    let unknown: Vec<_> =
        settings.iter().filter(|name| !name.starts_with("AWS_") && !readme.contains(&format!("`{name}`"))).collect();
    assert_eq!(unknown, [&""; 0]);
}

#[test]
fn kustomize_takes_every_manifest() {
    let kubernetes = workspace::root().unwrap().join("infra/kubernetes");
    for folder in [kubernetes.clone(), kubernetes.join("migrate")] {
        let list = fs::read_to_string(folder.join("kustomization.yaml")).unwrap();
        let taken: BTreeSet<&str> =
            list.lines().filter_map(|line| line.trim().trim_start_matches("# ").strip_prefix("- ")).collect();
        let names = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        for name in names.filter(|name| name.ends_with(".yaml") && name != "kustomization.yaml") {
            assert!(taken.contains(name.as_str()), "{name} of {}", folder.display());
        }
    }
}

/// The image is built from these files alone: cargo has to find every member of the workspace among them, and every target.
#[test]
fn the_builder_gets_a_whole_workspace() {
    let root = workspace::root().unwrap();
    let ignore = fs::read_to_string(root.join(".dockerignore")).unwrap();
    let context = std::env::temp_dir().join(format!("oms-context-{}", std::process::id()));
    let _ = fs::remove_dir_all(&context);
    fs::create_dir_all(&context).unwrap();
    let mut copy = Command::new("tar");
    copy.arg("-C").arg(&root).args(["-cf", "-"]);
    let rules = ignore.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let (taken, left): (Vec<&str>, Vec<&str>) =
        rules.filter(|rule| *rule != "*").partition(|rule| rule.starts_with('!'));
    copy.args(left.iter().map(|rule| format!("--exclude=./{rule}")));
    copy.args(taken.iter().map(|rule| format!("./{}", &rule[1..])));
    let mut copying = copy.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let unpacked =
        Command::new("tar").arg("-C").arg(&context).args(["-xf", "-"]).stdin(copying.stdout.take().unwrap()).status();
    assert!(copying.wait().unwrap().success() && unpacked.unwrap().success());
    let metadata = workspace::cargo(&context)
        .args(["metadata", "--format-version=1", "--no-deps", "--locked", "--offline"])
        .output()
        .unwrap();
    let sqlx = context.join(".sqlx").is_dir();
    let clients = context.join("tests/clients").exists();
    fs::remove_dir_all(&context).unwrap();
    assert!(metadata.status.success(), "{}", String::from_utf8_lossy(&metadata.stderr));
    assert!(sqlx, "the statements are checked with it");
    assert!(!clients, "what is left out");
}

#[test]
fn the_readme_shows_how_to_make_a_token_without_this_tool() {
    let readme = fs::read_to_string(workspace::root().unwrap().join("README.md")).unwrap();
    let script = readme.split("```sh\n").skip(1).filter_map(|block| block.split_once("```")).map(|(block, _)| block);
    let script = script.into_iter().find(|block| block.contains("openssl dgst")).unwrap();
    // No server is needed to make one.
    let (script, _) = script.split_once("curl ").unwrap();
    let secret = "a-secret-of-32-bytes-or-more-for-HS256";
    let output = Command::new("/bin/sh")
        .args(["-c", &format!("{script}\nprintf %s \"$TOKEN\"")])
        .env("OMS_JWT_SECRET", secret)
        .output()
        .unwrap();
    let token = String::from_utf8(output.stdout).unwrap();
    let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::HS256);
    validation.set_issuer(&[token::ISSUER]);
    validation.set_audience(&[token::AUDIENCE]);
    let key = jsonwebtoken::DecodingKey::from_secret(secret.as_bytes());
    let claims = jsonwebtoken::decode::<serde_json::Value>(&token, &key, &validation).unwrap().claims;
    assert_eq!(claims["roles"], serde_json::json!(["admin"]));

    let compose = fs::read_to_string(workspace::root().unwrap().join("infra/docker-compose.yml")).unwrap();
    let expects = format!("JWT_ISSUER: {}\n  JWT_AUDIENCE: {}\n", token::ISSUER, token::AUDIENCE);
    assert!(compose.contains(&expects), "the server wants such a token");
}
