//! JSON that says everything once: where a parser takes the last of two values of a name, another reader of the same request
//! took the first. Pure.

use std::fmt;

use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::api::grpc::fields::shortened;

/// What a document says, and the paths of the names that it gives more than once, for example `hosts[1].port`; each path once.
pub fn read(text: &[u8]) -> Result<(Value, Vec<String>), serde_json::Error> {
    let mut twice = Vec::new();
    let mut parser = serde_json::Deserializer::from_slice(text);
    let value = Once { path: String::new(), twice: &mut twice }.deserialize(&mut parser)?;
    parser.end()?;
    Ok((value, twice))
}

/// A value at a path.
struct Once<'a> {
    path: String,
    twice: &'a mut Vec<String>,
}

impl<'de> DeserializeSeed<'de> for Once<'_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, parser: D) -> Result<Value, D::Error> {
        parser.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Once<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        loop {
            let path = format!("{}[{}]", self.path, list.len());
            match items.next_element_seed(Once { path, twice: &mut *self.twice })? {
                Some(item) => list.push(item),
                None => return Ok(Value::Array(list)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let shown = shortened(&name);
            let path = if self.path.is_empty() { shown } else { format!("{}.{shown}", self.path) };
            if object.contains_key(&name) && !self.twice.contains(&path) {
                self.twice.push(path.clone());
            }
            let value = members.next_value_seed(Once { path, twice: &mut *self.twice })?;
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn twice(text: &str) -> Vec<String> {
        read(text.as_bytes()).unwrap().1
    }

    #[test]
    fn a_name_that_is_given_twice_is_found_at_every_depth() {
        for (text, paths) in [
            (r#"{"force":false,"force":true}"#, vec!["force"]),
            (r#"{"force":true,"\u0066orce":true,"force":null}"#, vec!["force"]),
            (r#"{"a":{"b":1},"c":{"b":2}}"#, vec![]),
            (r#"{"a":{"b":1,"b":1}}"#, vec!["a.b"]),
            (r#"{"a":[{"b":1},{"b":1,"b":[{"c":1,"c":2}]}]}"#, vec!["a[1].b", "a[1].b[0].c"]),
            (r#"[{"x":1,"x":1}]"#, vec!["[0].x"]),
        ] {
            assert_eq!(twice(text), paths, "{text}");
        }
    }

    #[test]
    fn what_is_not_json_is_told_as_by_the_parser() {
        for text in ["{", "{}{}", "", r#"{"a":01}"#, "\u{feff}{}", &"[".repeat(1000)] {
            let (ours, theirs) = (read(text.as_bytes()), serde_json::from_str::<Value>(text));
            assert_eq!(ours.unwrap_err().to_string(), theirs.unwrap_err().to_string(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn it_reads_what_the_parser_reads(text in r#"[\[\]{},:"ab10.e\- tfnul]{0,24}"#) {
            match (read(text.as_bytes()), serde_json::from_str::<Value>(&text)) {
                (Ok((ours, _)), Ok(theirs)) => prop_assert_eq!(ours, theirs),
                (Err(_), Err(_)) => {}
                (ours, theirs) => prop_assert!(false, "{ours:?} {theirs:?}"),
            }
        }
    }
}
