//! Where a participant's shared memory lies and who may reach it.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

/// Longest time to look around that can be asked for.
const MOST_SPIN: Duration = Duration::from_secs(1);

/// What [`crate::participant::Participant::join`] needs to know. The default works without any configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Folder in which the directory of this user and domain is made; `/dev/shm`.
    pub root: PathBuf,
    /// ROS domain id: participants of different domains never see each other.
    pub domain_id: u32,
    /// Mode of the directory; files in it get the same without the execute bits. Default 0700: this user only.
    pub mode: u32,
    /// Group that the directory belongs to. With a group, all its members share one directory per domain, whichever of
    /// them made it; without, each user has their own.
    pub group: Option<u32>,
    /// How often to look for changes where no inotify instance is to be had. Default 50 ms.
    pub poll_interval: Duration,
    /// Whether to be told of changes by inotify (default) or to poll.
    pub use_inotify: bool,
    /// Longest wait for a copy that another subscription is making of a message from another memory domain, before one makes
    /// its own; a millisecond is added per MiB of the message. Default 2 ms.
    pub copy_wait: Duration,
    /// Longest time that a wait looks around before it sleeps ([`WaitSet::new`](crate::WaitSet::new)), at most a second. Default:
    /// 100 microseconds, or nothing where there is one processor.
    pub spin: Duration,
    /// Whether to survive files that others cut short ([`crate::sys::bus_error`]), by a handler for SIGBUS. Default true.
    pub handle_sigbus: bool,
    /// Accepts a `root` that is not a tmpfs: files there may be written back to a disk. Default false.
    pub allow_any_file_system: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            root: PathBuf::from("/dev/shm"),
            domain_id: 0,
            mode: 0o700,
            group: None,
            poll_interval: Duration::from_millis(50),
            use_inotify: true,
            copy_wait: Duration::from_millis(2),
            spin: default_spin(),
            handle_sigbus: true,
            allow_any_file_system: false,
        }
    }
}

fn default_spin() -> Duration {
    const DEFAULT: Duration = Duration::from_micros(100);
    static SPIN: OnceLock<Duration> = OnceLock::new();
    let choose = || {
        let alone = std::thread::available_parallelism().map_or(true, |count| count.get() < 2);
        if alone {
            Duration::ZERO
        } else {
            DEFAULT
        }
    };
    *SPIN.get_or_init(choose)
}

/// An environment variable holds something that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("environment variable {variable}={value:?}: expected {expected}")]
pub struct ConfigError {
    /// Its name.
    pub variable: &'static str,
    /// Its value.
    pub value: OsString,
    /// What would have been understood.
    pub expected: &'static str,
}

