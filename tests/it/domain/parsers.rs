//! Whatever text comes in, the parsers of names and addresses answer: a value that is written as it is read, or an error. What
//! they accept goes into statements, file names and keys.

use std::fmt::Display;
use std::str::FromStr;

use obsteward::domain::ids::{AccessKeyId, Principal, RoleName, ServerAddr, ZoneName};
use obsteward::domain::permission::Permission;
use proptest::prelude::*;

/// Anything, and texts that are nearly right.
fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[0-9a-fA-F:.\\[\\]%]{0,48}",
        "[0-9]{1,3}(\\.[0-9]{1,3}){3}:[0-9]{1,6}",
        "\\[[0-9a-f:]{2,39}(%[a-z0-9]{1,4})?\\]:[0-9]{1,5}",
        "[a-zA-Z0-9_.'\"; \\\\-]{0,140}",
        "[A-Z*]{1,8}:[0-9*+-]{0,20}:[A-Za-z*]{0,8}",
    ]
}

/// Parses, and when it parses, writes what reads as the same.
fn read_and_written<T: FromStr<Err: Display> + Display + PartialEq + std::fmt::Debug>(text: &str) {
    match text.parse::<T>() {
        Ok(value) => {
            let written = value.to_string();
            assert_eq!(written.parse::<T>().ok(), Some(value), "{text:?} was written as {written:?}");
            let harmless = |letter: char| letter.is_ascii_graphic() && !matches!(letter, '\'' | '"' | '\\' | ';' | '`');
            assert!(written.chars().all(harmless), "{written:?}");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_a_parser_panic_or_a_name_that_does_harm(text in texts()) {
        read_and_written::<ServerAddr>(&text);
        read_and_written::<ZoneName>(&text);
        read_and_written::<Principal>(&text);
        read_and_written::<RoleName>(&text);
        read_and_written::<AccessKeyId>(&text);
        read_and_written::<Permission>(&text);
    }
}
