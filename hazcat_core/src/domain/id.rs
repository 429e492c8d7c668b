//! Names of memory domains: a kind and which of that kind.

use std::fmt;

/// Which memory: a kind (`host`, `sim`, `cuda`, or one that another crate registered) and a number among that kind.
///
/// One word, the same in every process, so that it can lie in shared memory. The kind is spelled out in it: whoever
/// inspects a topic can print a domain that this process knows nothing about.
///
/// | bits | field |
/// |---|---|
/// | 24..64 | kind: up to eight characters of five bits, `a` to `z` and `_` |
/// | 0..24 | instance: what the kind makes of it (a number, or a hash over the identity of a device) |
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DomainId(u64);

const INSTANCE_BITS: u32 = 24;
const CHARACTER_BITS: u32 = 5;
const MOST_CHARACTERS: usize = 8;
const UNDERSCORE: u64 = 27;

impl DomainId {
    /// Ordinary shared memory.
    pub const HOST: Self = match Self::new("host", 0) {
        Some(id) => id,
        None => Self(0),
    };
    /// Largest instance.
    pub const MAX_INSTANCE: u32 = (1 << INSTANCE_BITS) - 1;

    /// A domain by kind and instance. `None` where the kind is not one to eight characters of `a` to `z` and `_`, or the
    /// instance is larger than [`DomainId::MAX_INSTANCE`].
    pub const fn new(kind: &str, instance: u32) -> Option<Self> {
        let kind = kind.as_bytes();
        if kind.is_empty() || kind.len() > MOST_CHARACTERS || instance > Self::MAX_INSTANCE {
            return None;
        }
        let mut word = 0;
        let mut at = 0;
        while at < kind.len() {
            let code = match kind[at] {
                letter @ b'a'..=b'z' => (letter - b'a') as u64 + 1,
                b'_' => UNDERSCORE,
                _ => return None,
            };
            word |= code << (INSTANCE_BITS + CHARACTER_BITS * at as u32);
            at += 1;
        }
        Some(Self(word | instance as u64))
    }

    /// Reads what [`DomainId::word`] wrote; `None` for a word that names no domain.
    pub const fn from_word(word: u64) -> Option<Self> {
        let mut characters = word >> INSTANCE_BITS;
        if characters == 0 {
            return None;
        }
        // Nothing behind the name's end.
        while characters != 0 {
            if !matches!(characters & ((1 << CHARACTER_BITS) - 1), 1..=UNDERSCORE) {
                return None;
            }
            characters >>= CHARACTER_BITS;
        }
        Some(Self(word))
    }

    /// The word to store in shared memory; never zero.
    pub const fn word(self) -> u64 {
        self.0
    }

    /// The kind's name.
    pub fn kind(self) -> String {
        let code = |at: u32| (self.0 >> (INSTANCE_BITS + CHARACTER_BITS * at)) & ((1 << CHARACTER_BITS) - 1);
        let letter = |code: u64| match code {
            1..=26 => char::from(b'a' + code as u8 - 1),
            UNDERSCORE => '_',
            _ => '?',
        };
        (0..MOST_CHARACTERS as u32).map(code).take_while(|code| *code != 0).map(letter).collect()
    }

    /// Which of that kind.
    pub const fn instance(self) -> u32 {
        (self.0 & Self::MAX_INSTANCE as u64) as u32
    }

    /// Whether this is ordinary shared memory.
    pub const fn is_host(self) -> bool {
        self.0 == Self::HOST.0
    }
}

impl fmt::Display for DomainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_host() {
            f.write_str("host")
        } else {
            write!(f, "{}:{}", self.kind(), self.instance())
        }
    }
}

impl fmt::Debug for DomainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_is_printed_as_it_is_asked_for() {
        assert_eq!(DomainId::HOST.to_string(), "host");
        assert_eq!(DomainId::new("sim", 3).unwrap().to_string(), "sim:3");
        assert_eq!(DomainId::new("my_chips", 0xff_ffff).unwrap().to_string(), "my_chips:16777215");
    }

    #[test]
    fn what_is_no_domain_is_not_read_as_one() {
        for kind in ["", "Sim", "sim0", "sim:", "ninechars", "ä"] {
            assert_eq!(DomainId::new(kind, 0), None, "{kind}");
        }
        assert_eq!(DomainId::new("sim", 1 << 24), None);
        for id in [DomainId::HOST, DomainId::new("sim", 7).unwrap(), DomainId::new("a_b", 1).unwrap()] {
            assert_eq!(DomainId::from_word(id.word()), Some(id));
        }
        // Nothing, a hole in the name, characters that there are not.
        for word in [0, 5, 1 << 29, u64::MAX] {
            assert_eq!(DomainId::from_word(word), None, "{word:#x}");
        }
    }
}
