//! What a repeat by request id is recognised by: a digest of the call and its own arguments, and of nothing else. How the audit
//! log words them does not matter, nor through which face they came. Pure.

use std::fmt::{Display, Write};

use ring::digest::{Context, SHA256};

use crate::domain::call::Call;

/// A digest in the making. Fields come in a fixed order. One that is not given is left out, so that a call which gets a new
/// argument keeps the digests of requests without it.
pub(super) struct RequestDigest(Context);

impl RequestDigest {
    pub fn of(call: Call) -> Self {
        Self(Context::new(&SHA256)).part(call.as_str())
    }

    pub fn field(self, name: &str, value: impl Display) -> Self {
        self.part(name).part(&value.to_string())
    }

    /// With an argument, when it is given.
    pub fn optional(self, name: &str, value: Option<impl Display>) -> Self {
        match value {
            Some(value) => self.field(name, value),
            None => self,
        }
    }

    /// As it is stored: 64 hex digits.
    pub fn finish(self) -> String {
        let mut text = String::with_capacity(64);
        for byte in self.0.finish().as_ref() {
            // Writing to a string does not fail.
            _ = write!(text, "{byte:02x}");
        }
        text
    }

    /// With its length before it: where one part ends is not for its text to say.
    fn part(mut self, text: &str) -> Self {
        let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
        self.0.update(&length.to_be_bytes());
        self.0.update(text.as_bytes());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_of_the_call_and_of_each_argument_by_its_name() {
        let stop = || RequestDigest::of(Call::StopServer);
        let base = stop().field("cluster", 1).field("server", 23).finish();
        assert_eq!(base.len(), 64);
        assert_eq!(base, stop().field("cluster", 1).field("server", 23).optional("later", None::<i64>).finish());
        let others = [
            RequestDigest::of(Call::StartServer).field("cluster", 1).field("server", 23).finish(),
            stop().field("cluster", 12).field("server", 3).finish(),
            stop().field("cluster", 1).field("zone", 23).finish(),
            stop().field("cluster", 1).finish(),
            stop().field("cluster", "1server23").finish(),
            stop().field("cluster", 1).field("server", 23).optional("later", Some(0)).finish(),
        ];
        for (index, other) in others.iter().enumerate() {
            assert!(*other != base && !others[..index].contains(other), "{index}");
        }
    }

    /// Stored by one version and compared by the next: it never changes.
    #[test]
    fn a_digest_stays_the_same() {
        let known = RequestDigest::of(Call::StopServer).field("cluster", 1).field("force", false).finish();
        assert_eq!(known, "99bc66c5b930eed45be2317aa3e3a483e16fbdc5cee84bdc0d0e6b444a62f7f0");
    }
}
