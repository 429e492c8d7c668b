//! The one directory under which everything shared lies, and all names in it.
//!
//! One directory per user (or group, where one is configured) and ROS domain id. It appears complete, with the configured
//! mode, and is refused where it is not what it should be: a symbolic link, somebody else's, on a file system that would
//! write messages to a disk.
//!
//! ```text
//! <root>/hazcat-<uid>-<domain>/        (hazcat-g<gid>-<domain>/ where a group is configured)
//!     lease                            who is alive (see lease.rs)
//!     participants/<index>.<gen>       nodes and endpoints; the one folder that is watched
//!     bells/<index>.<gen>              doorbells; the only thing of a participant that its peers write to
//!     topics/<stem>                    message queues
//!     payload/<segment>.<owner>.<stem> messages
//!     sockets/<number>                 where descriptors of device memory can be had
//! <root>/.hazcat-<uid>-<domain>.kept/  second names of topics and of segments (see kept.rs)
//! ```
//!
//! Bells have a file of their own, in a folder that nobody watches. In the participant's file they would make every peer a
//! writer of that file, and each peer that unmaps it (when it exits) would send everybody a false death notice: with 100
//! participants leaving, a million of them.

mod erase;
pub(crate) mod kept;
mod topic_stem;

pub use topic_stem::TopicStem;

use crate::config::Config;
use crate::ids::{Identity, SegmentId};
use crate::sys::random::random_u64;
use crate::sys::shm_file::FileError;
use nix::errno::Errno;
use nix::fcntl::{renameat2, RenameFlags, AT_FDCWD};
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

const PREFIX: &str = "hazcat-";
/// What a directory is called, with the user's id and a random number, until it is complete.
const ASIDE: &str = ".hazcat-new-";
const FOLDERS: [&str; 5] = [PARTICIPANTS, BELLS, TOPICS, PAYLOAD, SOCKETS];
const PARTICIPANTS: &str = "participants";
const BELLS: &str = "bells";
const TOPICS: &str = "topics";
const PAYLOAD: &str = "payload";
const SOCKETS: &str = "sockets";
const LEASE: &str = "lease";

/// Why the directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// The file system is not memory: messages would go to a disk.
    #[error("{path} is not on a tmpfs, so messages would be written to a disk; set HAZCAT_ROOT to a folder on one")]
    NotMemory {
        /// The root folder.
        path: PathBuf,
    },
    /// Something else has the directory's name.
    #[error("{path} is not a directory but {found} (owner uid {owner}, we are uid {us})")]
    NotADirectory {
        /// The name.
        path: PathBuf,
        /// What it is.
        found: &'static str,
        /// User id of its owner.
        owner: u32,
        /// Our effective user id.
        us: u32,
    },
    /// Another user made the directory.
    #[error("{path} belongs to uid {owner} gid {group}, we are uid {us}; remove it, or configure a common group")]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// User id of its owner.
        owner: u32,
        /// Its group.
        group: u32,
        /// Our effective user id.
        us: u32,
    },
    /// The directory was made with another mode.
    #[error("{path} has mode {found:o} (owner uid {owner}), configured is {expected:o}")]
    WrongMode {
        /// The directory.
        path: PathBuf,
        /// Its mode.
        found: u32,
        /// The configured mode.
        expected: u32,
        /// User id of its owner.
        owner: u32,
    },
    /// Only members can give the directory to the group.
    #[error("{path} cannot belong to gid {group} (HAZCAT_GROUP): uid {us} is not a member of that group")]
    NotAMember {
        /// The directory that was to be made.
        path: PathBuf,
        /// The configured group.
        group: u32,
        /// Our effective user id.
        us: u32,
    },
    /// What the system refused.
    #[error(transparent)]
    File(#[from] FileError),
}

/// The directory of one user (or group) and domain.
#[derive(Debug, Clone)]
pub struct Directory {
    path: PathBuf,
    mode: u32,
    group: Option<u32>,
}

