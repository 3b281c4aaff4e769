//! Names with values: of a query, and of a form. Pure.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::domain::ids::{ClusterId, InvalidName, ServerId, SubtaskId, TaskId};
use crate::domain::refusal::Refusal;

/// What stands for itself in a query.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'/');

/// In the order in which they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(Vec<(String, String)>);

impl Fields {
    /// As forms are encoded. What is not UTF-8 is as good as not given.
    pub fn read(encoded: &str) -> Self {
        let pairs = encoded.split('&').filter(|pair| !pair.is_empty()).filter_map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decoded(name)?, decoded(value)?))
        });
        Self(pairs.collect())
    }

    pub fn of(pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(pairs.into_iter().collect())
    }

    /// Without blanks around it; `None`: it is not given, or empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        let named = self.0.iter().filter(|(given, _)| given == name);
        named.map(|(_, value)| value.trim()).find(|value| !value.is_empty())
    }

    /// Every value that is not empty.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let named = self.0.iter().filter(move |(given, _)| given == name);
        named.map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
    }

    /// Exactly as it was given.
    pub fn exact(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// A value of some type; what is given and is none is refused.
    pub fn parsed<T: std::str::FromStr>(&self, name: &str, wanted: &str) -> Result<Option<T>, Refusal> {
        let given = self.get(name).map(|value| {
            value.parse().map_err(|_| Refusal::field(name, format!("{:?} is not {wanted}", shortened(value))))
        });
        given.transpose()
    }

    pub fn cluster(&self, name: &str) -> Result<ClusterId, Refusal> {
        self.id(name, ClusterId::new)
    }

    pub fn server(&self, name: &str) -> Result<ServerId, Refusal> {
        self.id(name, ServerId::new)
    }

    pub fn task(&self, name: &str) -> Result<TaskId, Refusal> {
        self.id(name, TaskId::new)
    }

    pub fn subtask(&self, name: &str) -> Result<SubtaskId, Refusal> {
        self.id(name, SubtaskId::new)
    }

    fn id<T>(&self, name: &str, new: impl Fn(i64) -> Result<T, InvalidName>) -> Result<T, Refusal> {
        let given = self.get(name).unwrap_or_default();
        let id = given.parse::<i64>().ok().and_then(|number| new(number).ok());
        id.ok_or_else(|| Refusal::field(name, format!("{:?} is not an id (1 to 9007199254740991)", shortened(given))))
    }
}

/// As a value of a query.
pub fn encoded(value: &str) -> String {
    utf8_percent_encode(value, QUERY).to_string()
}

fn decoded(text: &str) -> Option<String> {
    let text = text.replace('+', " ");
    percent_decode_str(&text).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

/// As much of a text as an error repeats.
fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_as_forms_are_encoded() {
        let fields = Fields::read("a=1+2&b=%E9%9B%86&a=3&c&d=%FF&e=+");
        assert_eq!((fields.get("a"), fields.get("b"), fields.get("c")), (Some("1 2"), Some("集"), None));
        assert_eq!((fields.get("d"), fields.get("e"), fields.exact("e")), (None, None, Some(" ")));
        assert_eq!(fields.all("a").collect::<Vec<_>>(), ["1 2", "3"]);
        assert_eq!(encoded("/tasks?a=b&c"), "/tasks%3Fa%3Db%26c");
        assert_eq!(Fields::read(&format!("next={}", encoded("/a?b=ü+1"))).get("next"), Some("/a?b=ü+1"));
        assert!(fields.parsed::<u32>("b", "a number").is_err() && fields.cluster("b").is_err());
    }
}
