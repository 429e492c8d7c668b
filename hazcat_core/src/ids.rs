//! Numbers that cross processes, each as a type of its own.

use std::fmt;

/// Who owns something in shared memory: a participant's index in the lease file and the generation of that index.
///
/// The generation makes an identity unique for as long as the directory lives: an index is reused, an identity never.
/// Packed as `generation << 16 | index + 1`, so that zero means "nobody".
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity(u64);

impl Identity {
    /// Largest generation an identity can carry (48 bits).
    pub const MAX_GENERATION: u64 = (1 << 48) - 1;
    /// Largest index an identity can carry.
    pub const MAX_INDEX: u32 = 0xfffe;

    /// Packs an index and a generation; `None` where either is out of range.
    pub const fn new(index: u32, generation: u64) -> Option<Self> {
        if index > Self::MAX_INDEX || generation > Self::MAX_GENERATION {
            return None;
        }
        Some(Self(generation << 16 | (index as u64 + 1)))
    }

    /// Reads an identity out of a shared word; `None` for a word that names nobody.
    pub const fn from_word(word: u64) -> Option<Self> {
        if word & 0xffff == 0 {
            None
        } else {
            Some(Self(word))
        }
    }

    /// The word to store in shared memory.
    pub const fn word(self) -> u64 {
        self.0
    }

    /// Index of the participant in the lease file.
    pub const fn index(self) -> u32 {
        (self.0 & 0xffff) as u32 - 1
    }

    /// Generation of that index.
    pub const fn generation(self) -> u64 {
        self.0 >> 16
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "participant {}.{:x}", self.index(), self.generation())
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Global identifier of an endpoint (publisher, subscription, client, server): 16 bytes, unique on this host.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
pub struct Gid(pub [u8; 16]);

impl Gid {
    /// The gid of endpoint `number` of a participant.
    pub fn new(owner: Identity, number: u64) -> Self {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&owner.word().to_le_bytes());
        bytes[8..].copy_from_slice(&number.to_le_bytes());
        Self(bytes)
    }

    /// The two words a gid travels as in shared memory.
    pub fn words(self) -> [u64; 2] {
        let mut low = [0; 8];
        let mut high = [0; 8];
        low.copy_from_slice(&self.0[..8]);
        high.copy_from_slice(&self.0[8..]);
        [u64::from_le_bytes(low), u64::from_le_bytes(high)]
    }

    /// The gid that travelled as these words.
    pub fn from_words(words: [u64; 2]) -> Self {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&words[0].to_le_bytes());
        bytes[8..].copy_from_slice(&words[1].to_le_bytes());
        Self(bytes)
    }

    /// The participant that created the endpoint, if the gid names one.
    pub fn owner(self) -> Option<Identity> {
        Identity::from_word(self.words()[0])
    }
}

impl fmt::Debug for Gid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0 {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

/// Position of a message in a topic's ring: counts up for ever, the same for all participants.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Sequence(pub u64);

/// Number of a message among those of its publisher, from 1 without gaps.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct PublicationNumber(pub u64);

/// Index of a publisher's entry in its topic file.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct PublisherIndex(pub u16);

/// Index of a subscription's entry in its topic file.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct SubscriptionIndex(pub u16);

/// Name of a payload segment; never reused within a directory (random, 64 bits, never zero).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct SegmentId(pub u64);

#[cfg(not(loom))]
impl SegmentId {
    /// A new one.
    pub fn random() -> Self {
        loop {
            match crate::sys::random::random_u64() {
                0 => {}
                id => return Self(id),
            }
        }
    }
}
