//! Patterns for the names of nodes and topics.
//!
//! | | stands for |
//! |---|---|
//! | `?` | one character |
//! | `*` | any number of characters |
//! | `[abc]`, `[a-c]`, `[!abc]` | one of these, or none of these |
//! | `**`, as a whole part between slashes | any number of parts; at the end, one at least |
//!
//! None of them but `**` stands for a slash. All else stands for itself, upper and lower case apart, as in names. A pattern that no
//! name can fit is refused. The time is at most the product of the lengths of pattern and name, whatever they are.

/// A pattern.
#[derive(Debug)]
pub struct Pattern {
    /// Whether it begins with `**`: only then does it fit names that do not begin with a slash.
    begins_anywhere: bool,
    parts: Vec<Part>,
}

/// What stands between two slashes.
#[derive(Debug)]
enum Part {
    AnyParts,
    One(Vec<Piece>),
}

#[derive(Debug)]
enum Piece {
    Any,
    One,
    Char(char),
    /// One from these ranges, or from none of them.
    From {
        ranges: Vec<(char, char)>,
        none: bool,
    },
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(text: &str) -> Result<Self, String> {
        let begins_anywhere = text == "**" || text.starts_with("**/");
        let rest = match text.strip_prefix('/') {
            Some(rest) => rest,
            None if begins_anywhere => text,
            None => {
                let name = text.trim_start_matches(['*', '~', '/']);
                return Err(format!("names begin with '/': '/{name}', or '/**/{name}' in any namespace"));
            }
        };
        let mut parts = rest.split('/').map(Part::new).collect::<Result<Vec<_>, _>>()?;
        if let Some(Part::AnyParts) = parts.last() {
            parts.push(Part::One(vec![Piece::Any]));
        }
        Ok(Self { begins_anywhere, parts })
    }

    /// Whether a name looks like this.
    pub fn fits(&self, name: &str) -> bool {
        let rest = match name.strip_prefix('/') {
            Some(rest) => rest,
            None if self.begins_anywhere => name,
            None => return false,
        };
        let parts: Vec<&str> = rest.split('/').collect();
        fits(&self.parts, &parts, |part| matches!(part, Part::AnyParts), |part, text| part.fits(text))
    }
}

impl Part {
    fn new(text: &str) -> Result<Self, String> {
        if text == "**" {
            return Ok(Self::AnyParts);
        }
        if text.is_empty() {
            return Err("no name has two slashes in a row, or one at its end".to_owned());
        }
        if text.contains("**") {
            return Err("'**' has to be a whole part between slashes".to_owned());
        }
        let mut pieces = Vec::new();
        let mut rest = text.chars();
        while let Some(c) = rest.next() {
            pieces.push(match c {
                '*' => Piece::Any,
                '?' => Piece::One,
                '[' => {
                    let (set, behind) = rest.as_str().split_once(']').ok_or("'[' without ']'")?;
                    rest = behind.chars();
                    Piece::set(set)?
                }
                c => Piece::Char(c),
            });
        }
        Ok(Self::One(pieces))
    }

    fn fits(&self, text: &str) -> bool {
        let Self::One(pieces) = self else { return false };
        let text: Vec<char> = text.chars().collect();
        fits(pieces, &text, |piece| matches!(piece, Piece::Any), Piece::fits)
    }
}

impl Piece {
    fn set(text: &str) -> Result<Self, String> {
        let (none, text) = text.strip_prefix('!').map_or((false, text), |text| (true, text));
        let mut ranges = Vec::new();
        let mut rest = text.chars();
        while let Some(first) = rest.next() {
            let last = rest.as_str().strip_prefix('-').and_then(|behind| behind.chars().next());
            if last.is_some() {
                rest.by_ref().take(2).for_each(drop);
            }
            ranges.push((first, last.unwrap_or(first)));
        }
        if ranges.is_empty() {
            return Err("'[]' is none of all characters".to_owned());
        }
        Ok(Self::From { ranges, none })
    }

    fn fits(&self, c: &char) -> bool {
        match self {
            Self::Any => false,
            Self::One => true,
            Self::Char(own) => own == c,
            Self::From { ranges, none } => ranges.iter().any(|(first, last)| (first..=last).contains(&c)) != *none,
        }
    }
}

/// Whether items look like a pattern, of which some steps (`is_any`) stand for any number of items and the others for one that
/// they fit. Goes back to the last of the former only, which is enough.
fn fits<P, T>(pattern: &[P], items: &[T], is_any: impl Fn(&P) -> bool, fits: impl Fn(&P, &T) -> bool) -> bool {
    let (mut step, mut at) = (0, 0);
    let mut back = None;
    while let Some(item) = items.get(at) {
        match (pattern.get(step), back) {
            (Some(any), _) if is_any(any) => {
                step += 1;
                back = Some((step, at));
            }
            (Some(one), _) if fits(one, item) => (step, at) = (step + 1, at + 1),
            (_, Some((after, from))) => {
                (step, at) = (after, from + 1);
                back = Some((after, from + 1));
            }
            (_, None) => return false,
        }
    }
    pattern.get(step..).is_some_and(|rest| rest.iter().all(is_any))
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
            ("/a[]b", "none"),
            ("/a[!]b", "none"),
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
