//! A finished program of the service, as its own process.

use std::{
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::{Child, Command},
    task::JoinHandle,
};

use crate::{environment::program, settings::Settings, wait::until};

/// A running program. It is killed with its value.
#[derive(Debug)]
pub struct Program {
    name: String,
    child: Child,
    stdout: Arc<Mutex<Vec<String>>>,
    stderr: Arc<Mutex<Vec<String>>>,
    readers: Vec<JoinHandle<()>>,
}

/// How a program ended, and what it said.
#[derive(Debug)]
pub struct Exit {
    /// The exit code; none after a signal.
    pub code: Option<i32>,
    /// The lines of stdout.
    pub stdout: Vec<String>,
    /// The lines of stderr.
    pub stderr: Vec<String>,
}

impl Program {
    /// Starts it with these settings and nothing else of the environment but `PATH`.
    #[must_use]
    pub fn start(name: &str, arguments: &[&str], settings: &[(&str, &str)]) -> Self {
        let mut command = Command::new(program(name));
        command.args(arguments).env_clear().envs(settings.iter().copied());
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        let (stdout, out) = lines(child.stdout.take().unwrap());
        let (stderr, err) = lines(child.stderr.take().unwrap());
        Self { name: name.to_owned(), child, stdout, stderr, readers: vec![out, err] }
    }

    /// Starts it with the settings of a test, and these more.
    #[must_use]
    pub fn with(name: &str, arguments: &[&str], settings: &Settings, more: &[(&str, &str)]) -> Self {
        let all: Vec<_> = settings.pairs().chain(more.iter().copied()).collect();
        Self::start(name, arguments, &all)
    }

    /// The lines of stdout so far.
    #[must_use]
    pub fn stdout(&self) -> Vec<String> {
        self.stdout.lock().unwrap().clone()
    }

    /// Waits for a line of stdout that is a JSON object of which `wanted` makes something.
    pub async fn line<T>(&mut self, what: &str, wanted: impl Fn(&Value) -> Option<T>) -> T {
        until(what, async || {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("{} ended ({status}): {:?} {:?}", self.name, self.stdout(), self.stderr.lock().unwrap());
            }
            self.stdout().iter().filter_map(|line| serde_json::from_str(line).ok()).find_map(|line| wanted(&line))
        })
        .await
    }

    /// Asks it to end, as a platform does before it takes the machine away.
    pub fn terminate(&self) {
        let id = self.child.id().expect("it runs");
        let done = std::process::Command::new("kill").args(["-TERM", &id.to_string()]).status().unwrap();
        assert!(done.success());
    }

    /// How much memory it has.
    #[must_use]
    pub fn resident_bytes(&self) -> usize {
        let id = self.child.id().expect("it runs").to_string();
        let output = std::process::Command::new("ps").args(["-o", "rss=", "-p", &id]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.trim().parse::<usize>().unwrap_or_else(|error| panic!("{error}: {text:?}")) * 1_024
    }

    /// Ends it at once and without a word, as a crash would.
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Waits until it has ended.
    pub async fn exit(mut self) -> Exit {
        let status = tokio::time::timeout(Duration::from_secs(30), self.child.wait()).await;
        let status = status.unwrap_or_else(|_| panic!("{} does not end: {:?}", self.name, self.stdout())).unwrap();
        for reader in self.readers.drain(..) {
            reader.await.unwrap();
        }
        let take = |lines: &Mutex<Vec<String>>| std::mem::take(&mut *lines.lock().unwrap());
        Exit { code: status.code(), stdout: take(&self.stdout), stderr: take(&self.stderr) }
    }
}

fn lines(from: impl AsyncRead + Unpin + Send + 'static) -> (Arc<Mutex<Vec<String>>>, JoinHandle<()>) {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let gathered = lines.clone();
    let reader = tokio::spawn(async move {
        let mut from = BufReader::new(from).lines();
        while let Ok(Some(line)) = from.next_line().await {
            gathered.lock().unwrap().push(line);
        }
    });
    (lines, reader)
}
