//! Just enough reading of HTML to say that ours is well formed, and what is in it.

/// Elements that have no end (HTML, section 13.1.2).
const VOID: &[&str] = &["meta", "link", "input", "br", "hr", "img"];

/// Every element is ended where it stands, every attribute quoted; nothing is styled or scripted in place. Answers with what
/// has an id, each of which there is once.
pub fn assert_well_formed(page: &str) -> Vec<String> {
    let mut rest = page.strip_prefix("<!DOCTYPE html>").unwrap_or_else(|| panic!("no doctype: {page}"));
    let (mut open, mut ids) = (Vec::new(), Vec::new());
    while let Some((text, behind)) = rest.split_once('<') {
        assert!(!text.contains('>'), "{text}");
        let (tag, behind) = behind.split_once('>').unwrap_or_else(|| panic!("not ended: {behind}"));
        rest = behind;
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name), "in {page}");
            continue;
        }
        let (name, mut attributes) = tag.split_once(' ').unwrap_or((tag, ""));
        while let Some((attribute, behind)) = attributes.split_once("=\"") {
            let name = attribute.rsplit(' ').next().unwrap();
            let (value, behind) = behind.split_once('"').unwrap_or_else(|| panic!("not quoted: {tag}"));
            assert!(name != "style" && !name.starts_with("on"), "{tag}");
            if name == "id" {
                assert!(!ids.contains(&value.to_owned()), "twice: {value}");
                ids.push(value.to_owned());
            }
            attributes = behind;
        }
        assert!(name != "style" && (name != "script" || tag.contains("src=")), "{tag}");
        if !VOID.contains(&name) {
            open.push(name.to_owned());
        }
    }
    assert!(open.is_empty(), "left open: {open:?}");
    ids
}

/// Value of the first field of a name.
pub fn value_of(page: &str, field: &str) -> Option<String> {
    let (_, behind) = page.split_once(&format!("name=\"{field}\" value=\""))?;
    Some(behind.split_once('"')?.0.to_owned())
}
