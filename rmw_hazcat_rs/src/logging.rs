//! Messages of the middleware itself, to standard error.
//!
//! Never through rcutils: its output handler may publish on `/rosout`, which comes back into this library and could
//! deadlock. The level comes from `HAZCAT_LOG` (`debug`, `info`, `warn`, `error`, `fatal`, `off`; default `warn`) and
//! can be changed by `rmw_set_log_severity`.

use std::fmt;
use std::io::Write;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::Once;

/// How serious a message is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Severity {
    /// What a developer of the middleware wants to know.
    Debug = 1,
    /// What happens.
    Info,
    /// Something will not work as asked.
    Warn,
    /// Something did not work.
    Error,
    /// Nothing will work.
    Fatal,
    /// Not a message's severity: as a level, it silences everything.
    Off,
}

impl Severity {
    fn name(self) -> &'static str {
        match self {
            Severity::Debug => "debug",
            Severity::Info => "info",
            Severity::Warn => "warn",
            Severity::Error => "error",
            Severity::Fatal => "fatal",
            Severity::Off => "off",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Debug, Self::Info, Self::Warn, Self::Error, Self::Fatal, Self::Off]
            .into_iter()
            .find(|severity| severity.name().eq_ignore_ascii_case(text.trim()))
    }
}

const DEFAULT: Severity = Severity::Warn;
static LEVEL: AtomicU8 = AtomicU8::new(DEFAULT as u8);
static FROM_ENVIRONMENT: Once = Once::new();

/// Reads `HAZCAT_LOG` (once per process) and takes over the messages of the core.
pub fn init() {
    FROM_ENVIRONMENT.call_once(|| {
        match std::env::var("HAZCAT_LOG") {
            Ok(text) => match Severity::parse(&text) {
                Some(severity) => set_level(severity),
                None => {
                    log(Severity::Warn, format_args!("HAZCAT_LOG={text:?} is not a level; keeping {}", DEFAULT.name()))
                }
            },
            Err(std::env::VarError::NotPresent) => {}
            Err(error) => log(Severity::Warn, format_args!("HAZCAT_LOG: {error}")),
        }
        core_messages::take_over();
    });
}

/// Shows messages from this severity on.
pub fn set_level(severity: Severity) {
    LEVEL.store(severity as u8, Ordering::Relaxed);
}

/// Whether messages of this severity are shown.
pub fn is_enabled(severity: Severity) -> bool {
    severity as u8 >= LEVEL.load(Ordering::Relaxed)
}

/// Writes one line to standard error, if messages of this severity are shown.
pub fn log(severity: Severity, message: fmt::Arguments<'_>) {
    if is_enabled(severity) {
        // One write per line, so that lines of several processes do not mix; nobody can be told if it fails.
        let line = format!("[rmw_hazcat_rs] [{}] {message}\n", severity.name());
        let _ = std::io::stderr().lock().write_all(line.as_bytes());
    }
}

mod core_messages {
    use super::{log, Severity};
    use hazcat_core::log::Level;

    pub(super) fn take_over() {
        hazcat_core::log::set_log_hook(forward);
    }

    fn forward(level: Level, message: &str) {
        let severity = match level {
            Level::Debug => Severity::Debug,
            Level::Info => Severity::Info,
            Level::Warn => Severity::Warn,
            Level::Error => Severity::Error,
        };
        log(severity, format_args!("{message}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_by_name() {
        assert_eq!(Severity::parse("WARN"), Some(Severity::Warn));
        assert_eq!(Severity::parse(" debug "), Some(Severity::Debug));
        assert_eq!(Severity::parse("off"), Some(Severity::Off));
        assert_eq!(Severity::parse("loud"), None);
        assert_eq!(Severity::parse(""), None);
    }
}
