//! pgbench and wrk, and what they print.

use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use tokio::process::Command;

use crate::{
    environment::{Environment, temporary_file},
    measure::median,
};

/// What pgbench measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pgbench {
    /// Milliseconds of one transaction, the median.
    pub(crate) latency: f64,
    /// Transactions each second.
    pub(crate) rate: f64,
}

/// Runs a script, prepared, with so many clients for so many seconds.
pub(crate) async fn pgbench(
    environment: &Environment,
    database: &str,
    script: &str,
    clients: u32,
    seconds: u32,
) -> Result<Pgbench> {
    let (file, log) = (temporary_file("script.sql"), temporary_file("transactions"));
    std::fs::write(&file, script)?;
    let child = Command::new(&environment.pgbench)
        .args([
            "--no-vacuum",
            "--protocol=prepared",
            "--client",
            &clients.to_string(),
            "--jobs=1",
            "--time",
            &seconds.to_string(),
            "--log",
        ])
        .arg(format!("--log-prefix={}", log.display()))
        .arg("--file")
        .arg(&file)
        .arg(environment.database(database))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("pgbench does not run")?;
    let log = log.with_extension(child.id().context("pgbench has ended")?.to_string());
    let output = child.wait_with_output().await?;
    std::fs::remove_file(&file)?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "pgbench failed: {}", String::from_utf8_lossy(&output.stderr));
    // Of each transaction a line, whose third word is how many microseconds it took.
    let transactions = std::fs::read_to_string(&log).with_context(|| format!("pgbench wrote no {}", log.display()))?;
    std::fs::remove_file(&log)?;
    let took = transactions.lines().filter_map(|line| line.split(' ').nth(2)?.parse::<f64>().ok());
    Ok(Pgbench { latency: median(took) / 1e3, rate: after(&printed, "tps =")?.parse()? })
}

/// The first word after a name that a line begins with.
fn after<'a>(printed: &'a str, name: &str) -> Result<&'a str> {
    let rest = printed.lines().find_map(|line| line.trim().strip_prefix(name));
    rest.and_then(|rest| rest.split_whitespace().next()).with_context(|| format!("no {name:?} was printed: {printed}"))
}

/// What wrk measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wrk {
    /// Requests each second.
    pub(crate) rate: f64,
    /// Microseconds of the median.
    pub(crate) median: f64,
}

/// What wrk asks for: one path after the other, from the first again after the last.
#[derive(Debug, Clone)]
pub(crate) struct Requests {
    /// As in `/api/v1/object-types/...`, with a query.
    pub(crate) paths: Vec<String>,
    /// More headers.
    pub(crate) headers: Vec<(String, String)>,
    /// The method and the body, when it is not a `GET`; `@N@` in it is another number in each request.
    pub(crate) body: Option<String>,
}

/// Asks a server with so many connections for so many seconds. Any answer that is no success is a failure.
pub(crate) async fn wrk(
    environment: &Environment,
    url: &str,
    requests: &Requests,
    connections: u32,
    seconds: u32,
) -> Result<Wrk> {
    let file = temporary_file("requests.lua");
    std::fs::write(&file, requests.script())?;
    let output = Command::new(&environment.wrk)
        .args(["--latency", "-t1", &format!("-c{connections}"), &format!("-d{seconds}s"), "--timeout", "30s", "-s"])
        .arg(&file)
        .arg(url)
        .stdin(Stdio::null())
        .output()
        .await
        .context("wrk does not run")?;
    std::fs::remove_file(&file)?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "wrk failed: {}", String::from_utf8_lossy(&output.stderr));
    ensure!(!printed.contains("Non-2xx") && !printed.contains("Socket errors"), "wrk saw failures: {printed}");
    read_wrk(&printed)
}

fn read_wrk(printed: &str) -> Result<Wrk> {
    let median = after(printed, "50%")?;
    let unit = median.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let value: f64 = median.trim_end_matches(unit).parse()?;
    let factor = match unit {
        "us" => 1.0,
        "ms" => 1e3,
        "s" => 1e6,
        unit => anyhow::bail!("wrk's unit {unit} is unknown"),
    };
    Ok(Wrk { rate: after(printed, "Requests/sec:")?.parse()?, median: value * factor })
}

impl Requests {
    fn script(&self) -> String {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let headers: String =
            self.headers.iter().map(|(name, value)| format!("  [{}] = {},\n", quoted(name), quoted(value))).collect();
        let paths: String = self.paths.iter().map(|path| format!("  {},\n", quoted(path))).collect();
        let body = self.body.as_deref().map_or_else(|| "nil".to_owned(), |body| format!("[==[{body}]==]"));
        format!(
            "local headers = {{\n{headers}}}\nlocal paths = {{\n{paths}}}\nlocal body = {body}\nlocal n = 0\nlocal gets = {{}}\n\
             local first = os.time() * 1000000\n\
             function init()\n  if body then return end\n\
             \x20 for i, path in ipairs(paths) do gets[i] = wrk.format(\"GET\", path, headers) end\nend\n\
             function request()\n  n = n + 1\n\
             \x20 if not body then return gets[(n - 1) % #gets + 1] end\n\
             \x20 return wrk.format(\"POST\", paths[1], headers, (body:gsub(\"@N@\", string.format(\"%d\", first + n))))\nend\n"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_wrk_prints_is_read() {
        let printed = "Running 2s test\n  Latency Distribution\n     50%    1.21ms\n     75%    1.31ms\n  100 requests in 2s\n\
                       Requests/sec:  12345.67\nTransfer/sec:      5.18MB\n";
        let read = read_wrk(printed).unwrap();
        assert_eq!((read.rate, read.median), (12345.67, 1210.0));
    }
}