impl Directory {
    /// Names the directory, and makes it if it is not there.
    ///
    /// # Errors
    /// [`DirectoryError`], naming the path and, for refusals, its owner and us.
    pub fn open_or_create(config: &Config) -> Result<Self, DirectoryError> {
        check_memory(&config.root, config.allow_any_file_system)?;
        let us = nix::unistd::geteuid().as_raw();
        let whose = config.group.map_or_else(|| us.to_string(), |group| format!("g{group}"));
        let directory = Self {
            path: config.root.join(format!("{PREFIX}{whose}-{}", config.domain_id)),
            mode: config.mode & 0o777,
            group: config.group,
        };
        // The last participant to leave may be removing it at this moment; that takes microseconds.
        for _ in 0..1000 {
            match directory.ensure() {
                Err(DirectoryError::File(FileError::Missing { .. })) => std::thread::yield_now(),
                other => return other.map(|()| directory),
            }
        }
        directory.ensure()?;
        Ok(directory)
    }

    /// Makes the directory and its folders where they are missing.
    ///
    /// # Errors
    /// [`DirectoryError`]; [`FileError::Missing`] where it is being removed at this moment: try again.
    pub(crate) fn ensure(&self) -> Result<(), DirectoryError> {
        loop {
            match fs::symlink_metadata(&self.path) {
                Ok(found) => {
                    self.check(&found)?;
                    break;
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => self.create()?,
                Err(error) => return Err(FileError::from_io(&self.path, 0, error).into()),
            }
        }
        for folder in FOLDERS {
            let path = self.path.join(folder);
            match DirBuilder::new().mode(self.mode).create(&path) {
                Ok(()) => {
                    fault_point!("directory.ensure.folder-made");
                    self.set_mode(&path)?;
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    // A file or a symbolic link with a folder's name: nothing of ours is in it.
                    if fs::symlink_metadata(&path).is_ok_and(|meta| !meta.is_dir()) {
                        let _ = fs::remove_file(&path);
                        return Err(FileError::Missing { path }.into());
                    }
                }
                Err(error) => return Err(FileError::from_io(&path, 0, error).into()),
            }
        }
        self.ensure_kept();
        Ok(())
    }

    /// The directories there are in `root`, of all users and domains, whatever is in them, and those that somebody removed while
    /// they were in use: second names are left of them. Symbolic links are not followed.
    ///
    /// # Errors
    /// What the system answers.
    pub fn all_in(root: &Path) -> Result<Vec<Self>, FileError> {
        let entries = fs::read_dir(root).map_err(|error| FileError::from_io(root, 0, error))?;
        let here = |entry: fs::DirEntry| Self::existing(&entry.path()).or_else(|| Self::removed(&entry.path()));
        let mut found: Vec<Self> = entries.flatten().filter_map(here).collect();
        found.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(found)
    }

    /// The directory at `path`, if its name is one that directories have and its owner (or group) is the one that the name says.
    pub fn existing(path: &Path) -> Option<Self> {
        Self::named(path, &fs::symlink_metadata(path).ok()?)
    }

    /// The directory with this name, if who made it (or its second names) may use that name.
    fn named(path: &Path, meta: &fs::Metadata) -> Option<Self> {
        let (whose, domain) = path.file_name()?.to_str()?.strip_prefix(PREFIX)?.split_once('-')?;
        domain.parse::<u32>().ok().filter(|_| meta.is_dir())?;
        let group = match whose.strip_prefix('g') {
            Some(group) => Some(group.parse().ok().filter(|group| *group == meta.gid())?),
            None => whose.parse().ok().filter(|user| *user == meta.uid()).map(|_: u32| None)?,
        };
        Some(Self { path: path.to_path_buf(), mode: meta.mode() & 0o777, group })
    }

    /// What the system says about it or, where it was removed, about the folder of its second names.
    ///
    /// # Errors
    /// What the system answers; [`FileError::Missing`] where neither is there.
    pub fn metadata(&self) -> Result<fs::Metadata, FileError> {
        fs::symlink_metadata(&self.path)
            .or_else(|_| fs::symlink_metadata(self.kept_path()))
            .map_err(|error| FileError::from_io(&self.path, 0, error))
    }

    /// The group that shares it, where it is not one user's.
    pub fn group(&self) -> Option<u32> {
        self.group
    }

    /// The ROS domain id in its name.
    pub fn domain_id(&self) -> Option<u32> {
        self.path.file_name()?.to_str()?.rsplit_once('-')?.1.parse().ok()
    }

    /// Built aside and renamed, so that nobody sees it with a mode the umask chose.
    fn create(&self) -> Result<(), DirectoryError> {
        let root = self.path.parent().unwrap_or(Path::new("/"));
        let us = nix::unistd::geteuid().as_raw();
        self.remove_abandoned_directories();
        let aside = root.join(format!("{ASIDE}{us}-{:016x}", random_u64()));
        let fail = |error| DirectoryError::from(FileError::from_io(&self.path, 0, error));
        DirBuilder::new().mode(self.mode).create(&aside).map_err(fail)?;
        fault_point!("directory.create.aside-made");
        let made = self.set_mode(&aside).and_then(|()| {
            fault_point!("directory.create.mode-set");
            // Says that it is not abandoned. Who took it for that a moment ago makes us start over.
            let _begun = erase::lock_directory(&aside).map_err(|error| match error.kind() {
                io::ErrorKind::WouldBlock => FileError::Missing { path: aside.clone() }.into(),
                _ => fail(error),
            })?;
            match renameat2(AT_FDCWD, &aside, AT_FDCWD, &self.path, RenameFlags::RENAME_NOREPLACE) {
                Ok(()) | Err(Errno::EEXIST) => Ok(()),
                // A file system without RENAME_NOREPLACE: plain rename replaces an empty directory at most.
                Err(Errno::EINVAL) => match fs::rename(&aside, &self.path) {
                    Err(error) if error.raw_os_error() != Some(libc::ENOTEMPTY) => Err(fail(error)),
                    _ => Ok(()),
                },
                Err(errno) => Err(fail(errno.into())),
            }
        });
        fault_point!("directory.create.renamed");
        // There only where somebody else was first.
        let _ = fs::remove_dir(&aside);
        made
    }

    fn set_mode(&self, path: &Path) -> Result<(), DirectoryError> {
        let fail = |error| FileError::from_io(path, 0, error);
        if let Some(group) = self.group {
            std::os::unix::fs::chown(path, None, Some(group)).map_err(|error| match error.raw_os_error() {
                Some(libc::EPERM) => {
                    let us = nix::unistd::geteuid().as_raw();
                    DirectoryError::NotAMember { path: self.path.clone(), group, us }
                }
                _ => fail(error).into(),
            })?;
        }
        // Set-group-id: what is made inside belongs to the group as well.
        let special = if self.group.is_some() { 0o2000 } else { 0 };
        fs::set_permissions(path, Permissions::from_mode(self.mode | special)).map_err(fail)?;
        Ok(())
    }

    fn check(&self, found: &fs::Metadata) -> Result<(), DirectoryError> {
        let path = self.path.clone();
        let us = nix::unistd::geteuid().as_raw();
        if !found.is_dir() {
            let what = if found.is_symlink() { "a symbolic link" } else { "another kind of file" };
            return Err(DirectoryError::NotADirectory { path, found: what, owner: found.uid(), us });
        }
        let ours = match self.group {
            None => found.uid() == us,
            Some(group) => found.gid() == group,
        };
        if !ours {
            return Err(DirectoryError::Foreign { path, owner: found.uid(), group: found.gid(), us });
        }
        if found.mode() & 0o777 != self.mode {
            return Err(DirectoryError::WrongMode {
                path,
                found: found.mode() & 0o777,
                expected: self.mode,
                owner: found.uid(),
            });
        }
        Ok(())
    }

    /// Whether something of that name lies in every directory.
    pub(crate) fn is_own_name(name: &OsStr) -> bool {
        name == LEASE || FOLDERS.iter().any(|folder| name == *folder)
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Mode for files made in it that all write to.
    pub fn file_mode(&self) -> u32 {
        self.mode & 0o666
    }

    /// Mode for files made in it that their maker alone writes to: messages, and what a participant says about itself. The
    /// kernel keeps other users of the group from changing them.
    pub fn own_file_mode(&self) -> u32 {
        self.file_mode() & !0o022
    }

    /// The lease file.
    pub fn lease_path(&self) -> PathBuf {
        self.path.join(LEASE)
    }

    /// The folder that is watched.
    pub fn participants_path(&self) -> PathBuf {
        self.path.join(PARTICIPANTS)
    }

    /// A participant's file of nodes and endpoints.
    pub fn participant_path(&self, who: Identity) -> PathBuf {
        self.path.join(PARTICIPANTS).join(participant_name(who))
    }

    /// A participant's file of doorbells.
    pub fn bells_path(&self, who: Identity) -> PathBuf {
        self.path.join(BELLS).join(participant_name(who))
    }

    /// A topic's message queue.
    pub fn topic_path(&self, stem: &TopicStem) -> PathBuf {
        self.path.join(TOPICS).join(stem.as_str())
    }

    /// A payload segment of a topic's publisher; `owner` is the identity's word, as it stands in the topic file.
    pub fn payload_path(&self, segment: SegmentId, owner: u64, topic: &TopicStem) -> PathBuf {
        self.path.join(PAYLOAD).join(format!("{:016x}-{owner:016x}-{}", segment.0, topic.as_str()))
    }

    /// A socket at which descriptors of device memory can be had.
    pub fn socket_path(&self, number: u64) -> PathBuf {
        self.path.join(SOCKETS).join(format!("{number:016x}"))
    }

    /// The participants that have a file now, dead ones included.
    ///
    /// # Errors
    /// What the system answers.
    pub fn participants(&self) -> Result<Vec<Identity>, FileError> {
        self.list(PARTICIPANTS, parse_participant_name)
    }

    /// The participants that have a doorbell file now, dead ones included.
    ///
    /// # Errors
    /// What the system answers.
    pub(crate) fn bell_owners(&self) -> Result<Vec<Identity>, FileError> {
        self.list(BELLS, parse_participant_name)
    }

    /// The topic files there are now.
    ///
    /// # Errors
    /// What the system answers.
    pub fn topics(&self) -> Result<Vec<TopicStem>, FileError> {
        self.list(TOPICS, TopicStem::from_name)
    }

    /// The topic files that have their second name now.
    pub(crate) fn kept_topics(&self) -> Vec<TopicStem> {
        list(&self.kept_path().join(TOPICS), TopicStem::from_name).unwrap_or_default()
    }

    /// The payload segments there are now, by whichever name: id, owner's word, topic.
    ///
    /// # Errors
    /// What the system answers.
    pub fn payload_segments(&self) -> Result<Vec<(SegmentId, u64, TopicStem)>, FileError> {
        let mut found = match self.list(PAYLOAD, parse_segment_name) {
            Err(FileError::Missing { .. }) => Vec::new(),
            found => found?,
        };
        found.extend(list(&self.kept_path().join(PAYLOAD), parse_segment_name).unwrap_or_default());
        found.sort_unstable_by_key(|(id, owner, _)| (*id, *owner));
        found.dedup();
        Ok(found)
    }

    fn list<T>(&self, folder: &str, parse: impl Fn(&OsStr) -> Option<T>) -> Result<Vec<T>, FileError> {
        list(&self.path.join(folder), parse)
    }
}

fn list<T>(path: &Path, parse: impl Fn(&OsStr) -> Option<T>) -> Result<Vec<T>, FileError> {
    let entries = fs::read_dir(path).map_err(|error| FileError::from_io(path, 0, error))?;
    Ok(entries.filter_map(|entry| parse(&entry.ok()?.file_name())).collect())
}

fn parse_segment_name(name: &OsStr) -> Option<(SegmentId, u64, TopicStem)> {
    let mut parts = name.to_str()?.splitn(3, '-');
    let id = parse_hex(parts.next()?).filter(|&id| id != 0).map(SegmentId)?;
    let owner = parse_hex(parts.next()?)?;
    Some((id, owner, TopicStem::from_name(OsStr::new(parts.next()?))?))
}

/// Name of a participant's files.
fn participant_name(who: Identity) -> String {
    format!("{:04}.{:012x}", who.index(), who.generation())
}

/// The participant whose file has this name; `None` for any other name.
pub(crate) fn parse_participant_name(name: &OsStr) -> Option<Identity> {
    let name = name.to_str()?;
    let (index, generation) = name.split_once('.')?;
    let who = Identity::new(index.parse().ok()?, parse_hex(generation)?)?;
    // One name per participant: " 1.2", "+1.2" and "1.2" are not names of ours.
    (participant_name(who) == name).then_some(who)
}

fn parse_hex(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    u64::from_str_radix(text, 16).ok().filter(|_| digits)
}

fn check_memory(root: &Path, allow_any: bool) -> Result<(), DirectoryError> {
    use nix::sys::statfs;
    /// A ramfs is memory too; nix has no name for it.
    const RAMFS_MAGIC: statfs::FsType = statfs::FsType(0x8584_58f6);
    let found = statfs::statfs(root).map_err(|errno| FileError::from_io(root, 0, errno.into()))?.filesystem_type();
    if allow_any || found == statfs::TMPFS_MAGIC || found == RAMFS_MAGIC {
        return Ok(());
    }
    Err(DirectoryError::NotMemory { path: root.to_path_buf() })
}

#[cfg(test)]
mod tests;
