//! A root folder for each test, the command, and other processes.

use hazcat_core::{Config, TopicKey};
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

pub const ROOT: &str = "HAZCAT_TEST_LEFTOVERS_ROOT";
pub const NAME: &str = "HAZCAT_TEST_LEFTOVERS_NAME";
/// A watchdog, not a time limit.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub struct Root(pub PathBuf);

impl Root {
    pub fn new() -> Self {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let path = PathBuf::from(format!("/dev/shm/hazcat-test-{}-leftovers-{number}", std::process::id()));
        std::fs::create_dir(&path).expect("a new folder in /dev/shm");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o1777)).expect("like /dev/shm");
        Self(path)
    }

    pub fn config(&self) -> Config {
        Config { root: self.0.clone(), ..Config::default() }
    }

    /// The one directory there is, but for that of second names.
    pub fn directory(&self) -> PathBuf {
        let is_visible = |entry: &std::fs::DirEntry| !entry.file_name().as_encoded_bytes().starts_with(b".");
        let mut entries = std::fs::read_dir(&self.0).expect("root").flatten().filter(is_visible);
        let path = entries.next().expect("a directory").path();
        assert!(entries.next().is_none());
        path
    }

    /// The folder of second names.
    pub fn second_names(&self) -> PathBuf {
        let name = format!(".{}.kept", self.directory().file_name().expect("a name").to_string_lossy());
        self.0.join(name)
    }

    pub fn files(&self, folder: &str) -> Vec<PathBuf> {
        let mut files: Vec<_> =
            std::fs::read_dir(self.directory().join(folder)).expect(folder).flatten().map(|file| file.path()).collect();
        files.sort();
        files
    }

    pub fn hazcat(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_hazcat")).args(arguments).arg("--root").arg(&self.0).output().expect("hazcat")
    }

    /// Its output; it must succeed.
    pub fn says(&self, arguments: &[&str]) -> String {
        let output = self.hazcat(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).expect("text")
    }

    pub fn list(&self) -> Value {
        serde_json::from_str(&self.says(&["list", "--json"])).expect("JSON")
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Another process with a node, a publisher and a subscription on topic "t"; killed on drop.
pub struct Peer {
    process: Child,
    stdout: BufReader<std::process::ChildStdout>,
}

impl Peer {
    pub fn start(root: &Root, name: &str) -> Self {
        Self::start_as(root, name, None)
    }

    pub fn start_as(root: &Root, name: &str, user: Option<u32>) -> Self {
        let own = std::env::current_exe().expect("own path");
        // Another user may not reach the folder it lies in.
        let copy = std::env::temp_dir().join(format!("hazcat-test-{}", std::process::id()));
        let mut command = match user {
            Some(user) => {
                std::fs::copy(&own, &copy).expect("copy");
                let mut command = Command::new(&copy);
                command.uid(user).gid(user).current_dir("/");
                command
            }
            None => Command::new(&own),
        };
        command.args(["child", "--exact", "--nocapture", "--test-threads=1"]).env(ROOT, &root.0).env(NAME, name);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = loop {
            match command.spawn() {
                // What another test forks right now has the copy open for writing until it runs its own program.
                Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy => std::thread::yield_now(),
                other => break other.expect("spawn"),
            }
        };
        if user.is_some() {
            let _ = std::fs::remove_file(&copy);
        }
        let stdout = BufReader::new(process.stdout.take().expect("piped"));
        let mut peer = Self { process, stdout };
        assert_eq!(peer.answer(), "ready");
        peer
    }

    pub fn answer(&mut self) -> String {
        loop {
            let mut line = String::new();
            assert!(self.stdout.read_line(&mut line).expect("read") > 0, "the child ended");
            if let Some((_, answer)) = line.split_once("@@") {
                return answer.trim_end().to_owned();
            }
        }
    }

    pub fn ask(&mut self, line: &str) -> String {
        writeln!(self.process.stdin.as_mut().expect("piped"), "{line}").expect("the child reads");
        self.answer()
    }

    pub fn signal(&self, signal: i32) {
        // SAFETY: a signal to a child that has not been waited for.
        assert_eq!(unsafe { libc::kill(self.id(), signal) }, 0);
    }

    pub fn id(&self) -> i32 {
        self.process.id() as i32
    }

    /// Stops it, and waits until it is.
    pub fn stop(&self) {
        self.signal(libc::SIGSTOP);
        let mut status = 0;
        // SAFETY: waits for a child's change of state.
        assert_eq!(unsafe { libc::waitpid(self.id(), &raw mut status, libc::WUNTRACED) }, self.id());
        assert!(libc::WIFSTOPPED(status));
    }

    pub fn kill(mut self) {
        self.process.kill().expect("kill");
        self.process.wait().expect("wait");
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub fn topic() -> TopicKey {
    TopicKey { name: "t".into(), type_name: "test/Type".into(), type_hash: 7 }
}

pub fn only<'a>(list: &'a Value, name: &str) -> &'a Vec<Value> {
    let directories = list["directories"].as_array().expect("a list");
    assert_eq!(directories.len(), 1, "{list:#}");
    directories[0][name].as_array().expect("a list")
}
