//! Second names, out of the way of those who clear away the first.
//!
//! The kernel gives no name to a file that has lost its last one. So topics and host segments have two: one in the directory, and
//! one below `<root>/.hazcat-<uid>-<domain>.kept/`, which no `rm -rf hazcat-*` meets. Whoever has a topic open gives it its first
//! name back ([`crate::queue::kept`]); a segment is found by either.
//!
//! Second names go before first ones, by whoever may remove those; what is left of the dead goes with the directory. Without a
//! folder for them (another user may have taken its name: then it is not used) all works but the giving back.

use super::{Directory, PAYLOAD, TOPICS};
use crate::sys::file_id::FileId;
use crate::sys::random::random_u64;
use crate::sys::shm_file::ASIDE;
use std::ffi::OsString;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

impl Directory {
    /// Where second names lie.
    pub(crate) fn kept_path(&self) -> PathBuf {
        kept_folder(self.path()).unwrap_or_default()
    }

    /// The directory whose folder of second names this is, if somebody removed the directory itself.
    pub(super) fn removed(kept: &Path) -> Option<Self> {
        let name = kept.file_name()?.to_str()?.strip_prefix('.')?.strip_suffix(".kept")?;
        let path = kept.with_file_name(name);
        let is_gone = fs::symlink_metadata(&path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
        Self::named(&path, &fs::symlink_metadata(kept).ok()?).filter(|_| is_gone)
    }

    /// Where second names lie, if those who use the directory made that folder.
    pub(crate) fn trusted_kept_path(&self) -> Option<PathBuf> {
        Some(self.kept_path()).filter(|kept| is_trusted(&self.path, kept))
    }

    /// Whether somebody removed it, and left second names.
    pub(crate) fn is_removed(&self) -> bool {
        Self::removed(&self.kept_path()).is_some()
    }

    /// Makes the folders of second names. Nothing depends on them.
    pub(super) fn ensure_kept(&self) {
        let kept = self.kept_path();
        for path in [kept.clone(), kept.join(TOPICS), kept.join(PAYLOAD)] {
            match DirBuilder::new().mode(self.mode).create(&path) {
                Ok(()) => drop(self.set_mode(&path)),
                Err(_) if path == kept && !is_trusted(self.path(), &kept) => return,
                Err(_) => {}
            }
        }
    }
}

fn kept_folder(directory: &Path) -> Option<PathBuf> {
    let mut name = OsString::from(".");
    name.push(directory.file_name()?);
    name.push(".kept");
    Some(directory.with_file_name(name))
}

/// Whether a folder of second names was made by those who use the directory: in `/dev/shm`, anybody can make one.
fn is_trusted(directory: &Path, kept: &Path) -> bool {
    let Ok(meta) = fs::symlink_metadata(kept) else { return false };
    match Directory::named(directory, &meta) {
        None => false,
        Some(Directory { group: None, .. }) => true,
        Some(_) => {
            fs::symlink_metadata(directory).map_or(true, |ours| (ours.gid(), ours.mode()) == (meta.gid(), meta.mode()))
        }
    }
}

/// The second name of the file with this first one; `None` where there can be none.
pub(crate) fn kept_name(path: &Path) -> Option<PathBuf> {
    let folder = path.parent()?;
    let directory = folder.parent()?;
    let kept = kept_folder(directory)?;
    is_trusted(directory, &kept)
        .then(|| kept.join(folder.file_name().unwrap_or_default()).join(path.file_name().unwrap_or_default()))
}

/// Gives a file its second name, in the place of another file that has it.
pub(crate) fn keep(path: &Path) {
    let Some(kept) = kept_name(path) else { return };
    if !fs::hard_link(path, &kept).is_err_and(|error| error.kind() == io::ErrorKind::AlreadyExists) {
        return;
    }
    // In one step: somebody may be removing the first name at this moment, and there may be none but the second.
    let aside = kept.with_file_name(format!("{ASIDE}{:016x}", random_u64()));
    if FileId::named(path).ok() != FileId::named(&kept).ok() && fs::hard_link(path, &aside).is_ok() {
        fault_point!("kept.linked-aside");
        if fs::rename(&aside, &kept).is_err() || FileId::named(&aside).is_ok() {
            // Nothing was renamed: a folder has the name, or both are names of one file by now.
            let _ = fs::remove_file(&aside);
        }
        fault_point!("kept.replaced");
    }
}

/// Removes both names of a file.
pub(crate) fn remove_both(path: &Path) {
    if let Some(kept) = kept_name(path) {
        let _ = fs::remove_file(kept);
        fault_point!("kept.removed");
    }
    let _ = fs::remove_file(path);
}
