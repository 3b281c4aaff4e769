//! YAML of what is also written as JSON: one value a line, the same keys in the same order. By hand, because all that is written
//! may reach a terminal: crates leave characters alone that act on one. Pure.

use serde_json::Value;

use crate::domain::printable::is_invisible;

/// Words that YAML 1.1 or 1.2 reads as something else than a text.
const RESERVED: [&str; 9] = ["null", "true", "false", "yes", "no", "on", "off", "y", "n"];

/// A document in block style, without a line break at its end.
pub fn document(value: &Value) -> String {
    block(value).join("\n")
}

fn block(value: &Value) -> Vec<String> {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            fields.iter().flat_map(|(key, value)| field(key, value)).collect()
        }
        Value::Array(items) if !items.is_empty() => items.iter().flat_map(item).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
            vec![flow(value)]
        }
    }
}

fn field(key: &str, value: &Value) -> Vec<String> {
    let key = text(key);
    if !is_block(value) {
        return vec![format!("{key}: {}", flow(value))];
    }
    let inner = block(value).into_iter().map(|line| format!("  {line}"));
    std::iter::once(format!("{key}:")).chain(inner).collect()
}

fn item(value: &Value) -> Vec<String> {
    let lines = block(value).into_iter().enumerate();
    lines.map(|(number, line)| format!("{} {line}", if number == 0 { "-" } else { " " })).collect()
}

/// Whether a value takes lines of its own.
fn is_block(value: &Value) -> bool {
    match value {
        Value::Object(fields) => !fields.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// A value that fits behind its key.
fn flow(value: &Value) -> String {
    match value {
        Value::String(string) => text(string),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

/// Plain where nobody can take it for anything else, otherwise in double quotes, whose escapes are those of JSON.
fn text(string: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "_-./ ".contains(letter);
    let begins = string.starts_with(|first: char| first.is_ascii_alphabetic());
    let reserved = RESERVED.contains(&string.to_ascii_lowercase().as_str());
    if begins && string.chars().all(plain) && !string.ends_with(' ') && !reserved {
        return string.to_owned();
    }
    let mut quoted = String::with_capacity(string.len() + 2);
    quoted.push('"');
    for letter in string.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            letter if is_invisible(letter) => quoted.push_str(&format!("\\U{:08x}", u32::from(letter))),
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Strategy, any, prop};
    use proptest::proptest;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_list_reads_as_people_write_it() {
        let list = json!({
            "more": false,
            "tasks": [
                { "id": 7, "name": "Stop OB server", "server": { "address": "10.0.0.2:2882" }, "subtasks": [[1], {}] },
                { "id": 8, "name": "no", "reason": "Wartung\u{202e}", "subtasks": [] }
            ]
        });
        let lines = [
            "more: false",
            "tasks:",
            "  - id: 7",
            "    name: Stop OB server",
            "    server:",
            "      address: \"10.0.0.2:2882\"",
            "    subtasks:",
            "      - - 1",
            "      - {}",
            "  - id: 8",
            "    name: \"no\"",
            "    reason: \"Wartung\\U0000202e\"",
            "    subtasks: []",
        ];
        assert_eq!(document(&list), lines.join("\n"));
    }

    fn values() -> impl Strategy<Value = Value> {
        let texts =
            prop::sample::select(&["~", "on", "- a", "a: b", "#", "1e3", "0x1", "", " ", "\u{85}\u{e0041}"][..]);
        let leaf = proptest::prop_oneof![
            any::<String>().prop_map(Value::from),
            texts.prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<Option<bool>>().prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            proptest::prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(any::<String>(), inner, 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn another_program_reads_the_same_value(value in values()) {
            let yaml = document(&value);
            assert!(yaml.chars().all(|letter| letter == '\n' || !is_invisible(letter)), "{yaml:?}");
            assert_eq!(serde_yaml_ng::from_str::<Value>(&yaml).unwrap(), value, "{yaml}");
        }
    }
}