impl Config {
    /// The default, changed by `HAZCAT_ROOT` (absolute path), `HAZCAT_GROUP` (numeric group id; mode becomes 0770 unless
    /// set), `HAZCAT_MODE` (octal), `HAZCAT_NO_INOTIFY` (1, true or yes: poll), `HAZCAT_COPY_WAIT_US` and `HAZCAT_SPIN_US`
    /// (microseconds), `HAZCAT_SIGBUS` (0, false or no: leave SIGBUS alone).
    ///
    /// # Errors
    /// Names the variable that is malformed; none is ignored.
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::from_variables(env::var_os)
    }

    pub(crate) fn from_variables(variable: impl Fn(&'static str) -> Option<OsString>) -> Result<Self, ConfigError> {
        let mut config = Self::default();
        let get = |name| variable(name).filter(|value| !value.is_empty());
        let error = |variable, value: &OsString, expected| ConfigError { variable, value: value.clone(), expected };

        if let Some(value) = get("HAZCAT_ROOT") {
            config.root = PathBuf::from(&value);
            if !config.root.is_absolute() {
                return Err(error("HAZCAT_ROOT", &value, "an absolute path"));
            }
        }
        if let Some(value) = get("HAZCAT_GROUP") {
            let group = value.to_str().and_then(|text| text.parse().ok()).filter(|&group| group != u32::MAX);
            config.group = Some(group.ok_or_else(|| error("HAZCAT_GROUP", &value, "a numeric group id"))?);
            config.mode = 0o770;
        }
        if let Some(value) = get("HAZCAT_MODE") {
            const EXPECTED: &str = "an octal mode between 0700 and 0777";
            let mode = value.to_str().and_then(|text| u32::from_str_radix(text.trim_start_matches("0o"), 8).ok());
            config.mode = mode
                .filter(|mode| mode & !0o777 == 0 && mode & 0o700 == 0o700)
                .ok_or_else(|| error("HAZCAT_MODE", &value, EXPECTED))?;
        }
        let yes_or_no = |name, default: bool| match get(name) {
            None => Ok(default),
            Some(value) => match value.to_str() {
                Some("1" | "true" | "yes") => Ok(true),
                Some("0" | "false" | "no") => Ok(false),
                _ => Err(error(name, &value, "1, true, yes, 0, false or no")),
            },
        };
        config.use_inotify = !yes_or_no("HAZCAT_NO_INOTIFY", !config.use_inotify)?;
        config.handle_sigbus = yes_or_no("HAZCAT_SIGBUS", config.handle_sigbus)?;
        let microseconds = |name, default: Duration| {
            let Some(value) = get(name) else { return Ok(default) };
            let wait = value.to_str().and_then(|text| text.trim().parse().ok()).map(Duration::from_micros);
            wait.ok_or_else(|| error(name, &value, "a number of microseconds"))
        };
        config.copy_wait = microseconds("HAZCAT_COPY_WAIT_US", config.copy_wait)?;
        config.spin = microseconds("HAZCAT_SPIN_US", config.spin)?.min(MOST_SPIN);
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(pairs: &[(&str, &str)]) -> Result<Config, ConfigError> {
        Config::from_variables(|name| {
            pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value))
        })
    }

    #[test]
    fn nothing_set_is_the_default() {
        assert_eq!(from(&[]), Ok(Config::default()));
        assert_eq!(from(&[("HAZCAT_ROOT", "")]), Ok(Config::default()));
    }

    #[test]
    fn variables_are_understood() {
        let config = from(&[("HAZCAT_ROOT", "/x"), ("HAZCAT_GROUP", "12"), ("HAZCAT_NO_INOTIFY", "1")]).expect("valid");
        assert_eq!((config.root, config.group, config.mode), (PathBuf::from("/x"), Some(12), 0o770));
        assert!(!config.use_inotify && config.handle_sigbus);
        assert!(!from(&[("HAZCAT_SIGBUS", "0")]).expect("valid").handle_sigbus);
        assert_eq!(from(&[("HAZCAT_COPY_WAIT_US", "70")]).expect("valid").copy_wait, Duration::from_micros(70));
        assert_eq!(from(&[("HAZCAT_SPIN_US", "0")]).expect("valid").spin, Duration::ZERO);
        assert_eq!(from(&[("HAZCAT_SPIN_US", "7000000")]).expect("valid").spin, MOST_SPIN);
        assert_eq!(from(&[("HAZCAT_MODE", "0750")]).expect("valid").mode, 0o750);
    }

    #[test]
    fn malformed_values_name_their_variable() {
        for (name, value) in [
            ("HAZCAT_ROOT", "relative"),
            ("HAZCAT_GROUP", "staff"),
            ("HAZCAT_GROUP", "-1"),
            ("HAZCAT_MODE", "rwx"),
            ("HAZCAT_MODE", "0600"),
            ("HAZCAT_MODE", "7777"),
            ("HAZCAT_NO_INOTIFY", "maybe"),
            ("HAZCAT_SIGBUS", "on"),
            ("HAZCAT_COPY_WAIT_US", "2ms"),
            ("HAZCAT_SPIN_US", "abc"),
            ("HAZCAT_SPIN_US", "-1"),
        ] {
            let error = from(&[(name, value)]).expect_err(value);
            assert_eq!(error.variable, name);
            assert!(error.to_string().contains(name) && error.to_string().contains(value));
        }
    }
}
