//! Validity of node names, namespaces and full topic names, by the rules of ROS 2.
//!
//! `librmw` offers the same checks to C, but this library must not need it at run time. The order of the checks decides
//! which problem is reported where a name has several; it is upstream's order.

use std::fmt;

/// Longest full topic name that is accepted, in bytes: 255 less what a service adds in front and behind.
pub const TOPIC_NAME_MAX: usize = 255 - 8;
/// Longest namespace, in bytes: a topic name less a slash and a one-letter name.
pub const NAMESPACE_MAX: usize = TOPIC_NAME_MAX - 2;
/// Longest node name, in bytes.
pub const NODE_NAME_MAX: usize = 255;

/// Why a name is not valid, and where.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NameProblem {
    /// What is wrong.
    pub kind: NameProblemKind,
    /// Byte offset of the first offending character.
    pub index: usize,
}

/// What can be wrong with a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NameProblemKind {
    /// The name is the empty string.
    Empty,
    /// The name does not begin with a slash.
    NotAbsolute,
    /// The name ends with a slash.
    EndsWithSlash,
    /// A character other than letters, digits, underscore (and slash, where allowed).
    BadCharacter,
    /// Two slashes in a row.
    RepeatedSlash,
    /// A part of the name begins with a digit.
    StartsWithDigit,
    /// The name is longer than the limit, in bytes.
    TooLong(usize),
}

impl fmt::Display for NameProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            NameProblemKind::Empty => write!(f, "it is empty"),
            NameProblemKind::NotAbsolute => write!(f, "it does not begin with '/'"),
            NameProblemKind::EndsWithSlash => write!(f, "it ends with '/'"),
            NameProblemKind::BadCharacter => write!(f, "the character at {} is not allowed", self.index),
            NameProblemKind::RepeatedSlash => write!(f, "'/' is repeated at {}", self.index),
            NameProblemKind::StartsWithDigit => write!(f, "the part at {} begins with a digit", self.index),
            NameProblemKind::TooLong(limit) => write!(f, "it is longer than {limit} bytes"),
        }
    }
}

fn problem(kind: NameProblemKind, index: usize) -> Result<(), NameProblem> {
    Err(NameProblem { kind, index })
}

/// Checks a topic or service name as rcl hands it over: absolute, expanded and remapped.
pub fn check_topic_name(name: &str) -> Result<(), NameProblem> {
    check_path(name)?;
    if name.len() > TOPIC_NAME_MAX {
        return problem(NameProblemKind::TooLong(TOPIC_NAME_MAX), TOPIC_NAME_MAX - 1);
    }
    Ok(())
}

/// Checks a namespace: `/`, or anything that would do as a topic name.
pub fn check_namespace(namespace: &str) -> Result<(), NameProblem> {
    if namespace == "/" {
        return Ok(());
    }
    check_path(namespace)?;
    if namespace.len() > NAMESPACE_MAX {
        return problem(NameProblemKind::TooLong(NAMESPACE_MAX), NAMESPACE_MAX - 1);
    }
    Ok(())
}

/// Checks the bare name of a node.
pub fn check_node_name(name: &str) -> Result<(), NameProblem> {
    let bytes = name.as_bytes();
    let Some(first) = bytes.first() else { return problem(NameProblemKind::Empty, 0) };
    if let Some(index) = bytes.iter().position(|b| !is_word(*b)) {
        return problem(NameProblemKind::BadCharacter, index);
    }
    if first.is_ascii_digit() {
        return problem(NameProblemKind::StartsWithDigit, 0);
    }
    if bytes.len() > NODE_NAME_MAX {
        return problem(NameProblemKind::TooLong(NODE_NAME_MAX), NODE_NAME_MAX - 1);
    }
    Ok(())
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// All rules of a full topic name but its length.
fn check_path(name: &str) -> Result<(), NameProblem> {
    let bytes = name.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else {
        return problem(NameProblemKind::Empty, 0);
    };
    if *first != b'/' {
        return problem(NameProblemKind::NotAbsolute, 0);
    }
    if *last == b'/' {
        return problem(NameProblemKind::EndsWithSlash, bytes.len() - 1);
    }
    if let Some(index) = bytes.iter().position(|b| !is_word(*b) && *b != b'/') {
        return problem(NameProblemKind::BadCharacter, index);
    }
    for (index, pair) in bytes.windows(2).enumerate() {
        match pair {
            [b'/', b'/'] => return problem(NameProblemKind::RepeatedSlash, index + 1),
            [b'/', digit] if digit.is_ascii_digit() => return problem(NameProblemKind::StartsWithDigit, index + 1),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use NameProblemKind::*;

    fn topic(name: &str) -> Option<(NameProblemKind, usize)> {
        check_topic_name(name).err().map(|p| (p.kind, p.index))
    }

    #[test]
    fn topic_names() {
        for good in ["/chatter", "/a/b_c/d9", "/_hidden", "/A"] {
            assert_eq!(topic(good), None, "{good}");
        }
        for (bad, kind, index) in [
            ("", Empty, 0),
            ("chatter", NotAbsolute, 0),
            ("/", EndsWithSlash, 0),
            ("/a/", EndsWithSlash, 2),
            ("/a b", BadCharacter, 2),
            ("/a~", BadCharacter, 2),
            ("/ä", BadCharacter, 1),
            ("/a//b", RepeatedSlash, 3),
            ("/a/9b", StartsWithDigit, 3),
            ("/9", StartsWithDigit, 1),
        ] {
            assert_eq!(topic(bad), Some((kind, index)), "{bad}");
        }
        let longest = format!("/{}", "a".repeat(TOPIC_NAME_MAX - 1));
        assert_eq!(topic(&longest), None);
        assert_eq!(topic(&format!("{longest}a")), Some((TooLong(TOPIC_NAME_MAX), TOPIC_NAME_MAX - 1)));
    }

    #[test]
    fn namespaces() {
        assert_eq!(check_namespace("/"), Ok(()));
        assert_eq!(check_namespace("/ns/sub"), Ok(()));
        assert!(check_namespace("").is_err());
        assert!(check_namespace("ns").is_err());
        assert!(check_namespace("/ns/").is_err());
        assert!(check_namespace("/foo bar").is_err());
        assert!(check_namespace(&format!("/{}", "a".repeat(NAMESPACE_MAX))).is_err());
    }

    #[test]
    fn node_names() {
        assert_eq!(check_node_name("my_node2"), Ok(()));
        assert_eq!(check_node_name("_ros2cli"), Ok(()));
        for bad in ["", "foo bar", "2nd", "a/b", "a-b", &"a".repeat(NODE_NAME_MAX + 1)] {
            assert!(check_node_name(bad).is_err(), "{bad}");
        }
    }
}
