//! Answers of the gateway without what is another in each run, for snapshots.

use serde_json::Value;

/// What stands in the place of a field that is there, however deep.
const FIELDS: &[(&str, &str)] = &[
    ("createTime", "[moment]"),
    ("duration", "[milliseconds]"),
    ("startTime", "[moment]"),
    ("timestamp", "[moment]"),
    ("traceId", "[trace]"),
];

pub fn redacted(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let shown = |(name, value): (&String, &Value)| {
                let other = FIELDS.iter().find(|(field, _)| field == name && !value.is_null());
                (name.clone(), other.map_or_else(|| redacted(value), |(_, shows)| (*shows).into()))
            };
            Value::Object(fields.iter().map(|(name, value)| shown((name, value))).collect())
        }
        Value::Array(values) => Value::Array(values.iter().map(redacted).collect()),
        other => other.clone(),
    }
}
