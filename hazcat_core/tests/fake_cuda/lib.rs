//! A CUDA driver without a GPU, for tests: the functions that hazcat and its demos call, with the rules that CUDA's documentation gives
//! them. Built by `tests/cuda/fake.rs` as `libcuda.so.1` and found through `LD_LIBRARY_PATH`.
//!
//! What it is true to:
//!
//! * Device memory is a memfd per physical allocation: exported as a descriptor, imported elsewhere, alive for as long as anybody
//!   has it. Its addresses are reservations that fault when the host touches them.
//! * Streams are threads: work is done later, in order, and independently of other streams. An error in it ends the context: from
//!   then on everything answers that error.
//! * Graphs are captured only as far as others notice: a stream that is captured takes nothing of ours, and while one is captured
//!   in the global mode, no thread may do what could disturb it.
//! * At exit it takes itself down: what is called after that is a crash.
//! * The rules: a current context, multiples of the granularity, exportability said at creation, access granted before use, per
//!   device and kind of access, no calls from host functions, memory registered before streams reach it, under another address.
//!
//! What is against the rules is counted ([`control::fake_cuda_violations`]), besides being refused. What it does not have:
//! speed, caches, real kernels (`kernels.rs` has the four of hazcat in Rust).
//!
//! | environment variable | what |
//! |---|---|
//! | `FAKE_CUDA_DEVICES` | how many devices (1) |
//! | `FAKE_CUDA_ORDER` | which of them are visible, in this order, like `CUDA_VISIBLE_DEVICES` |
//! | `FAKE_CUDA_VERSION` | the driver's version (12040) |
//! | `FAKE_CUDA_LACKS` | attributes that are 0, by number, comma separated |
//! | `FAKE_CUDA_NO_READ_ONLY` | device memory cannot be mapped read-only |
//! | `FAKE_CUDA_PEERS` | 0: devices do not reach each other |
//! | `FAKE_CUDA_FAIL` | `function=code:after:times`, comma separated: calls that fail |

#![allow(non_snake_case, clippy::missing_safety_doc)]

mod control;
mod devices;
mod kernels;
mod memory;
mod streams;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

pub(crate) const INVALID_VALUE: u32 = 1;
pub(crate) const OUT_OF_MEMORY: u32 = 2;
pub(crate) const NOT_INITIALIZED: u32 = 3;
pub(crate) const NO_DEVICE: u32 = 100;
pub(crate) const INVALID_DEVICE: u32 = 101;
pub(crate) const INVALID_CONTEXT: u32 = 201;
pub(crate) const INVALID_PTX: u32 = 218;
pub(crate) const INVALID_HANDLE: u32 = 400;
pub(crate) const NOT_FOUND: u32 = 500;
pub(crate) const NOT_READY: u32 = 600;
pub(crate) const ILLEGAL_ADDRESS: u32 = 700;
pub(crate) const ALREADY_REGISTERED: u32 = 712;
pub(crate) const NOT_REGISTERED: u32 = 713;
pub(crate) const NOT_PERMITTED: u32 = 800;
pub(crate) const CAPTURE_UNSUPPORTED: u32 = 900;
pub(crate) const NOT_SUPPORTED: u32 = 801;

pub(crate) type Answer = Result<(), u32>;

/// All that the driver knows.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) initialised_in: u32,
    pub(crate) last_handle: u64,
    pub(crate) physical: HashMap<u64, memory::Physical>,
    pub(crate) reserved: HashMap<u64, usize>,
    pub(crate) mapped: HashMap<u64, memory::Mapped>,
    pub(crate) registered: HashMap<usize, memory::Registered>,
    pub(crate) streams: HashMap<usize, streams::Shared>,
    pub(crate) modules: HashMap<usize, String>,
    pub(crate) functions: HashMap<usize, String>,
    /// Words that streams have still to write or to wait for.
    pub(crate) awaited: Vec<u64>,
    /// Streams that are being captured into graphs.
    pub(crate) captured: Vec<usize>,
    pub(crate) events: HashMap<usize, streams::Event>,
    /// The error that ended a device's context.
    pub(crate) ended: HashMap<i32, u32>,
    pub(crate) failures: Vec<control::Failure>,
}

impl State {
    pub(crate) fn new_handle(&mut self) -> u64 {
        self.last_handle += 0x1000;
        self.last_handle
    }
}

pub(crate) fn state() -> MutexGuard<'static, State> {
    static STATE: OnceLock<Mutex<State>> = OnceLock::new();
    let new = || Mutex::new(State { failures: control::failures_from_env(), ..State::default() });
    STATE.get_or_init(new).lock().unwrap_or_else(PoisonError::into_inner)
}

thread_local! {
    /// Contexts, the current one last.
    pub(crate) static CONTEXTS: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
    /// How much this thread may do while a stream is captured: 0 global, 1 local to the thread, 2 anything.
    pub(crate) static CAPTURE_MODE: Cell<u32> = const { Cell::new(0) };
    /// Whether this thread is in a host function.
    pub(crate) static IN_HOST_FUNCTION: Cell<bool> = const { Cell::new(false) };
}

pub(crate) static VIOLATIONS: AtomicU32 = AtomicU32::new(0);

/// Something that a program must not do.
pub(crate) fn violation(what: &str) {
    eprintln!("fake CUDA: {what}");
    VIOLATIONS.fetch_add(1, Ordering::Relaxed);
}

/// The device whose context is current.
pub(crate) fn current() -> Result<i32, u32> {
    let context = CONTEXTS.with_borrow(|contexts| contexts.last().copied());
    context.map(|context| devices::of_context(context)).ok_or_else(|| {
        violation("no context is current");
        INVALID_CONTEXT
    })
}

/// What every function does first.
pub(crate) fn enter(name: &str) -> Answer {
    if IN_HOST_FUNCTION.get() {
        violation(&format!("{name} in a host function"));
        return Err(NOT_PERMITTED);
    }
    devices::check_not_down(name);
    let mut state = state();
    if !state.captured.is_empty() && CAPTURE_MODE.get() != 2 && control::may_disturb_a_capture(name) {
        violation(&format!("{name} while a stream is captured"));
        return Err(CAPTURE_UNSUPPORTED);
    }
    if name != "cuInit" && name != "cuDriverGetVersion" && state.initialised_in != std::process::id() {
        return Err(NOT_INITIALIZED);
    }
    control::due(&mut state.failures, name).map_or(Ok(()), Err)
}

/// Declares functions of the driver: what they answer becomes a number.
macro_rules! driver {
    ($(fn $name:ident($($argument:ident: $type:ty),* $(,)?) $body:block)*) => {
        $(
            #[no_mangle]
            pub unsafe extern "C" fn $name($($argument: $type),*) -> u32 {
                let work = || -> $crate::Answer {
                    $crate::enter(stringify!($name))?;
                    $body
                };
                work().err().unwrap_or(0)
            }
        )*
    };
}
pub(crate) use driver;
