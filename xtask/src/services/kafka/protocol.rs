//! As much of Kafka's protocol as it takes to ask a broker who it is and to make topics: the console tools, each a Java
//! program, would take seconds.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

/// How long the broker may take for one answer.
const LIMIT: Duration = Duration::from_secs(10);
/// The longest answer that is read.
const ANSWER_BYTES: usize = 16 << 20;

const METADATA: i16 = 3;
const METADATA_VERSION: i16 = 4;
const CREATE_TOPICS: i16 = 19;
const CREATE_TOPICS_VERSION: i16 = 2;

const TOPIC_ALREADY_EXISTS: i16 = 36;

/// What a broker says about its cluster.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Metadata {
    /// Which cluster it is.
    pub(super) cluster: String,
    /// How many brokers serve it now.
    pub(super) brokers: usize,
    /// Its topics, each with its number of partitions.
    pub(super) topics: Vec<(String, usize)>,
}

/// Asks the broker on this port.
pub(super) fn metadata(port: u16) -> Result<Metadata> {
    let mut request = Request::new(METADATA, METADATA_VERSION);
    // Every topic, and none is to be made.
    request.int32(-1).int8(0);
    read_metadata(&mut Answer(&request.send(port)?))
}

/// Creates a topic unless it is there.
pub(super) fn create_topic(port: u16, name: &str, partitions: i32, configs: &[(&str, &str)]) -> Result<()> {
    let mut request = Request::new(CREATE_TOPICS, CREATE_TOPICS_VERSION);
    request.int32(1).text(name)?.int32(partitions).int16(1).int32(0);
    request.int32(i32::try_from(configs.len()).context("so many settings")?);
    for (name, value) in configs {
        request.text(name)?.text(value)?;
    }
    request.int32(i32::try_from(LIMIT.as_millis()).unwrap_or(i32::MAX)).int8(0);
    let answer = request.send(port)?;
    let mut answer = Answer(&answer);
    answer.int32()?;
    for _ in 0..answer.count()? {
        let (topic, code, message) = (answer.text()?, answer.int16()?, answer.text()?);
        if code != 0 && code != TOPIC_ALREADY_EXISTS {
            bail!("Kafka did not create the topic {topic}: {message} (error {code})");
        }
    }
    Ok(())
}

fn read_metadata(answer: &mut Answer<'_>) -> Result<Metadata> {
    answer.int32()?;
    let brokers = answer.count()?;
    for _ in 0..brokers {
        let _ = (answer.int32()?, answer.text()?, answer.int32()?, answer.text()?);
    }
    let cluster = answer.text()?;
    answer.int32()?;
    let mut topics = Vec::new();
    for _ in 0..answer.count()? {
        let (_, name, _) = (answer.int16()?, answer.text()?, answer.int8()?);
        let partitions = answer.count()?;
        for _ in 0..partitions {
            let _ = (answer.int16()?, answer.int32()?, answer.int32()?);
            for _ in 0..2 {
                for _ in 0..answer.count()? {
                    answer.int32()?;
                }
            }
        }
        topics.push((name, partitions));
    }
    Ok(Metadata { cluster, brokers, topics })
}

/// A request of the older, inflexible encodings.
struct Request(Vec<u8>);

impl Request {
    fn new(key: i16, version: i16) -> Self {
        let mut request = Self(Vec::new());
        // The third is the correlation id: there is one request on each connection. No client id.
        request.int16(key).int16(version).int32(1).int16(-1);
        request
    }

    fn int8(&mut self, value: i8) -> &mut Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    fn int16(&mut self, value: i16) -> &mut Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    fn int32(&mut self, value: i32) -> &mut Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    fn text(&mut self, text: &str) -> Result<&mut Self> {
        self.int16(i16::try_from(text.len()).context("so long a text")?);
        self.0.extend(text.as_bytes());
        Ok(self)
    }

    /// Gives what follows the correlation id of the answer.
    fn send(&self, port: u16) -> Result<Vec<u8>> {
        let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        connection.set_read_timeout(Some(LIMIT))?;
        connection.set_write_timeout(Some(LIMIT))?;
        let mut message = i32::try_from(self.0.len())?.to_be_bytes().to_vec();
        message.extend(&self.0);
        connection.write_all(&message)?;
        let mut length = [0; 4];
        connection.read_exact(&mut length)?;
        let length = usize::try_from(i32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if !(4..=ANSWER_BYTES).contains(&length) {
            bail!("what listens on port {port} is not Kafka");
        }
        let mut answer = vec![0; length];
        connection.read_exact(&mut answer)?;
        Ok(answer.split_off(4))
    }
}

/// The rest of an answer.
struct Answer<'a>(&'a [u8]);

impl<'a> Answer<'a> {
    fn take(&mut self, bytes: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(bytes).context("Kafka's answer breaks off")?;
        self.0 = rest;
        Ok(taken)
    }

    fn int8(&mut self) -> Result<i8> {
        Ok(i8::from_be_bytes(self.take(1)?.try_into()?))
    }

    fn int16(&mut self) -> Result<i16> {
        Ok(i16::from_be_bytes(self.take(2)?.try_into()?))
    }

    fn int32(&mut self) -> Result<i32> {
        Ok(i32::from_be_bytes(self.take(4)?.try_into()?))
    }

    /// The length of an array; null is empty.
    fn count(&mut self) -> Result<usize> {
        Ok(usize::try_from(self.int32()?).unwrap_or(0))
    }

    /// A text; null is empty.
    fn text(&mut self) -> Result<String> {
        let length = usize::try_from(self.int16()?).unwrap_or(0);
        Ok(String::from_utf8_lossy(self.take(length)?).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_to_its_end_and_a_broken_one_refused() {
        let mut bytes = Request(Vec::new());
        bytes.int32(0).int32(1).int32(1).text("127.0.0.1").unwrap().int32(9092).int16(-1);
        bytes.text("the cluster").unwrap().int32(1);
        bytes.int32(1).int16(0).text("oms-events").unwrap().int8(0);
        bytes.int32(1).int16(0).int32(0).int32(1).int32(1).int32(1).int32(1).int32(1);
        let mut answer = Answer(&bytes.0);
        let metadata = read_metadata(&mut answer).unwrap();
        let topics = vec![("oms-events".to_owned(), 1)];
        assert_eq!(metadata, Metadata { cluster: "the cluster".to_owned(), brokers: 1, topics });
        assert!(answer.0.is_empty());
        assert!(read_metadata(&mut Answer(bytes.0.get(..40).unwrap())).is_err());
    }
}
