//! `cargo xtask up --docker` and `down`, with stand-ins for docker, cargo and the server: they note how they are called, and
//! answer as those do. Docker itself may not be here.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "Clippy takes what tests call for no part of them")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;

/// A line in `notes` for each call, and the variables that matter in a file of the program's name.
const NOTE: &str = r#"#!/bin/sh
PATH="$REAL_PATH"
name="$(basename "$0")"
echo "$name $*" >>"$PLACE/notes"
env >"$PLACE/$name.env.$1"
"#;

/// `DOCKER_IS` says what is wrong with it.
const DOCKER: &str = r#"
case "$DOCKER_IS $*" in
"without-compose compose"*) echo "docker: unknown command: docker compose" >&2; exit 1;;
"without-engine version"*) echo "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?" >&2; exit 1;;
"out-of-ports "*" up "*) echo "Bind for 127.0.0.1:15432 failed: port is already allocated" >&2; exit 1;;
"stuck "*" down "*) echo "permission denied while trying to connect to the Docker daemon socket" >&2; exit 1;;
*" run "*moto-resources)
    echo " Container oms-moto-resources-run-1  Creating" >&2
    queue=http://moto:5000/123456789012
    echo "{\"endpoint\": \"http://moto:5000\", \"bus\": \"oms\", \"table\": \"oms-relay-marks\", \
        \"targetQueueUrl\": \"$queue/oms-events-target\", \"dlqUrl\": \"$queue/oms-relay-dlq\", \
        \"fifoUrl\": \"$queue/oms-events.fifo\", \"pokeQueueUrl\": \"$queue/oms-poke\"}";;
esac
"#;

const CARGO: &str = r#"[ "$1" = metadata ] && echo "{\"target_directory\": \"$PLACE/target\"}"; exit 0"#;

/// Says yes to everything while it runs.
const SERVER: &str = r#"[ "$1" = migrate ] && exit 0
exec python3 -c '
import http.server, os
class Yes(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"{}")
http.server.HTTPServer(("127.0.0.1", int(os.environ["SERVER_PORT"])), Yes).serve_forever()
'"#;

/// Two that start at once may choose the same free ports.
static ALONE: Mutex<()> = Mutex::new(());

