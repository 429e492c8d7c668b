//! The driver without a GPU: building it, starting tests on it, and telling it what to do.

use std::ffi::{c_char, c_void, CStr, CString};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Set where a test runs on it.
const ON: &str = "HAZCAT_TEST_FAKE_CUDA";

/// Builds a library with the driver's name, and answers its folder; `None` (and said) where there is no compiler at hand, as
/// where tests run that were built elsewhere.
fn build(name: &str, source: &Path) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).expect("a folder");
    // Several test runs may build at once: each under a name of its own.
    let own = folder.join(format!("building-{}.so", std::process::id()));
    let rustc = std::env::var_os("CARGO").map(PathBuf::from).and_then(|cargo| {
        let beside = cargo.with_file_name("rustc");
        beside.exists().then_some(beside)
    });
    let mut command = Command::new(rustc.unwrap_or_else(|| "rustc".into()));
    command.args(["--edition", "2021", "-O", "--crate-name", "cuda", "--crate-type", "cdylib", "-o"]);
    let built = match command.arg(&own).arg(source).output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            println!("SKIPPED: the fake driver cannot be built, there is no rustc here; nothing of CUDA was tested");
            return None;
        }
        built => built.expect("rustc"),
    };
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    std::fs::rename(&own, folder.join("libcuda.so.1")).expect("rename");
    Some(folder)
}

/// Folder of the fake driver; `None` where it cannot be built.
pub fn folder() -> Option<&'static Path> {
    static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fake_cuda/lib.rs");
    FOLDER.get_or_init(|| build("fake_cuda", &source)).as_deref()
}

/// Folder of a library that has the driver's name and nothing else; `None` where it cannot be built.
pub fn hollow() -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("hollow-{}.rs", std::process::id()));
    std::fs::write(&source, "").expect("write");
    let folder = build("hollow_cuda", &source);
    let _ = std::fs::remove_file(source);
    folder
}

/// How a test in a process of its own ended.
pub struct Ended {
    pub passed: bool,
    pub text: String,
    pub errors: String,
}

/// Runs one test in a process of its own on the fake driver, which lies in `folder`.
pub fn run(name: &str, folder: &Path, environment: &[(&str, &str)], patience: Duration) -> Ended {
    let mut all = vec![("LD_LIBRARY_PATH", folder.to_str().expect("a folder with a name")), (ON, "1")];
    all.extend(environment);
    run_with(name, &all, patience)
}

/// The same without any preparation.
pub fn run_with(name: &str, environment: &[(&str, &str)], patience: Duration) -> Ended {
    let mut command = Command::new(std::env::current_exe().expect("exe"));
    command.args([name, "--exact", "--nocapture", "--test-threads=1"]).envs(environment.iter().copied());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).stdin(Stdio::null()).spawn().expect("spawn");
    let read = |mut from: Box<dyn Read + Send>| {
        std::thread::spawn(move || {
            let mut text = Vec::new();
            let _ = from.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        })
    };
    let text = read(Box::new(child.stdout.take().expect("piped")));
    let errors = read(Box::new(child.stderr.take().expect("piped")));
    let started = Instant::now();
    let status = loop {
        match child.try_wait().expect("wait") {
            Some(status) => break Some(status),
            // A watchdog: only what hangs reaches it.
            None if started.elapsed() > patience => {
                let _ = child.kill();
                let _ = child.wait();
                break None;
            }
            None => std::thread::sleep(Duration::from_millis(2)),
        }
    };
    let (text, mut errors) = (text.join().expect("read"), errors.join().expect("read"));
    if status.is_none() {
        errors += "\nkilled: it hung";
    }
    let passed = status.is_some_and(|status| status.success()) && text.contains("1 passed");
    Ended { passed, text, errors }
}

/// The tests whose names begin so, without those that are only the other processes of others.
pub fn names(prefix: &str) -> Vec<String> {
    let output = Command::new(std::env::current_exe().expect("exe")).args(["--list", "--format", "terse"]).output();
    let text = String::from_utf8(output.expect("list").stdout).expect("text");
    let names = text.lines().filter_map(|line| line.strip_suffix(": test"));
    names.filter(|name| name.starts_with(prefix) && !name.ends_with("::child")).map(str::to_owned).collect()
}

/// Whether this process runs on the fake driver.
pub fn is_on() -> bool {
    std::env::var_os(ON).is_some()
}

/// A function of the fake driver; `None` (and said) on a real one.
fn function(name: &CStr) -> Option<*mut c_void> {
    if !is_on() {
        println!("needs the fake driver: nothing was done");
        return None;
    }
    // SAFETY: asks for a library that is loaded already, or loads it.
    let library = unsafe { libc::dlopen(c"libcuda.so.1".as_ptr(), libc::RTLD_NOW) };
    // SAFETY: a loaded library and a text.
    let function = unsafe { libc::dlsym(library, name.as_ptr()) };
    assert!(!function.is_null(), "{name:?}");
    Some(function)
}

/// After so many calls, so many calls of a function will fail. `false` on a real driver.
pub fn order_failure(name: &str, code: u32, after: u32, times: u32) -> bool {
    let Some(function) = function(c"fake_cuda_fail") else { return false };
    // SAFETY: the signature is that of tests/fake_cuda/control.rs.
    let function: unsafe extern "C" fn(*const c_char, u32, u32, u32) = unsafe { std::mem::transmute(function) };
    let name = CString::new(name).expect("a name");
    // SAFETY: a text that is there during the call.
    unsafe { function(name.as_ptr(), code, after, times) };
    true
}

/// Ends the context of a device. `false` on a real driver.
pub fn break_device(device: i32) -> bool {
    let Some(function) = function(c"fake_cuda_break") else { return false };
    // SAFETY: as above.
    let function: extern "C" fn(i32) = unsafe { std::mem::transmute(function) };
    function(device);
    true
}

/// Begins to capture a stream into a graph, or ends it. `false` on a real driver.
pub fn capture(stream: usize, on: bool) -> bool {
    let Some(function) = function(c"fake_cuda_capture") else { return false };
    // SAFETY: as above.
    let function: extern "C" fn(usize, bool) = unsafe { std::mem::transmute(function) };
    function(stream, on);
    true
}

/// Nothing was done that CUDA forbids.
pub fn assert_lawful() {
    if !is_on() {
        return;
    }
    let Some(function) = function(c"fake_cuda_violations") else { return };
    // SAFETY: as above.
    let function: extern "C" fn() -> u32 = unsafe { std::mem::transmute(function) };
    assert_eq!(function(), 0, "things were done that CUDA forbids");
}

/// Physical allocations, reservations, mappings, registrations, streams, events of this process. `None` on a real driver.
pub fn in_use() -> Option<[u32; 6]> {
    let function = function(c"fake_cuda_in_use")?;
    // SAFETY: as above.
    let function: unsafe extern "C" fn(*mut [u32; 6]) = unsafe { std::mem::transmute(function) };
    let mut counts = [0; 6];
    // SAFETY: writes six numbers.
    unsafe { function(&raw mut counts) };
    Some(counts)
}
