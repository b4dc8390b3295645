//! The W3C trace context of a request (`traceparent`), with or without OpenTelemetry.

use std::fmt;

use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;
use uuid::Uuid;

/// A valid `traceparent`: which trace, which span of it, and whether it is sampled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceParent {
    /// The trace, never all zeros.
    pub trace_id: [u8; 16],
    /// The span, never all zeros.
    pub span_id: [u8; 8],
    /// Whether the caller records the trace.
    pub sampled: bool,
}

impl TraceParent {
    /// Reads the header; anything invalid counts as absent, as the recommendation has it.
    pub fn parse(text: &str) -> Option<Self> {
        let mut fields = text.split('-');
        let version = hex::<1>(fields.next()?)?;
        let trace_id = hex::<16>(fields.next()?)?;
        let span_id = hex::<8>(fields.next()?)?;
        let flags = hex::<1>(fields.next()?)?;
        // Version ff is forbidden; later versions may have more fields, version 00 has exactly these.
        if version == [0xff] || (version == [0] && fields.next().is_some()) || trace_id == [0; 16] || span_id == [0; 8]
        {
            return None;
        }
        Some(Self { trace_id, span_id, sampled: flags[0] & 1 == 1 })
    }

    /// Reads the header of X-Ray, such as `Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1`. What
    /// has no parent yet, as it comes from a load balancer, is none.
    pub fn from_xray(text: &str) -> Option<Self> {
        let field = |name| text.split(';').find_map(|field| field.trim().strip_prefix(name)?.strip_prefix('='));
        let (time, unique) = field("Root")?.strip_prefix("1-")?.split_once('-')?;
        let (time, unique, span_id) = (hex::<4>(time)?, hex::<12>(unique)?, hex::<8>(field("Parent")?)?);
        let mut trace_id = [0; 16];
        trace_id[..4].copy_from_slice(&time);
        trace_id[4..].copy_from_slice(&unique);
        let valid = trace_id != [0; 16] && span_id != [0; 8];
        valid.then_some(Self { trace_id, span_id, sampled: field("Sampled") == Some("1") })
    }

    /// A new trace. It is marked as sampled, so that services further on decide for themselves instead of dropping it.
    pub fn generate() -> Self {
        let [_, _, _, _, _, _, _, _, span_id @ ..] = Uuid::new_v4().into_bytes();
        Self { trace_id: Uuid::new_v4().into_bytes(), span_id, sampled: true }
    }

    /// Makes the span a child of this one.
    pub(crate) fn adopt(&self, span: &Span, state: TraceState) {
        let remote = SpanContext::new(
            TraceId::from_bytes(self.trace_id),
            SpanId::from_bytes(self.span_id),
            TraceFlags::default().with_sampled(self.sampled),
            true,
            state,
        );
        // It fails when spans are not exported, and then there is nobody to tell.
        let _ = span.set_parent(opentelemetry::Context::new().with_remote_span_context(remote));
    }

    /// The trace id as 32 hexadecimal digits.
    pub fn trace_id_hex(&self) -> String {
        format!("{:032x}", u128::from_be_bytes(self.trace_id))
    }
}

/// The span of an invocation that is no request, in the trace that X-Ray began; `header` is what the Lambda runtime has of it.
pub fn invocation_span(header: Option<&str>) -> Span {
    let span = tracing::info_span!("invocation");
    if let Some(parent) = header.and_then(TraceParent::from_xray) {
        parent.adopt(&span, TraceState::default());
    }
    span
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (trace, span) = (u128::from_be_bytes(self.trace_id), u64::from_be_bytes(self.span_id));
        write!(f, "00-{trace:032x}-{span:016x}-{:02x}", u8::from(self.sampled))
    }
}

/// Exactly `N` bytes in lower-case hexadecimal.
fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N || !text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
        return None;
    }
    let mut bytes = [0; N];
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_valid_one_comes_through_unchanged() {
        let parent = TraceParent::parse(VALID).unwrap();
        assert_eq!(parent.to_string(), VALID);
        assert_eq!(parent.trace_id_hex(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert!(!TraceParent::parse(&VALID.replace("-01", "-00")).unwrap().sampled);
    }

    #[test]
    fn a_later_version_may_have_more_fields() {
        let later = format!("cc{}-what-comes", &VALID[2..]);
        assert_eq!(TraceParent::parse(&later).unwrap().to_string(), VALID);
    }

    #[test]
    fn invalid_ones_count_as_absent() {
        for text in [
            "",
            "00",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
            "00-4bf92f3577b34da6a3ce929d0e0e473é-00f067aa0ba902b7-01",
        ] {
            assert_eq!(TraceParent::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_header_of_x_ray_is_the_same_in_other_words() {
        const XRAY: &str = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";
        let w3c = "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01";
        assert_eq!(TraceParent::from_xray(XRAY).unwrap().to_string(), w3c);
        let more = format!("Self=1-67891234-12456789abcdef012345678; {};Lineage=1:a87bd80c:0", XRAY.replace(';', "; "));
        assert_eq!(TraceParent::from_xray(&more).unwrap().to_string(), w3c);
        assert!(!TraceParent::from_xray(&XRAY.replace("Sampled=1", "Sampled=0")).unwrap().sampled);
        for text in [
            "",
            "Root=1-5759e988-bd862e3fe1be46a994272793",
            "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=0000000000000000;Sampled=1",
            "Root=2-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8",
            "Root=1-5759e988;Parent=53995c3f42cd8ad8",
        ] {
            assert_eq!(TraceParent::from_xray(text), None, "{text}");
        }
    }

    #[test]
    fn generated_ones_are_valid_and_differ() {
        let (one, other) = (TraceParent::generate(), TraceParent::generate());
        assert_eq!(TraceParent::parse(&one.to_string()), Some(one));
        assert_ne!(one.trace_id, other.trace_id);
        assert_ne!(one.span_id, other.span_id);
    }
}
