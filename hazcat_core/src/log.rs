//! What the core has to say beside its return values: a hook, silent until somebody sets it.
//!
//! The core prints nothing. News that no caller waits for (a watch that could not be had, a file that somebody removed)
//! goes to the hook, from whatever thread it happens on. The hook must not call back into the core.

use std::sync::{PoisonError, RwLock};

/// How much a message matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// For developers of this library.
    Debug,
    /// Something changed that a user may want to know.
    Info,
    /// Something works less well than it should.
    Warn,
    /// Something does not work.
    Error,
}

/// Receives one message.
pub type LogHook = fn(Level, &str);

static HOOK: RwLock<Option<LogHook>> = RwLock::new(None);

/// Sets the hook for the whole process; the latest call counts.
pub fn set_log_hook(hook: LogHook) {
    *HOOK.write().unwrap_or_else(PoisonError::into_inner) = Some(hook);
}

/// Hands a message to the hook; without a hook it is not even formatted.
pub(crate) fn log(level: Level, message: std::fmt::Arguments<'_>) {
    let hook = *HOOK.read().unwrap_or_else(PoisonError::into_inner);
    if let Some(hook) = hook {
        match message.as_str() {
            Some(text) => hook(level, text),
            None => hook(level, &message.to_string()),
        }
    }
}

macro_rules! warn_log {
    ($($argument:tt)*) => { $crate::log::log($crate::log::Level::Warn, format_args!($($argument)*)) };
}
macro_rules! debug_log {
    ($($argument:tt)*) => { $crate::log::log($crate::log::Level::Debug, format_args!($($argument)*)) };
}
pub(crate) use {debug_log, warn_log};
