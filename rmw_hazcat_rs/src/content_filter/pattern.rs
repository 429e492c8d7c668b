//! Patterns for texts: `LIKE` and `MATCH`.

use regex_lite::Regex;

/// What a text has to look like.
#[derive(Debug)]
pub(super) enum Pattern {
    Like(Vec<Part>),
    Regex(Regex),
}

/// One step of a `LIKE` pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// This byte.
    Byte(u8),
    /// One character.
    One,
    /// Any characters, or none.
    Any,
}

impl Pattern {
    /// The pattern of a `LIKE`.
    pub(super) fn like(text: &str) -> Self {
        let mut parts = Vec::new();
        let mut bytes = text.bytes();
        while let Some(byte) = bytes.next() {
            let part = match byte {
                b'%' | b'*' => Part::Any,
                b'_' | b'?' => Part::One,
                b'\\' => Part::Byte(bytes.next().unwrap_or(b'\\')),
                _ => Part::Byte(byte),
            };
            // Two of them say no more than one.
            if part != Part::Any || parts.last() != Some(&Part::Any) {
                parts.push(part);
            }
        }
        Self::Like(parts)
    }

    /// The pattern of a `MATCH`.
    pub(super) fn regex(text: &str) -> Result<Self, regex_lite::Error> {
        // By itself first: a text that only makes sense between the parentheses is no expression.
        Regex::new(text)?;
        Ok(Self::Regex(Regex::new(&format!(r"\A(?:{text})\z"))?))
    }

    /// Whether a whole text looks like this. What is not UTF-8 matches no regular expression.
    pub(super) fn matches(&self, text: &[u8]) -> bool {
        match self {
            Self::Like(parts) => like(parts, text),
            Self::Regex(regex) => std::str::from_utf8(text).is_ok_and(|text| regex.is_match(text)),
        }
    }
}

/// Goes back to the last [`Part::Any`] only, which is enough: the time is at most the product of both lengths.
fn like(parts: &[Part], text: &[u8]) -> bool {
    let (mut part, mut at) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    loop {
        let step = match (parts.get(part), text.get(at)) {
            (None, None) => return true,
            (Some(Part::Any), _) => {
                retry = Some((part + 1, at));
                part += 1;
                continue;
            }
            (Some(Part::Byte(expected)), Some(found)) if expected == found => Some(1),
            (Some(Part::One), Some(_)) => Some(character(text, at)),
            _ => None,
        };
        match (step, &mut retry) {
            (Some(length), _) => {
                part += 1;
                at += length;
            }
            (None, Some((after, from))) if *from < text.len() => {
                // A whole character further: the rest of one is none.
                *from += character(text, *from);
                (part, at) = (*after, *from);
            }
            _ => return false,
        }
    }
}

/// Bytes of the UTF-8 character at a place; one where there is none.
fn character(text: &[u8], at: usize) -> usize {
    let rest = text.get(at + 1..).unwrap_or_default();
    match text.get(at) {
        Some(0xc0..) => 1 + rest.iter().take(3).take_while(|byte| *byte & 0xc0 == 0x80).count(),
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    #[test]
    fn like_is_about_the_whole_text() {
        let table = [
            ("", "", true),
            ("", "a", false),
            ("%", "", true),
            ("%", "anything", true),
            ("abc", "abc", true),
            ("abc", "abcd", false),
            ("abc", "ABC", false),
            ("a%", "abc", true),
            ("%c", "abc", true),
            ("%b%", "abc", true),
            ("%b%", "ac", false),
            ("a_c", "abc", true),
            ("a_c", "ac", false),
            ("a?c", "abc", true),
            ("a*c", "abbbc", true),
            ("_%_", "a", false),
            ("_%_", "ab", true),
            ("%a%b%c", "xxaxxbxxcxxc", true),
            ("%ab%ab", "abab", true),
            ("%ab%ab", "aab", false),
            (r"100\%", "100%", true),
            (r"100\%", "1000", false),
            (r"a\", r"a\", true),
            ("gr_n", "grün", true),
            ("_", "ü", true),
            ("_", "üü", false),
            ("%_", "€", true),
            ("%__", "€", false),
            ("%__", "€ü", true),
            ("%_x", "€x", true),
            ("%__x%", "€x€", false),
            ("[a-z].+", "[a-z].+", true),
        ];
        for (pattern, text, expected) in table {
            assert_eq!(Pattern::like(pattern).matches(text.as_bytes()), expected, "'{text}' LIKE '{pattern}'");
        }
    }

    #[test]
    fn a_hard_pattern_takes_no_exponential_time() {
        let pattern = Pattern::like(&"%a".repeat(30));
        assert!(!pattern.matches("a".repeat(29).repeat(40).replace("aaaa", "b").as_bytes()));
    }

    #[test]
    fn match_is_about_the_whole_text() {
        let pattern = Pattern::regex("a|b+").unwrap();
        for (text, expected) in [("a", true), ("bbb", true), ("ab", false), ("", false), ("\n", false)] {
            assert_eq!(pattern.matches(text.as_bytes()), expected, "{text:?}");
        }
        assert!(!Pattern::regex(".*").unwrap().matches(b"\xff"));
        assert!(Pattern::regex("a)|(b").is_err());
        assert!(Pattern::regex("(").is_err());
    }
}
