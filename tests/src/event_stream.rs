//! Server-Sent Events as a browser's `EventSource` reads them.

use reqwest::{Response, header::HeaderMap};
use serde_json::Value;

/// One block of a stream, up to its blank line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frame {
    /// `id:`
    pub id: Option<String>,
    /// `event:`
    pub event: Option<String>,
    /// The lines of `data:`; only a frame with data is an event.
    pub data: Option<String>,
    /// The text of a comment.
    pub comment: Option<String>,
    /// `retry:`
    pub retry: Option<u64>,
}

impl Frame {
    /// The JSON of its data.
    #[must_use]
    #[track_caller]
    pub fn json(&self) -> Value {
        let data = self.data.as_deref().unwrap_or_else(|| panic!("no data: {self:?}"));
        serde_json::from_str(data).unwrap_or_else(|error| panic!("{error}: {data}"))
    }
}

/// An open stream. It is closed with its value.
#[derive(Debug)]
pub struct EventStream {
    response: Response,
    pending: Vec<u8>,
    last_id: Option<String>,
}

impl EventStream {
    pub(crate) fn over(response: Response) -> Self {
        Self { response, pending: Vec::new(), last_id: None }
    }

    /// The status of the answer.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    /// The headers of the answer.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// What an `EventSource` sends as `Last-Event-ID` when it connects again: the id of the last frame that had one, whether
    /// it had data or not.
    #[must_use]
    pub fn last_id(&self) -> Option<&str> {
        self.last_id.as_deref()
    }

    /// The next frame; none when the stream has ended, in good order or not.
    pub async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(end) = self.pending.windows(2).position(|pair| pair == b"\n\n") {
                let block: Vec<u8> = self.pending.drain(..end + 2).collect();
                let frame = parse(&String::from_utf8(block).unwrap());
                if frame.id.is_some() {
                    self.last_id.clone_from(&frame.id);
                }
                return Some(frame);
            }
            self.pending.extend_from_slice(&self.response.chunk().await.ok()??);
        }
    }

    /// The next frame with data.
    pub async fn next_event(&mut self) -> Option<Frame> {
        loop {
            let frame = self.next().await?;
            if frame.data.is_some() {
                return Some(frame);
            }
        }
    }

    /// The JSON of the next so many events.
    pub async fn take(&mut self, events: usize) -> Vec<Value> {
        let mut taken = Vec::new();
        while taken.len() < events {
            let frame = self.next_event().await;
            taken.push(frame.unwrap_or_else(|| panic!("the stream ended after {} events", taken.len())).json());
        }
        taken
    }
}

fn parse(block: &str) -> Frame {
    let mut frame = Frame::default();
    for line in block.lines().filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value).to_owned();
        match name {
            "" => frame.comment = Some(value),
            "id" => frame.id = Some(value),
            "event" => frame.event = Some(value),
            "retry" => frame.retry = value.parse().ok(),
            "data" => match &mut frame.data {
                Some(data) => *data = format!("{data}\n{value}"),
                None => frame.data = Some(value),
            },
            _ => {}
        }
    }
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_has_what_its_lines_say() {
        let frame = parse(": alive\nid: a:b\nevent: X\ndata: {\"a\":\ndata:1}\nretry: 10\n\n");
        assert_eq!(frame.json(), serde_json::json!({"a": 1}));
        let [id, event, comment] = [&frame.id, &frame.event, &frame.comment].map(|text| text.as_deref().unwrap());
        assert_eq!((id, event, comment, frame.retry), ("a:b", "X", "alive", Some(10)));
    }
}
