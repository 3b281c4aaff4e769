//! The version of a server, as far as rules depend on it.

/// The first three numbers of `BUILD_VERSION`, for example `4.2.5.3_103000092025031120-b4e5…(Mar 11 2025 20:36:02)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BuildVersion([u32; 3]);

impl BuildVersion {
    /// `None`: it does not begin with three numbers.
    pub fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split(['_', '-', ' ']).next()?.split('.').map(|number| number.parse().ok());
        Some(Self([numbers.next()??, numbers.next()??, numbers.next()??]))
    }

    /// Whether START SERVER asks the server itself, and fails when its process is gone: from 4.2.5 and from 4.3.2 on
    /// (docs/oceanbase.md#start-server-asks-the-target).
    pub fn start_asks_the_server(self) -> bool {
        let Self([major, minor, _]) = self;
        let since = if (major, minor) == (4, 2) { Self([4, 2, 5]) } else { Self([4, 3, 2]) };
        self >= since
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_server_asks_the_server_from_two_versions_on() {
        let rows = [
            ("3.1.5", false),
            ("4.1.0.2", false),
            ("4.2.1.8_108000022024072217-b4e5(Jul 22 2024 17:36:02)", false),
            ("4.2.4.0", false),
            ("4.2.5.0", true),
            ("4.2.5.3_103000092025031120-b4e5(Mar 11 2025 20:36:02)", true),
            ("4.3.0.1", false),
            ("4.3.1.0", false),
            ("4.3.2.0", true),
            ("4.3.5.1", true),
            ("4.4.0.0", true),
            ("5.0.0", true),
        ];
        for (text, expected) in rows {
            assert_eq!(BuildVersion::parse(text).unwrap().start_asks_the_server(), expected, "{text}");
        }
        for text in ["", "4", "4.2", "x.2.5", "4.2.x"] {
            assert_eq!(BuildVersion::parse(text), None, "{text}");
        }
    }
}
