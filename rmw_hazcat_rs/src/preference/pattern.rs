//! Patterns for the names of nodes and topics.
//!
//! | | stands for |
//! |---|---|
//! | `?` | one character |
//! | `*` | any number of characters |
//! | `[abc]`, `[a-c]`, `[!abc]` | one of these, or one that is none of these |
//! | `{abc,xyz}` | one of these |
//! | `**`, as a whole part between slashes | any number of parts; at the end, one at least |
//!
//! None of them but `**` stands for a slash. All else stands for itself, upper and lower case apart, as in names. A pattern that no name
//! can fit is refused. The time to match grows with the length of the name, whatever the pattern.

use globset::{GlobBuilder, GlobMatcher};

/// A pattern.
#[derive(Debug)]
pub struct Pattern(GlobMatcher);

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(text: &str) -> Result<Self, String> {
        let begins_anywhere = text == "**" || text.starts_with("**/");
        if !text.starts_with('/') && !begins_anywhere {
            let name = text.trim_start_matches(['*', '~', '/']);
            return Err(format!("names begin with '/': '/{name}', or '/**/{name}' in any namespace"));
        }
        for part in text.strip_prefix('/').unwrap_or(text).split('/') {
            if part.is_empty() {
                return Err("no name has two slashes in a row, or one at its end".to_owned());
            }
            if part != "**" && part.contains("**") {
                return Err("'**' has to be a whole part between slashes".to_owned());
            }
            let is_open = part.rsplit_once('[').is_some_and(|(_, behind)| !behind.contains(']'));
            if is_open || ["[]", "[!]", "[^]"].iter().any(|empty| part.contains(empty)) {
                return Err("'[' without a character and ']' before the next slash".to_owned());
            }
        }
        // A set of what is not meant would have the slash in it.
        let text = text.replace("[!", "[!/").replace("[^", "[^/");
        let glob = GlobBuilder::new(&text).literal_separator(true).backslash_escape(false).build();
        Ok(Self(glob.map_err(|error| error.kind().to_string())?.compile_matcher()))
    }

    /// Whether a name looks like this.
    pub fn fits(&self, name: &str) -> bool {
        self.0.is_match(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(pattern: &str, name: &str) -> bool {
        Pattern::new(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}")).fits(name)
    }

    #[test]
    fn names_fit_as_they_are_written() {
        for (pattern, name) in [
            ("/camera", "/camera"),
            ("/cam*", "/camera"),
            ("/*", "/camera"),
            ("/c?mer[a-c]", "/camera"),
            ("/[!xyz]amera", "/camera"),
            ("/[a-]_[-a]", "/-_-"),
            ("/*_*_*", "/front_left_camera"),
            ("/**", "/a/b"),
            ("**", "/camera"),
            ("**", "rt/camera"),
            ("**/camera", "/robot/camera"),
            ("**/camera", "rt/camera"),
            ("/**/camera", "/camera"),
            ("/{left,right}/image", "/right/image"),
            ("/a/**/b/**/c", "/a/x/b/b/c"),
            ("/a/**/b", "/a/b"),
            ("/**/x*/y", "/x/x1/y"),
        ] {
            assert!(fits(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("/Camera", "/camera"),
            ("/[A-Z]amera", "/camera"),
            ("/camera", "/camera_2"),
            ("/camera", "/robot/camera"),
            ("/*", "/robot/camera"),
            ("/robot?camera", "/robot/camera"),
            ("/robot[!a]camera", "/robot/camera"),
            ("/robot/**", "/robot"),
            ("/camera", "camera"),
            ("/**/camera", "rt/camera"),
            ("/a*b*c", "/abbc_"),
        ] {
            assert!(!fits(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn what_no_name_can_fit_is_refused() {
        for (pattern, hint) in [
            ("camera", "'/**/camera'"),
            ("*camera", "'/camera'"),
            ("*", "'/'"),
            ("~/image", "'/image'"),
            ("", "begin with"),
            ("/", "slash"),
            ("/camera/", "slash"),
            ("//camera", "slash"),
            ("/**camera", "whole part"),
            ("/***", "whole part"),
            ("/a[b", "without"),
            ("/a[]b", "without"),
            ("/a[!]b", "without"),
            ("/[a/b]", "without"),
        ] {
            let error = Pattern::new(pattern).map(drop).expect_err(pattern);
            assert!(error.contains(hint), "{pattern}: {error}");
        }
    }

    /// With a matcher that tries everything this takes longer than the universe has existed.
    #[test]
    fn no_pattern_takes_long() {
        let (stars, name) = (format!("/**/{}b", "*a".repeat(60)), format!("/{}/x", "a".repeat(250)));
        assert!(!fits(&stars, &name));
        assert!(!fits(&format!("{}/b", "/**/a".repeat(60)), &format!("{}/x", "/a".repeat(120))));
    }
}
