//! Names of topic files.

use crate::checksum::checksum;
use std::ffi::OsStr;

/// Longest readable part of a topic file's name, in bytes.
const STEM_READABLE_MAX: usize = 96;

/// Name of a topic's file: readable as far as it goes, and a hash of topic and type.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicStem(String);

impl TopicStem {
    /// The stem for a topic of a type. Different pairs have different stems (128 bits of hash); the file says which pair
    /// it is for.
    pub fn new(topic: &str, type_name: &str, type_hash: u128) -> Self {
        let readable: String = topic
            .trim_start_matches('/')
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '.' })
            .take(STEM_READABLE_MAX)
            .collect();
        let mut bytes = Vec::with_capacity(topic.len() + type_name.len() + 8);
        bytes.extend_from_slice(&(topic.len() as u64).to_le_bytes());
        bytes.extend_from_slice(topic.as_bytes());
        bytes.extend_from_slice(type_name.as_bytes());
        bytes.extend_from_slice(&type_hash.to_le_bytes());
        let high = checksum(0x746f_7069_6300_0001, &bytes);
        let low = checksum(0x746f_7069_6300_0002, &bytes);
        Self(format!("{readable}-{high:016x}{low:016x}"))
    }

    /// A stem read from the folder.
    pub(super) fn from_name(name: &OsStr) -> Option<Self> {
        let name = name.to_str()?;
        let (_, hash) = name.rsplit_once('-')?;
        let valid = hash.len() == 32 && hash.bytes().all(|b| b.is_ascii_hexdigit());
        valid.then(|| Self(name.to_owned()))
    }

    /// The file's name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
