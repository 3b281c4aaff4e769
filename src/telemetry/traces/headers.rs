//! The headers that go with each batch of spans, from a file: they may hold secrets, and nothing of them is shown.

use std::path::Path;

use http::{HeaderMap, HeaderName, HeaderValue};

/// A header a line, `name: value`; lines that are empty or begin with `#` say nothing. `Err`: what is wrong, without what stands there.
pub(super) fn read(path: &Path) -> Result<HeaderMap, String> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| format!("{shown} cannot be read: {error}"))?;
    let said = |line: &str| !line.is_empty() && !line.starts_with('#');
    let mut headers = HeaderMap::new();
    for (number, line) in text.lines().map(str::trim).enumerate().filter(|(_, line)| said(line)) {
        let wrong = || format!("line {} of {shown} is no header, write name: value", number + 1);
        let (name, value) = line.split_once(':').ok_or_else(wrong)?;
        let name: HeaderName = name.trim().parse().map_err(|_| wrong())?;
        let mut value = HeaderValue::from_str(value.trim()).map_err(|_| wrong())?;
        value.set_sensitive(true);
        headers.append(name, value);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_and_never_shown() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("headers");
        std::fs::write(&path, "# of the collector\n\nAuthorization: Bearer s3cret:x\nx-tenant:1\n").unwrap();
        let headers = read(&path).unwrap();
        assert_eq!(headers["authorization"], "Bearer s3cret:x");
        assert_eq!(headers["x-tenant"], "1");
        assert!(!format!("{headers:?}").contains("s3cret"));
        for wrong in ["s3cret", "x-a: 1\na b: s3cret", "a: s3cret\u{7}"] {
            std::fs::write(&path, wrong).unwrap();
            let said = read(&path).unwrap_err();
            assert!(said.contains(&format!("line {}", wrong.lines().count())) && !said.contains("s3cret"), "{said}");
        }
    }
}