/// A checkout with stand-ins. What it started ends with the value.
struct Checkout(PathBuf, #[expect(dead_code, reason = "held")] MutexGuard<'static, ()>);

impl Checkout {
    fn new(name: &str) -> Self {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let root = std::env::temp_dir().join(format!("oms-docker-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        for folder in ["xtask", "bin", "target/debug"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        let program = |path: &str, does: &str| {
            let path = root.join(path);
            fs::write(&path, format!("{NOTE}{does}")).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        };
        program("bin/docker", DOCKER);
        program("bin/cargo", CARGO);
        program("target/debug/oms-server", SERVER);
        Self(root.canonicalize().unwrap(), alone)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let real = std::env::var_os("PATH").unwrap();
        let path = std::env::join_paths([self.0.join("bin")].into_iter().chain(std::env::split_paths(&real))).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command
            .args(arguments)
            .env("CARGO_MANIFEST_DIR", self.0.join("xtask"))
            .env("CARGO", self.0.join("bin/cargo"))
            .env("PLACE", &self.0)
            .env("PATH", path)
            .env("REAL_PATH", real);
        command
    }

    /// Runs it, gives what it says, and forgets the notes of before.
    fn xtask(&self, arguments: &[&str], docker_is: &str) -> (bool, String) {
        let _ = fs::remove_file(self.0.join("notes"));
        said(&self.command(arguments).env("DOCKER_IS", docker_is).output().unwrap())
    }

    /// How docker was called, without what is the same in all calls that concern the checkout.
    fn docker(&self) -> Vec<String> {
        let ours = format!("docker compose --file {}/infra/docker-compose.yml --project-name ", self.0.display());
        let notes = fs::read_to_string(self.0.join("notes")).unwrap_or_default();
        let calls = notes.lines().filter(|line| line.starts_with("docker "));
        calls
            .map(|line| match line.strip_prefix(&ours).and_then(|rest| rest.split_once(' ')) {
                Some((project, call)) => {
                    assert!(project.starts_with("oms-"), "{project}");
                    call.to_owned()
                }
                None => line.to_owned(),
            })
            .collect()
    }

    /// What a program had in its environment, when it was last called with this first argument.
    fn environment(&self, program: &str, first: &str) -> BTreeMap<String, String> {
        let text = fs::read_to_string(self.0.join(format!("{program}.env.{first}"))).unwrap();
        text.lines().filter_map(|line| line.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
    }

    fn state(&self, name: &str) -> Option<Value> {
        let text = fs::read_to_string(self.0.join(".oms").join(name)).ok()?;
        Some(serde_json::from_str(&text).expect("a file of the state is JSON"))
    }
}

impl Drop for Checkout {
    fn drop(&mut self) {
        let _ = self.command(&["down"]).output();
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Whether it succeeded, and what it printed.
fn said(output: &Output) -> (bool, String) {
    let text = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

const UP: [&str; 4] = [
    "docker compose version",
    "docker version --format {{.Server.Version}}",
    "up --detach --wait --wait-timeout 180 postgres redis kafka moto",
    "run --rm --no-deps -T moto-resources",
];

#[test]
fn the_server_uses_what_runs_in_containers() {
    let checkout = Checkout::new("up");
    let _ = fs::remove_file(checkout.0.join("notes"));
    let mut command = checkout.command(&["up", "--docker"]);
    // What somebody has for other projects.
    let others =
        [("COMPOSE_PROFILES", "theirs"), ("OMS_POSTGRES_PASSWORD", "theirs"), ("KAFKA_BROKERS", "theirs:9092")];
    let (success, text) = said(&command.envs(others).output().unwrap());
    assert!(success, "{text}");
    assert!(text.contains("Starting PostgreSQL, Redis, Apache Kafka and moto with docker compose"), "{text}");
    assert_eq!(checkout.docker(), UP);

    let docker = checkout.environment("docker", "compose");
    let (password, moto) = (&docker["OMS_POSTGRES_PASSWORD"], &docker["OMS_MOTO_PORT"]);
    assert_ne!(password, "theirs");
    assert_eq!(docker.get("COMPOSE_PROFILES"), None);
    for first in ["migrate", ""] {
        let server = checkout.environment("oms-server", first);
        let database = format!("postgres://oms:{password}@127.0.0.1:{}/oms", docker["OMS_POSTGRES_PORT"]);
        assert_eq!(server["DATABASE_URL"], database);
        assert_eq!(server["REDIS_URL"], format!("redis://127.0.0.1:{}", docker["OMS_REDIS_PORT"]));
        assert_eq!(server["KAFKA_BROKERS"], format!("127.0.0.1:{}", docker["OMS_KAFKA_PORT"]));
        assert_eq!(server["AWS_ENDPOINT_URL"], format!("http://127.0.0.1:{moto}"));
        assert_eq!(server["RELAY_DLQ_URL"], format!("http://127.0.0.1:{moto}/123456789012/oms-relay-dlq"));
        assert_eq!(server["EVENT_BUS_NAME"], "oms");
    }
    let dev = checkout.state("dev.json").expect("it says how to reach it");
    assert_eq!(dev["kafkaBrokers"], format!("127.0.0.1:{}", docker["OMS_KAFKA_PORT"]));

    let (success, text) = checkout.xtask(&["up", "--docker", "--kafka"], "");
    assert!(success && text.contains("It was up already"), "{text}");
    assert_eq!(checkout.docker(), [""; 0]);
}

#[test]
fn down_keeps_the_data_and_purge_removes_it() {
    let checkout = Checkout::new("down");
    let up = || {
        let (success, text) = checkout.xtask(&["up", "--docker"], "");
        assert!(success, "{text}");
        checkout.environment("docker", "compose")["OMS_POSTGRES_PASSWORD"].clone()
    };
    let password = up();
    let (success, text) = checkout.xtask(&["down"], "");
    assert!(success && text.contains("Stopped oms-server, the containers."), "{text}");
    assert_eq!(checkout.docker(), ["down --remove-orphans"]);
    assert_eq!(up(), password, "that of the volume");

    let (success, text) = checkout.xtask(&["down", "--purge"], "");
    assert!(success, "{text}");
    assert_eq!(checkout.docker(), ["down --remove-orphans", "down --remove-orphans --volumes"]);
    let (success, text) = checkout.xtask(&["down", "--purge"], "");
    assert!(success && text.contains("Nothing was up."), "{text}");
    assert_eq!(checkout.docker(), [""; 0], "who never had containers need not have Docker");
    assert_ne!(up(), password);
}

#[test]
fn what_is_up_without_containers_stays() {
    let checkout = Checkout::new("processes");
    assert!(checkout.xtask(&["up", "--docker"], "").0);
    // As `up` without containers would have written it.
    let run = checkout.0.join(".oms/run.json");
    let text = fs::read_to_string(&run).unwrap();
    fs::write(&run, text.replace("\"containers\": true", "\"containers\": false")).unwrap();
    let (success, refused) = checkout.xtask(&["up", "--docker"], "");
    assert!(
        !success && refused.contains("it is up already, without containers; run `cargo xtask down` first"),
        "{refused}"
    );
    assert_eq!(checkout.docker(), [""; 0]);
    fs::write(&run, text).unwrap();
}

#[test]
fn a_dead_server_is_started_anew_on_the_same_containers() {
    let checkout = Checkout::new("dead");
    assert!(checkout.xtask(&["up", "--docker"], "").0);
    let run = checkout.state("run.json").unwrap();
    let server = run["processes"][0]["pid"].as_i64().unwrap().to_string();
    assert!(Command::new("kill").args(["-KILL", &server]).status().unwrap().success());
    // Without the flag, too: what it has written is there.
    let (success, text) = checkout.xtask(&["up"], "");
    assert!(success && text.contains("Parts of the environment have died"), "{text}");
    assert_eq!(checkout.docker(), [&["down --remove-orphans"], UP.as_slice()].concat());
}

#[test]
fn without_a_docker_that_works_it_says_what_to_do() {
    let checkout = Checkout::new("broken");
    let empty = checkout.0.join("xtask");
    let (success, text) = said(&checkout.command(&["up", "--docker"]).env("PATH", empty).output().unwrap());
    assert!(!success && text.contains("docker is not installed; install Docker with its compose plugin"), "{text}");

    let (success, text) = checkout.xtask(&["up", "--docker"], "without-compose");
    assert!(
        !success && text.contains("docker has no compose plugin; install Docker with its compose plugin"),
        "{text}"
    );
    assert_eq!(checkout.docker(), &UP[..1]);

    let (success, text) = checkout.xtask(&["up", "--docker"], "without-engine");
    assert!(
        !success && text.contains("Docker's engine does not answer; start it, or become one who may use it"),
        "{text}"
    );
    assert!(text.contains("Cannot connect to the Docker daemon"), "{text}");
    assert_eq!(checkout.docker(), &UP[..2]);
    assert_eq!(checkout.state("run.json"), None);
}

#[test]
fn services_that_do_not_start_are_removed_again() {
    let checkout = Checkout::new("failing");
    let (success, text) = checkout.xtask(&["up", "--docker"], "out-of-ports");
    assert!(!success && text.contains("port is already allocated"), "{text}");
    assert!(text.contains("docker compose could not start the services, see above"), "{text}");
    let after = ["logs --tail 30 postgres redis kafka moto", "down --remove-orphans"];
    assert_eq!(checkout.docker(), [&UP[..3], after.as_slice()].concat());
    assert_eq!(checkout.state("run.json"), None);

    assert!(checkout.xtask(&["up", "--docker"], "").0);
    let (success, text) = checkout.xtask(&["down"], "stuck");
    assert!(!success && text.contains("could not remove the containers of oms-"), "{text}");
    assert!(text.contains("permission denied"), "{text}");
    let (success, text) = checkout.xtask(&["down"], "");
    assert!(success && text.contains("Stopped the containers."), "what is left is still on record: {text}");
}

/// Linux alone: elsewhere Redis is found where Homebrew puts it, whatever the PATH.
#[cfg(target_os = "linux")]
#[test]
fn where_no_package_is_to_be_had_containers_will_do() {
    let checkout = Checkout::new("packages");
    // A machine with compilers, Docker, and nothing to install with.
    for tool in ["cc", "c++", "make", "cmake", "pkg-config"] {
        fs::copy(checkout.0.join("bin/cargo"), checkout.0.join("bin").join(tool)).unwrap();
    }
    let only = checkout.0.join("bin");
    let up = |docker_is: &str| {
        let _ = fs::remove_file(checkout.0.join("notes"));
        said(&checkout.command(&["up"]).env("PATH", &only).env("DOCKER_IS", docker_is).output().unwrap())
    };
    let (success, text) = up("without-engine");
    assert!(!success && text.contains("neither apt-get nor brew is here"), "{text}");
    let (success, text) = up("");
    assert!(success && text.contains("Taking containers instead, as `--docker` does"), "{text}");
    assert_eq!(checkout.docker(), [&UP[..2], UP.as_slice()].concat());
}
