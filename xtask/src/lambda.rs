//! `cargo xtask lambda`: the functions themselves, under cargo-lambda's emulation of Lambda.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::environment::Environment;
use crate::state::Dev;
use crate::{dev, install, interrupt, ports, wait, workspace};

/// The first choice; that of cargo-lambda itself.
const PORT: u16 = 9000;

/// Serves the functions at one base URL until Ctrl-C.
pub fn lambda() -> Result<()> {
    let environment = Environment::open("lambda")?;
    let lock = environment.state.lock()?;
    environment.refuse_when_running()?;
    environment.stop()?;
    let started = start(&environment);
    if started.is_err() {
        environment.stop().context("and what was started could not be ended; run `cargo xtask down`")?;
    }
    let mut watch = started?;
    drop(lock);
    environment.stop_after(&mut watch)
}

fn start(environment: &Environment) -> Result<std::process::Child> {
    let cargo_lambda = install::cargo_lambda(&environment.root)?;
    // As cargo-lambda would build it at the first request, while the client waits.
    eprintln!("Building the functions");
    let functions = ["build", "--workspace", "--bin", "rest", "--bin", "graphql"];
    if !interrupt::run(workspace::cargo(&environment.root).args(functions))?.success() {
        bail!("a function does not compile; mend the errors above, then run this again");
    }
    let services = environment.start_services()?;
    let port = ports::free_from(PORT)?;
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
    wait::until("cargo-lambda did not listen", std::time::Duration::from_secs(60), || {
        interrupt::check()?;
        if let Some(status) = watch.try_wait()? {
            bail!("cargo-lambda ended ({status}); see above, then run `cargo xtask lambda` again");
        }
        Ok(std::net::TcpStream::connect((std::net::Ipv4Addr::LOCALHOST, port)).ok())
    })?;

    let url = format!("http://127.0.0.1:{port}");
    let dev = Dev {
        http_url: url,
        metrics_url: None,
        database_url: services.database_url.clone(),
        redis_url: services.redis_url.clone(),
        tokens: dev::tokens(&services.jwt_secret)?,
    };
    environment.state.write_dev(&dev)?;
    println!("\nREST is at {0}/api/v1, GraphQL at {0}/graphql. Ctrl-C ends them.", dev.http_url);
    if let Some(token) = dev.tokens.get("admin") {
        println!("\nTry it:\n  curl -H 'Authorization: Bearer {token}' {}/api/v1/object-types\n", dev.http_url);
    }
    Ok(watch)
}
