//! The measurements: what is done, and what came out. `tests/cuda` runs the quick ones on a driver without a GPU.

mod fan_out;
mod one_to_one;
mod other;
mod report;
mod scene;

pub use report::Report;

use other::Other;
use scene::Scene;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What may go wrong here.
pub type Failure = Box<dyn Error + Send + Sync>;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// What is measured.
#[derive(Clone, Debug)]
pub struct Plan {
    /// On which device.
    pub device: String,
    /// Where shared memory is to lie; a folder of this process is made in it.
    pub root: PathBuf,
    /// What the other processes are started with: nothing, or the name of a test.
    pub arguments: Vec<String>,
    /// Messages from one device publisher to one device subscription: their sizes.
    sizes: Vec<usize>,
    /// How many of each, and how many before that are not counted.
    messages: (usize, usize),
    /// Messages that are published while a kernel runs, and how long it runs.
    busy: (usize, Duration),
    /// Messages to host subscriptions: their sizes, how many of each, how many before that are not counted.
    fan_out: (Vec<usize>, usize, usize),
    /// How many host subscriptions, each in a process of its own.
    subscriptions: usize,
}

impl Plan {
    /// What the goals are about.
    pub fn full() -> Self {
        Self {
            device: "cuda:0".into(),
            root: "/dev/shm".into(),
            arguments: Vec::new(),
            sizes: (0..=10).map(|power| KIB << (2 * power)).collect(),
            messages: (200, 20),
            busy: (500, Duration::from_millis(3)),
            fan_out: (vec![MIB, 16 * MIB, 64 * MIB, 256 * MIB], 200, 40),
            subscriptions: 8,
        }
    }

    /// Whether everything works.
    pub fn quick() -> Self {
        Self {
            sizes: vec![KIB, MIB + 5],
            messages: (6, 2),
            busy: (6, Duration::from_millis(5)),
            fan_out: (vec![64 * KIB], 6, 2),
            subscriptions: 3,
            ..Self::full()
        }
    }
}

/// Does what another process was started for; `None` where this process was not started by [`run`].
pub fn played_a_role() -> Option<Result<(), Failure>> {
    let role = other::Role::of_this_process()?;
    Some(role.and_then(|role| match role.kind.as_str() {
        "reader" => one_to_one::read(&role),
        "host" => fan_out::read(&role),
        kind => Err(format!("no such role: {kind}").into()),
    }))
}

/// Measures.
///
/// # Errors
/// Whatever hinders it, first of all that there is no device.
pub fn run(plan: &Plan) -> Result<Report, Failure> {
    let root = Folder::new(&plan.root)?;
    let device = Scene::device(&plan.device)?;
    let mut report = Report::of_machine(&device);
    one_to_one::measure(plan, &root.0, &mut report)?;
    fan_out::measure(plan, &root.0, &mut report)?;
    Ok(report)
}

/// A folder of our own; removed on drop.
struct Folder(PathBuf);

impl Folder {
    fn new(parent: &Path) -> Result<Self, Failure> {
        let path = parent.join(format!("hazcat-measure-{}", std::process::id()));
        std::fs::create_dir(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
