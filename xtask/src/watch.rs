//! `cargo xtask watch`: prints events as they happen.

mod stream;

use std::io::{BufReader, Write as _};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use ureq::Agent;

use self::stream::{Message, Stream};
use crate::registry::{Address, explain};

/// A stream shows every 15 seconds that it is alive.
const SILENCE: Duration = Duration::from_secs(45);
/// Until the server says how long to wait before the next connection.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// What to watch, and how to print it.
#[derive(Debug, Clone, Default)]
pub struct Watch {
    /// A resume token, `earliest` or `latest`, which counts when absent.
    pub after: Option<String>,
    /// Only events of these types.
    pub types: Vec<String>,
    /// Base URL; that of `.oms/dev.json` when absent.
    pub url: Option<String>,
    /// A token; that of `.oms/dev.json` when absent.
    pub token: Option<String>,
    /// Prints the JSON of each event instead of a line for people.
    pub json: bool,
}

/// How a connection came to its end.
enum End {
    /// It is resumed.
    Lost,
    /// Nobody reads what is printed.
    Unread,
}

/// Prints events until the process is ended, over as many connections as it takes.
pub fn watch(watch: &Watch) -> Result<()> {
    let address = Address::of(watch.url.clone(), watch.token.clone())?;
    let agent: Agent = Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(Duration::from_secs(10)))
        .timeout_per_read(Some(SILENCE))
        .build()
        .into();
    // Where the stream has come to; with it nothing is lost between two connections, and nothing comes twice.
    let mut last = None;
    let (mut asked, mut pause) = (FIRST_PAUSE, FIRST_PAUSE);
    let mut reached = false;
    loop {
        match connect(&agent, &address, watch, last.as_deref()) {
            Ok(mut stream) => {
                if !std::mem::replace(&mut reached, true) {
                    eprintln!("Watching {}; Ctrl-C ends it.", address.api());
                }
                let end = follow(&mut stream, watch.json)?;
                last = stream.last_id().map(str::to_owned).or(last);
                asked = stream.retry().unwrap_or(asked);
                pause = asked;
                if matches!(end, End::Unread) {
                    return Ok(());
                }
            }
            // Who has never been there has another cause to mend.
            Err(Failure::Unreachable(error)) if reached => {
                if pause == asked {
                    eprintln!("The connection is lost ({error}); trying again until it is back.");
                }
                pause = (pause * 2).min(LONGEST_PAUSE.max(asked));
            }
            Err(Failure::Unreachable(error)) => {
                return Err(error)
                    .context(format!("{} does not answer; run `cargo xtask up`, or check --url", address.api()));
            }
            Err(Failure::Refused(text)) => bail!("{text}"),
        }
        std::thread::sleep(pause);
    }
}

/// Why there is no stream.
enum Failure {
    /// It may be there in a moment.
    Unreachable(anyhow::Error),
    /// It will not get better by itself.
    Refused(String),
}

type Connection = Stream<BufReader<ureq::BodyReader<'static>>>;

fn connect(agent: &Agent, address: &Address, watch: &Watch, last: Option<&str>) -> Result<Connection, Failure> {
    let mut request = agent
        .get(format!("{}/events", address.api()))
        .header("Accept", "text/event-stream")
        .header("Authorization", address.authorization());
    for event_type in &watch.types {
        request = request.query("type", event_type);
    }
    if let Some(last) = last {
        request = request.header("Last-Event-ID", last);
    } else if let Some(after) = &watch.after {
        request = request.query("after", after);
    }
    let mut response = request.call().map_err(|error| Failure::Unreachable(error.into()))?;
    let status = response.status().as_u16();
    if response.status().is_success() {
        return Ok(Stream::new(BufReader::new(response.into_body().into_reader())));
    }
    let text = explain(status, &response.body_mut().read_to_string().unwrap_or_default(), &|_| None);
    Err(match status {
        // It starts or ends, or has too much to do.
        429 | 500.. => Failure::Unreachable(anyhow::anyhow!(text)),
        401 => {
            Failure::Refused(format!("{text}\nGive a valid --token, or run `cargo xtask down` and `up` for new ones."))
        }
        410 => {
            Failure::Refused(format!("{text}\nWatch with `--after earliest` to begin with the oldest event there is."))
        }
        _ => Failure::Refused(text),
    })
}

/// Prints what comes until the connection ends.
fn follow(stream: &mut Connection, json: bool) -> Result<End> {
    while let Ok(Some(message)) = stream.next() {
        if message.event == "problem" {
            let problem: Value = serde_json::from_str(&message.data).unwrap_or_default();
            let text = |name: &str| problem[name].as_str().unwrap_or_default().to_owned();
            bail!("the stream ended: {} ({})", text("detail"), text("code"));
        }
        let line = if json { message.data } else { describe(&message)? };
        let mut stdout = std::io::stdout().lock();
        // A closed pipe is how `head` says that it has enough.
        if writeln!(stdout, "{line}").and_then(|()| stdout.flush()).is_err() {
            return Ok(End::Unread);
        }
    }
    Ok(End::Lost)
}

/// One line: time, type, name or id, version, actor, changed fields.
fn describe(message: &Message) -> Result<String> {
    let event: Value = serde_json::from_str(&message.data).context("the stream holds an event that is not JSON")?;
    let data = &event["data"];
    let name = ["objectType", "linkType"].iter().find_map(|kind| data[kind]["name"].as_str());
    let name = name.or_else(|| event["entityId"].as_str()).unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut line = format!(
        "{}  {:<18}  {name}  v{}  by {}",
        text(&event["timestamp"]),
        text(&event["type"]),
        data["version"],
        text(&event["actor"]),
    );
    let changes: Vec<&str> =
        data["changes"].as_array().into_iter().flatten().filter_map(|change| change["field"].as_str()).collect();
    if !changes.is_empty() {
        line += &format!("  changed {}", changes.join(", "));
    }
    if let Some(href) = data["claimCheck"]["href"].as_str() {
        line += &format!("  too large, see {href}");
    }
    Ok(line)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn line(event: &Value) -> String {
        describe(&Message { event: String::new(), data: event.to_string() }).unwrap()
    }

    #[test]
    fn an_event_is_one_line() {
        let event = json!({
            "id": "e", "type": "ObjectTypeUpdated", "entityId": "the-id", "actor": "ada",
            "timestamp": "2026-01-02T03:04:05.000006Z",
            "data": {
                "objectType": {"name": "Customer"}, "version": 2, "actor": "ada",
                "changes": [{"field": "displayName", "type": "modified"}, {"field": "tags", "type": "modified"}],
            },
        });
        assert_eq!(
            line(&event),
            "2026-01-02T03:04:05.000006Z  ObjectTypeUpdated   Customer  v2  by ada  changed displayName, tags"
        );
    }

    #[test]
    fn an_event_that_was_too_large_says_where_it_is() {
        let event = json!({
            "type": "LinkTypeCreated", "entityId": "the-id", "actor": "ada", "timestamp": "2026-01-02T03:04:05Z",
            "data": {"claimCheck": {"href": "/api/v1/link-types/the-id/versions/1"}, "version": 1, "changes": []},
        });
        assert_eq!(
            line(&event),
            "2026-01-02T03:04:05Z  LinkTypeCreated     the-id  v1  by ada  \
             too large, see /api/v1/link-types/the-id/versions/1"
        );
    }
}
