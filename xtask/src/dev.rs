//! `cargo xtask dev`, `up` and `down`.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::environment::{Environment, Services, Wanted, answers, get};
use crate::process::Started;
use crate::services::{KAFKA, log_tail};
use crate::state::{Dev, Run};
use crate::token::{ROLES, Subject, sign};
use crate::{interrupt, ports, wait};

/// The first choice for REST and GraphQL.
const HTTP_PORT: u16 = 8080;
const GRPC_PORT: u16 = 9090;
const METRICS_PORT: u16 = 9091;
const TOKEN_LIFETIME: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Brings everything up, shows the server's log, and tears everything down on Ctrl-C.
pub fn dev(wanted: Wanted) -> Result<()> {
    let environment = Environment::open("dev")?;
    let lock = environment.state.lock()?;
    environment.refuse_when_running()?;
    let (dev, mut server) = start(&environment, wanted, None)?;
    drop(lock);
    announce(&dev, "Ctrl-C ends it.");
    environment.stop_after(&mut server)
}

/// Brings everything up in the background, and returns once the server is ready.
pub fn up(mut wanted: Wanted) -> Result<()> {
    let environment = Environment::open("up")?;
    let _lock = environment.state.lock()?;
    if let Some(run) = environment.running()? {
        if run.processes.iter().all(Started::is_alive)
            && let Some(dev) = environment.state.dev()?
            && answers(&format!("{}/health/ready", dev.http_url))
        {
            let missing =
                [(wanted.kafka && !runs_kafka(&run), "Apache Kafka"), (wanted.docker && !run.containers, "containers")];
            if let Some((_, what)) = missing.into_iter().find(|(missing, _)| *missing) {
                bail!("it is up already, without {what}; run `cargo xtask down` first, then this again");
            }
            announce(&dev, "It was up already; `cargo xtask down` and `up` start the current code.");
            return Ok(());
        }
        if run.command != "up" {
            // Somebody sits in front of it, and it may still be starting.
            environment.refuse_when_running()?;
        }
        eprintln!("Parts of the environment have died: starting it anew");
        // Events that wait for Apache Kafka must not go into a mock cluster that forgets them.
        wanted.kafka |= runs_kafka(&run);
        // Its data is there.
        wanted.docker |= run.containers;
        environment.stop()?;
    }
    let (dev, _server) = start(&environment, wanted, Some("server.log"))?;
    announce(&dev, "`cargo xtask down` ends it; the logs are in .oms.");
    Ok(())
}

/// Whether Apache Kafka is, or was, part of it.
fn runs_kafka(run: &Run) -> bool {
    run.containers || run.processes.iter().any(|process| process.name == KAFKA)
}

/// Ends the environment of `dev`, `up` or `lambda`. `purge` removes its data too.
pub fn down(purge: bool) -> Result<()> {
    let environment = Environment::open("down")?;
    let _lock = environment.state.lock_after_others()?;
    let stopped = environment.stop()?;
    if stopped.is_empty() {
        println!("Nothing was up.");
    } else {
        println!("Stopped {}.", stopped.join(", "));
    }
    if purge {
        environment.purge()?;
        println!("Removed the development data.");
    }
    Ok(())
}

/// Starts the services and the server; what was started is ended again when something fails.
fn start(environment: &Environment, wanted: Wanted, log: Option<&str>) -> Result<(Dev, Child)> {
    // What a crash of the machine left in the records.
    environment.stop()?;
    let started = environment.start_services(wanted).and_then(|services| start_server(environment, &services, log));
    if started.is_err() {
        environment.stop().context("and what was started could not be ended; run `cargo xtask down`")?;
    }
    started
}

