//! A root folder of its own for each test, removed when the test ends, however it ends.

use crate::config::Config;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

pub(crate) struct TestRoot(PathBuf);

impl TestRoot {
    pub(crate) fn new() -> Self {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let path = PathBuf::from(format!("/dev/shm/hazcat-test-{}-unit-{number}", std::process::id()));
        std::fs::create_dir(&path).expect("a new folder in /dev/shm");
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn config(&self) -> Config {
        Config { root: self.0.clone(), ..Config::default() }
    }
}

impl Drop for TestRoot {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
