//! `cargo xtask lambda`: the functions themselves, under cargo-lambda's emulation of Lambda, and a pump that plays their
//! triggers.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use crate::environment::{Environment, Services, Wanted};
use crate::state::Dev;
use crate::{dev, install, interrupt, ports, wait, workspace};

/// The first choice; that of cargo-lambda itself.
const PORT: u16 = 9000;

/// What is built before the first invocation. cargo-lambda would build a function while its client waits.
const PROGRAMS: [&str; 6] = ["rest", "graphql", "rpc", "outbox-publisher", "event-relay", "oms-pump"];

/// Where the pump tells what it has.
const PUMP_OUTPUT: &str = "pump.json";

/// What the pump prints once it is ready.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Pump {
    kafka_brokers: String,
}

/// Serves the functions at one base URL until Ctrl-C, with `kafka` on Apache Kafka.
pub fn lambda(kafka: bool) -> Result<()> {
    let environment = Environment::open("lambda")?;
    let lock = environment.state.lock()?;
    environment.refuse_when_running()?;
    environment.stop()?;
    let started = start(&environment, kafka);
    if started.is_err() {
        environment.stop().context("and what was started could not be ended; run `cargo xtask down`")?;
    }
    let mut watch = started?;
    drop(lock);
    environment.stop_after(&mut watch)
}

fn start(environment: &Environment, kafka: bool) -> Result<Child> {
    let cargo_lambda = install::cargo_lambda(&environment.root)?;
    install::build_tools()?;
    eprintln!("Building the functions");
    let mut build = workspace::cargo(&environment.root);
    build.args(["build", "--workspace"]).args(PROGRAMS.iter().flat_map(|program| ["--bin", program]));
    if !interrupt::run(&mut build)?.success() {
        bail!("a function does not compile; mend the errors above, then run this again");
    }
    let mut services = environment.start_services(Wanted { kafka, docker: false })?;
    let port = ports::free_from(PORT)?;
    let url = format!("http://127.0.0.1:{port}");
    // Before the functions, which have to be told where its Kafka is.
    services.kafka_brokers = Some(start_pump(environment, &services, &url)?.kafka_brokers);
    let mut command = Command::new(cargo_lambda);
    services.environment_of(&mut command);
    let mut watch = command
        .args(["lambda", "watch", "-A", "127.0.0.1", "-P", &port.to_string(), "--ignore-changes"])
        // A Lambda environment serves one request at a time.
        .env("DB_MAX_CONNECTIONS", "1")
        .current_dir(&environment.root)
        .stdin(Stdio::null())
        .process_group(0)
        .spawn()
        .context("cannot run cargo-lambda")?;
    environment.record("cargo-lambda", &mut watch)?;
    wait::until("cargo-lambda did not listen", Duration::from_secs(60), || {
        interrupt::check()?;
        if let Some(status) = watch.try_wait()? {
            bail!("cargo-lambda ended ({status}); see above, then run `cargo xtask lambda` again");
        }
        Ok(std::net::TcpStream::connect((std::net::Ipv4Addr::LOCALHOST, port)).ok())
    })?;

    let dev = Dev {
        http_url: url,
        grpc_url: None,
        metrics_url: None,
        database_url: services.database_url.clone(),
        redis_url: services.redis_url.clone(),
        kafka_brokers: services.kafka_brokers.clone(),
        aws_endpoint_url: Some(services.aws.endpoint.clone()),
        tokens: dev::tokens(&services.jwt_secret)?,
    };
    environment.state.write_dev(&dev)?;
    println!(
        "\nREST is at {0}/api/v1, GraphQL at {0}/graphql, gRPC-Web and Connect at {0}. Ctrl-C ends them.",
        dev.http_url
    );
    println!(
        "Events go through Kafka at {} to AWS at {}.",
        dev.kafka_brokers.unwrap_or_default(),
        services.aws.endpoint
    );
    if let Some(token) = dev.tokens.get("admin") {
        println!("\nTry it:\n  curl -H 'Authorization: Bearer {token}' {}/api/v1/object-types\n", dev.http_url);
    }
    Ok(watch)
}

/// Starts what stands for MSK, SQS and the schedule, and waits until it has a Kafka.
fn start_pump(environment: &Environment, services: &Services, url: &str) -> Result<Pump> {
    let path = environment.state.path(PUMP_OUTPUT);
    let output = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    let mut command = Command::new(workspace::binaries(&environment.root)?.join("oms-pump"));
    services.environment_of(&mut command);
    let mut pump = command
        .args(["--functions", url])
        .current_dir(&environment.root)
        .stdin(Stdio::null())
        .stdout(output)
        .process_group(0)
        .spawn()
        .context("cannot run oms-pump")?;
    environment.record("oms-pump", &mut pump)?;
    wait::until("the pump was not ready", Duration::from_secs(60), || {
        interrupt::check()?;
        if let Some(status) = pump.try_wait()? {
            bail!("the pump ended ({status}); see above, then run `cargo xtask lambda` again");
        }
        let text = fs::read_to_string(&path)?;
        // A line that has no end yet is not written to its end.
        let line = text.split_once('\n').map(|(line, _)| serde_json::from_str(line));
        line.transpose().context("the pump printed something else than its Kafka")
    })
}
