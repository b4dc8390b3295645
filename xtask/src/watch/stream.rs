//! Server-Sent Events, as a browser would read them (WHATWG HTML, "Interpreting an event stream").

use std::io::BufRead;
use std::time::Duration;

use anyhow::{Result, bail};

/// Longer than any event.
const LONGEST_LINE: usize = 16 << 20;

/// One event of a stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// What it is; `message` when the stream does not say.
    pub(super) event: String,
    /// Its content.
    pub(super) data: String,
}

/// An open stream.
pub(super) struct Stream<R> {
    lines: R,
    last_id: Option<String>,
    retry: Option<Duration>,
}

impl<R: BufRead> Stream<R> {
    pub(super) fn new(lines: R) -> Self {
        Self { lines, last_id: None, retry: None }
    }

    /// Where the stream has come to: the id of the last event, or of the last comment that has one.
    pub(super) fn last_id(&self) -> Option<&str> {
        self.last_id.as_deref()
    }

    /// How long the server wants a client to wait before it connects again.
    pub(super) fn retry(&self) -> Option<Duration> {
        self.retry
    }

    /// The next event; none at the end. An event that breaks off is dropped, with its id.
    pub(super) fn next(&mut self) -> Result<Option<Message>> {
        let (mut id, mut event, mut data) = (None, String::new(), Vec::new());
        while let Some(line) = self.line()? {
            if line.is_empty() {
                // The id counts without data too: a heartbeat says how far the feed has come.
                self.last_id = id.take().or(self.last_id.take());
                if !data.is_empty() {
                    let event = if event.is_empty() { "message".to_owned() } else { event };
                    return Ok(Some(Message { event, data: data.join("\n") }));
                }
                event.clear();
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((&line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "id" => id = Some(value.to_owned()),
                "event" => value.clone_into(&mut event),
                "data" => data.push(value.to_owned()),
                "retry" => self.retry = value.parse().ok().map(Duration::from_millis).or(self.retry),
                // A comment, or what a later version may bring.
                _ => {}
            }
        }
        Ok(None)
    }

    fn line(&mut self) -> Result<Option<String>> {
        let mut line = Vec::new();
        let read = std::io::Read::take(&mut self.lines, LONGEST_LINE as u64).read_until(b'\n', &mut line)?;
        if read == LONGEST_LINE {
            bail!("the stream holds a line of more than {LONGEST_LINE} bytes");
        }
        // The rest of a line that broke off is nothing.
        if line.pop() != Some(b'\n') {
            return Ok(None);
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Ok(Some(String::from_utf8_lossy(&line).into_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_comments_and_a_broken_end() {
        let text = ": open\nid: 1\nretry: 250\n\nid:2\r\nevent: A\r\ndata: {\r\ndata: }\r\n\r\n: alive\nid: 3\n\n\
                    data: bare\n\nid: 4\nevent: A\ndata: brok";
        let mut stream = Stream::new(text.as_bytes());
        let message = |event: &str, data: &str| Some(Message { event: event.to_owned(), data: data.to_owned() });
        assert_eq!(stream.next().unwrap(), message("A", "{\n}"));
        assert_eq!((stream.last_id(), stream.retry()), (Some("2"), Some(Duration::from_millis(250))));
        assert_eq!(stream.next().unwrap(), message("message", "bare"));
        assert_eq!(stream.last_id(), Some("3"));
        assert_eq!(stream.next().unwrap(), None);
        assert_eq!(stream.last_id(), Some("3"), "what broke off comes again");
    }
}
