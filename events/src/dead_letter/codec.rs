//! Dead letters written within the limit of a message, and decoded.

use std::{
    collections::BTreeMap,
    io::{self, Read, Write},
};

use base64::{DecodeError, Engine, prelude::BASE64_STANDARD};
use flate2::{Compression, read::MultiGzDecoder, write::GzEncoder};
use serde_json::Error;

use super::{DeadLetter, Encoding};

/// The most characters of a reason: it may quote the record.
const MAX_REASON: usize = 1_000;

/// The most bytes that a compressed value may become: far more than Kafka takes, and less than would hurt.
const MAX_VALUE: u64 = 64 << 20;

/// A record that can never pass.
#[derive(Debug, Clone, Copy)]
pub struct DeadRecord<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The partition of the topic.
    pub partition: i32,
    /// The place in the partition.
    pub offset: i64,
    /// When it was written, in milliseconds since 1970.
    pub timestamp: Option<i64>,
    /// Why it can never pass. What is longer than a thousand characters is cut.
    pub reason: &'a str,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its value.
    pub value: Option<&'a [u8]>,
    /// Its headers in order; the first of each name is kept.
    pub headers: &'a [(String, Vec<u8>)],
}

/// Why a part of a dead letter can't be decoded.
#[derive(Debug, thiserror::Error)]
pub enum Undecodable {
    /// It was never written.
    #[error("its value was too large for the queue; read the record in the topic")]
    Omitted,
    /// The letter says how its value is written, and has none.
    #[error("its value is missing")]
    Missing,
    /// It is not Base64.
    #[error("malformed base64: {0}")]
    Base64(#[from] DecodeError),
    /// It is not compressed, or too large.
    #[error("malformed gzip: {0}")]
    Gzip(io::Error),
}

impl DeadRecord<'_> {
    /// The dead letter as JSON, with as much of the record as `max_bytes` take: where the record stands tells the rest.
    ///
    /// # Errors
    ///
    /// None that a record could cause.
    pub fn to_message(&self, max_bytes: usize) -> Result<String, Error> {
        let mut letter = self.letter();
        let mut message = json(&letter)?;
        if message.len() > max_bytes && letter.value.is_some() {
            letter.value = Some(BASE64_STANDARD.encode(compressed(self.value.unwrap_or_default()).map_err(Error::io)?));
            letter.encoding = Encoding::Gzip;
            message = json(&letter)?;
        }
        if message.len() > max_bytes && letter.value.is_some() {
            (letter.value, letter.encoding) = (None, Encoding::Omitted);
            message = json(&letter)?;
        }
        if message.len() > max_bytes {
            letter.headers.clear();
            letter.key = None;
            message = json(&letter)?;
        }
        Ok(message)
    }

    fn letter(&self) -> DeadLetter {
        let (value, encoding) = match self.value {
            None => (None, Encoding::None),
            Some(value) => match str::from_utf8(value) {
                Ok(text) => (Some(text.to_owned()), Encoding::Utf8),
                Err(_) => (Some(BASE64_STANDARD.encode(value)), Encoding::Base64),
            },
        };
        let mut headers = BTreeMap::new();
        for (name, value) in self.headers {
            headers.entry(name.clone()).or_insert_with(|| BASE64_STANDARD.encode(value));
        }
        DeadLetter {
            topic: self.topic.to_owned(),
            partition: self.partition,
            offset: self.offset,
            timestamp: self.timestamp,
            reason: self.reason.chars().take(MAX_REASON).collect(),
            key: self.key.and_then(|key| str::from_utf8(key).ok()).map(str::to_owned),
            value,
            encoding,
            headers,
        }
    }
}

impl DeadLetter {
    /// The bytes of the record's value; none when it had none.
    ///
    /// # Errors
    ///
    /// The value was too large to keep, or somebody has spoiled the letter.
    pub fn decoded_value(&self) -> Result<Option<Vec<u8>>, Undecodable> {
        let value = || self.value.as_deref().ok_or(Undecodable::Missing);
        match self.encoding {
            Encoding::None => Ok(None),
            Encoding::Omitted => Err(Undecodable::Omitted),
            Encoding::Utf8 => Ok(Some(value()?.as_bytes().to_vec())),
            Encoding::Base64 => Ok(Some(BASE64_STANDARD.decode(value()?)?)),
            Encoding::Gzip => decompressed(&BASE64_STANDARD.decode(value()?)?).map(Some).map_err(Undecodable::Gzip),
        }
    }

    /// The record's headers by name.
    ///
    /// # Errors
    ///
    /// Somebody has spoiled the letter.
    pub fn decoded_headers(&self) -> Result<Vec<(String, Vec<u8>)>, Undecodable> {
        self.headers.iter().map(|(name, value)| Ok((name.clone(), BASE64_STANDARD.decode(value)?))).collect()
    }
}

