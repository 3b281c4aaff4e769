//! The trace that a call belongs to, as W3C Trace Context writes it (<https://www.w3.org/TR/trace-context/>): one id from the
//! caller through log, audit, task and spans. Pure; nothing decides by it.

use std::fmt;

/// A trace, as 32 hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceId(u128);

impl fmt::Display for TraceId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:032x}", self.0)
    }
}

/// A place in a trace, below which what follows belongs. Shown as a `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    trace: TraceId,
    span: u64,
    sampled: bool,
}

impl TraceContext {
    /// A new trace of random bits. Nobody has decided to sample it.
    pub fn of_random(trace: u128, span: u64) -> Self {
        // Zero is no id; that it comes up is as likely as that two ids are the same.
        Self { trace: TraceId(trace.max(1)), span: span.max(1), sampled: false }
    }

    /// `None`: it is none. Of a version that is not known yet it reads what every version has.
    pub fn parse(traceparent: &str) -> Option<Self> {
        let mut parts = traceparent.split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let version = hex(version, 2).filter(|version| *version != 0xff)?;
        if version == 0 && parts.next().is_some() {
            return None;
        }
        let trace = hex(trace, 32).filter(|trace| *trace != 0)?;
        let span = hex(span, 16).and_then(|span| u64::try_from(span).ok()).filter(|span| *span != 0)?;
        let flags = hex(flags, 2)?;
        Some(Self { trace: TraceId(trace), span, sampled: flags & 1 == 1 })
    }

    pub const fn trace_id(self) -> TraceId {
        self.trace
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "00-{}-{:016x}-{:02x}", self.trace, self.span, u8::from(self.sampled))
    }
}

/// Exactly so many digits, lower case as the standard wants them.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let lower = |digit: u8| digit.is_ascii_digit() || (b'a'..=b'f').contains(&digit);
    let right = text.len() == digits && text.bytes().all(lower);
    right.then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    #[test]
    fn a_traceparent_is_read_and_written_as_it_was() {
        for flags in ["00", "01"] {
            let text = format!("00-{TRACE}-00f067aa0ba902b7-{flags}");
            let read = TraceContext::parse(&text).unwrap();
            assert_eq!((read.to_string(), read.trace_id().to_string()), (text, TRACE.to_owned()));
        }
        // Of a later version what is known counts.
        let later = TraceContext::parse(&format!("cc-{TRACE}-00f067aa0ba902b7-09-what")).unwrap();
        assert_eq!(later.to_string(), format!("00-{TRACE}-00f067aa0ba902b7-01"));
    }

    #[test]
    fn what_is_no_traceparent_is_none() {
        let zero = "0".repeat(32);
        for text in [
            String::new(),
            TRACE.to_owned(),
            format!("00-{TRACE}-00f067aa0ba902b7"),
            format!("ff-{TRACE}-00f067aa0ba902b7-01"),
            format!("00-{TRACE}-00f067aa0ba902b7-01-more"),
            format!("00-{zero}-00f067aa0ba902b7-01"),
            format!("00-{TRACE}-0000000000000000-01"),
            format!("00-{}-00f067aa0ba902b7-01", TRACE.to_uppercase()),
            format!("00-{TRACE}-00f067aa0ba902b7-1"),
            format!("00-{TRACE}-+0f067aa0ba902b7-01"),
            format!(" 00-{TRACE}-00f067aa0ba902b7-01"),
            format!("00-{}é-00f067aa0ba902b7-01", &TRACE[2..]),
        ] {
            assert_eq!(TraceContext::parse(&text), None, "{text}");
        }
    }

    #[test]
    fn a_new_trace_is_one_that_can_be_read() {
        for (trace, span) in [(0, 0), (u128::MAX, u64::MAX), (1 << 127, 7)] {
            let new = TraceContext::of_random(trace, span);
            assert_eq!(TraceContext::parse(&new.to_string()), Some(new));
        }
    }
}