fn start_server(environment: &Environment, services: &Services, log: Option<&str>) -> Result<(Dev, Child)> {
    let http = ports::free_from(HTTP_PORT)?;
    let grpc = ports::free_from(GRPC_PORT)?;
    let metrics = ports::free_from(METRICS_PORT.max(grpc + 1))?;
    let mut command = environment.server()?;
    services
        .environment_of(&mut command)
        .env("SERVER_PORT", http.to_string())
        .env("GRPC_PORT", grpc.to_string())
        .env("METRICS_PORT", metrics.to_string())
        .current_dir(&environment.root)
        .stdin(Stdio::null())
        .process_group(0);
    let log = log.map(|name| environment.state.path(name));
    if let Some(path) = &log {
        let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        command.stderr(file.try_clone()?).stdout(file);
    }
    let mut server = command.spawn().context("cannot run oms-server")?;
    let url = format!("http://127.0.0.1:{http}");
    let ready = environment.record("oms-server", &mut server).and_then(|()| {
        wait::until("the server was not ready", Duration::from_secs(60), || {
            interrupt::check()?;
            if let Some(status) = server.try_wait()? {
                bail!("the server ended ({status})");
            }
            Ok(answers(&format!("{url}/health/ready")).then_some(()))
        })
    });
    if let Err(error) = ready {
        interrupt::check()?;
        let log = log.as_deref().map_or_else(|| "see its log above".to_owned(), log_tail);
        bail!("{error}:\n{log}\nmend the cause, then run `cargo xtask {}` again", environment.command());
    }

    let dev = Dev {
        grpc_url: Some(format!("http://127.0.0.1:{grpc}")),
        metrics_url: Some(format!("http://127.0.0.1:{metrics}/metrics")),
        kafka_brokers: services.kafka_brokers.clone().or_else(|| mock_kafka(&url)),
        aws_endpoint_url: Some(services.aws.endpoint.clone()),
        http_url: url,
        database_url: services.database_url.clone(),
        redis_url: services.redis_url.clone(),
        tokens: tokens(&services.jwt_secret)?,
    };
    environment.state.write_dev(&dev)?;
    Ok((dev, server))
}

/// The brokers of the mock cluster that the server runs when it has no other Kafka.
pub(crate) fn mock_kafka(url: &str) -> Option<String> {
    let health: serde_json::Value = get(&format!("{url}/health/ready"))?.read_json().ok()?;
    health.pointer("/checks/kafka/details/brokers")?.as_str().map(str::to_owned)
}

/// A token for each role.
pub fn tokens(secret: &str) -> Result<BTreeMap<String, String>> {
    ROLES
        .into_iter()
        .map(|role| {
            let roles = [role.to_owned()];
            let name = format!("dev-{role}");
            let subject = Subject { name: &name, roles: &roles, tenant: "default" };
            Ok((role.to_owned(), sign(secret, &subject, TOKEN_LIFETIME)?))
        })
        .collect()
}

fn announce(dev: &Dev, end: &str) {
    println!("\nOMS is up. {end}");
    println!("  REST       {}/api/v1   (page: {}/docs)", dev.http_url, dev.http_url);
    println!("  GraphQL    {}/graphql  (GraphiQL in a browser)", dev.http_url);
    if let Some(grpc) = &dev.grpc_url {
        println!("  gRPC       {}  (gRPC-Web and Connect too)", grpc.trim_start_matches("http://"));
    }
    if let Some(metrics) = &dev.metrics_url {
        println!("  metrics    {metrics}");
    }
    println!("  database   {}", dev.database_url);
    println!("  Redis      {}", dev.redis_url);
    if let Some(brokers) = &dev.kafka_brokers {
        println!("  Kafka      {brokers}");
    }
    if let Some(endpoint) = &dev.aws_endpoint_url {
        println!("  AWS        {endpoint}  (moto)");
    }
    for (role, token) in &dev.tokens {
        println!("  {role:<10} {token}");
    }
    if let Some(token) = dev.tokens.get("admin") {
        println!("\nTry it:\n  curl -H 'Authorization: Bearer {token}' {}/api/v1/object-types", dev.http_url);
        println!("  cargo xtask watch    (events as they happen)\n");
    }
}