/// SQS refuses two characters that JSON allows. A letter that is refused would come back for ever.
fn json(letter: &DeadLetter) -> Result<String, Error> {
    Ok(serde_json::to_string(letter)?.replace('\u{fffe}', "\\ufffe").replace('\u{ffff}', "\\uffff"))
}

fn compressed(value: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(value)?;
    encoder.finish()
}

fn decompressed(compressed: &[u8]) -> io::Result<Vec<u8>> {
    let mut value = Vec::new();
    let mut decoder = MultiGzDecoder::new(compressed).take(MAX_VALUE);
    decoder.read_to_end(&mut value)?;
    if decoder.limit() == 0 { Err(io::Error::other("it is too large")) } else { Ok(value) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What SQS takes.
    const LIMIT: usize = 262_144;

    fn record<'a>(value: Option<&'a [u8]>, headers: &'a [(String, Vec<u8>)]) -> DeadRecord<'a> {
        let (topic, reason, key) = ("oms-events", "too large", Some("key\u{ffff}".as_bytes()));
        DeadRecord { topic, partition: 3, offset: 15, timestamp: None, reason, key, value, headers }
    }

    fn read(record: &DeadRecord<'_>) -> DeadLetter {
        let message = record.to_message(LIMIT).unwrap();
        assert!(message.len() <= LIMIT && !message.contains(['\u{fffe}', '\u{ffff}']), "SQS takes it");
        serde_json::from_str(&message).unwrap()
    }

    /// Bytes that nothing compresses, below a bound.
    fn noise(count: usize, bound: u64) -> Vec<u8> {
        let mut state = 1_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            u8::try_from((state >> 33) % bound).unwrap()
        };
        (0..count).map(|_| next()).collect()
    }

    #[test]
    fn a_value_comes_back_as_it_was_whatever_it_is() {
        let headers = [("event-type".to_owned(), b"X".to_vec()), ("event-type".to_owned(), b"Y".to_vec())];
        let quotes = json!({ "description": "\"".repeat(122_860) }).to_string();
        let printable: String = noise(220_000, 95).into_iter().map(|byte| char::from(b' ' + byte)).collect();
        let printable = json!({ "description": printable }).to_string();
        for (value, encoding) in [
            (None, Encoding::None),
            (Some(&b""[..]), Encoding::Utf8),
            (Some("{\"a\":\"\u{fffe}\u{1}\"}".as_bytes()), Encoding::Utf8),
            (Some(b"\xff"), Encoding::Base64),
            (Some(&vec![0xff; 245_760]), Encoding::Gzip),
            (Some(quotes.as_bytes()), Encoding::Gzip),
            (Some(printable.as_bytes()), Encoding::Utf8),
        ] {
            let letter = read(&record(value, &headers));
            assert_eq!(letter.encoding, encoding);
            assert!(letter.decoded_value().unwrap().as_deref() == value, "{encoding:?}");
            assert_eq!(letter.decoded_headers().unwrap(), headers[..1]);
            assert_eq!(letter.key.as_deref(), Some("key\u{ffff}"));
        }
    }

    #[test]
    fn a_letter_that_is_too_large_says_where_the_record_is() {
        let value = noise(300_000, 256);
        let headers = [("event-type".to_owned(), b"X".to_vec())];
        let letter = read(&record(Some(&value), &headers));
        let expected = json!({
            "topic": "oms-events", "partition": 3, "offset": 15, "timestamp": null, "reason": "too large",
            "key": "key\u{ffff}", "value": null, "encoding": "omitted", "headers": { "event-type": "WA==" },
        });
        assert_eq!(serde_json::to_value(&letter).unwrap(), expected);
        assert!(matches!(letter.decoded_value(), Err(Undecodable::Omitted)));
        let headers = [("event-type".to_owned(), vec![0; 200_000])];
        let letter = read(&record(Some(&value), &headers));
        assert_eq!((letter.headers.len(), letter.key, letter.offset), (0, None, 15));
    }

    #[test]
    fn a_spoiled_letter_is_an_error() {
        let mut letter = read(&record(Some(&[0xff; 300_000]), &[]));
        let whole = letter.value.take();
        assert!(matches!(letter.decoded_value(), Err(Undecodable::Missing)));
        letter.value = Some("%".to_owned());
        assert!(matches!(letter.decoded_value(), Err(Undecodable::Base64(_))));
        letter.value = whole.map(|text| text[..text.len() / 8 * 4].to_owned());
        assert!(matches!(letter.decoded_value(), Err(Undecodable::Gzip(_))));
        let without_encoding = json!({ "topic": "t", "partition": 0, "offset": 0, "reason": "", "value": "" });
        assert!(serde_json::from_value::<DeadLetter>(without_encoding).is_err());
    }
}
