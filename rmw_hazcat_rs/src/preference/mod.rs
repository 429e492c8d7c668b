//! In which memory domain an endpoint's messages lie, and who said so.
//!
//! | | where from | what becomes of a domain that this machine does not have |
//! |---|---|---|
//! | 1 | the payload in the endpoint's options ([`payload`]) | creating the endpoint fails: the program counts on it |
//! | 2 | the first rule for the node and topic in the file that `HAZCAT_CONFIG` names ([`mod@file`]) | a warning, and the host |
//! | 3 | `HAZCAT_DOMAIN` | a warning, and the host |
//! | 4 | else: the host | |
//!
//! A name that cannot be one (`sim:x`) is an error wherever it comes from, never ignored.
//!
//! Only messages of fixed size (without strings and sequences) can lie in device memory; all others stay on the host,
//! encoded, and an endpoint whose preference comes to nothing says so.
//!
//! # Who gets addresses of a device
//!
//! Loans in device memory are for programs that know what they are. A payload says so (an empty name in it leaves the domain to
//! the configuration), and so can a rule of the file, with `device_loans = true`. All other programs are lent messages on the host,
//! which are copied across: no configuration makes a program follow an address that is none.

pub mod file;
pub mod pattern;
pub mod payload;

use hazcat_core::domain::{registry, DomainError, DomainId, Stream};

use crate::error::{Code, Failure, Result};
use crate::logging::{log, Severity};
use file::ConfigFile;
use payload::Payload;
use std::ffi::OsString;
use std::fmt;
use std::path::Path;

/// Names the file with rules for nodes and topics.
pub const FILE_VARIABLE: &str = "HAZCAT_CONFIG";
/// Names the domain of endpoints about which nothing else is said.
pub const DOMAIN_VARIABLE: &str = "HAZCAT_DOMAIN";

/// The side of a topic that an endpoint is on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// It publishes.
    Publisher,
    /// It takes.
    Subscription,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Side::Publisher => "publisher",
            Side::Subscription => "subscription",
        })
    }
}

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PreferenceError {
    /// The file.
    #[error(transparent)]
    File(#[from] file::FileError),
    /// `HAZCAT_DOMAIN`.
    #[error("environment variable {DOMAIN_VARIABLE}={value:?}: expected the name of a memory domain, such as host or cuda:0")]
    Variable {
        /// Its value.
        value: OsString,
    },
}

/// An endpoint that is being created.
#[derive(Clone, Copy)]
pub struct Endpoint<'a> {
    /// Publisher or subscription.
    pub side: Side,
    /// Its node's name with namespace.
    pub node: &'a str,
    /// Its topic's name.
    pub topic: &'a str,
    /// The name of its type, if its messages have strings or sequences.
    pub variable_size: Option<&'a str>,
    /// What its options say.
    pub payload: Option<&'a Payload>,
}

impl fmt::Display for Endpoint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {} of node '{}' on topic '{}'", self.side, self.node, self.topic)
    }
}

/// What an endpoint gets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Choice {
    /// Where its messages lie.
    pub domain: DomainId,
    /// Whether it lends out addresses of that domain, if that is not the host.
    pub lends: bool,
    /// The device's stream that writes or reads what it lends out.
    pub stream: Option<Stream>,
}

impl Choice {
    /// The host, as ever.
    pub const HOST: Self = Self { domain: DomainId::HOST, lends: true, stream: None };
}

/// What the configuration of this process says.
#[derive(Debug, Default)]
pub struct Preferences {
    file: Option<ConfigFile>,
    variable: Option<String>,
}

/// Who asked for a domain.
enum Asked<'a> {
    Program,
    Rule(&'a ConfigFile, usize),
    Variable,
}

impl fmt::Display for Asked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Asked::Program => f.write_str("asked for by the program"),
            Asked::Rule(file, line) => write!(f, "asked for by {}, line {line}, key 'domain'", file.path().display()),
            Asked::Variable => write!(f, "asked for by {DOMAIN_VARIABLE}"),
        }
    }
}

impl Preferences {
    /// Reads the environment, and the file that it names.
    ///
    /// # Errors
    /// See [`PreferenceError`].
    pub fn from_env() -> std::result::Result<Self, PreferenceError> {
        Self::from_variables(|name| std::env::var_os(name))
    }

    fn from_variables(variable: impl Fn(&str) -> Option<OsString>) -> std::result::Result<Self, PreferenceError> {
        let get = |name| variable(name).filter(|value| !value.is_empty());
        let file = get(FILE_VARIABLE).map(|path| ConfigFile::read(Path::new(&path))).transpose()?;
        let domain = get(DOMAIN_VARIABLE).map(|value| match value.to_str() {
            Some(name) if is_domain_name(name) => Ok(name.to_owned()),
            _ => Err(PreferenceError::Variable { value }),
        });
        Ok(Self { file, variable: domain.transpose()? })
    }

    /// Chooses for an endpoint, and says in the log what it got.
    ///
    /// # Errors
    /// A name that can be none, and a domain that the program itself asked for and that is not there.
    pub fn choose(&self, endpoint: &Endpoint<'_>) -> Result<Choice> {
        let rule = self.file.as_ref().and_then(|file| Some((file, file.rule(endpoint)?)));
        let wanted = match (endpoint.payload.and_then(Payload::name), rule, &self.variable) {
            (Some(name), _, _) => Some((name, Asked::Program)),
            (None, Some((file, rule)), _) => Some((rule.domain(), Asked::Rule(file, rule.line()))),
            (None, None, Some(name)) => Some((name.as_str(), Asked::Variable)),
            (None, None, None) => None,
        };
        let Some((name, asked)) = wanted else {
            log(Severity::Info, format_args!("{endpoint}: messages in memory domain host"));
            return Ok(Choice::HOST);
        };
        let domain = match registry::resolve(name) {
            Ok(domain) => domain,
            Err(error @ DomainError::Malformed { .. }) => return Err(refused(endpoint, &asked, &error)),
            Err(error) if matches!(asked, Asked::Program) => return Err(refused(endpoint, &asked, &error)),
            Err(error) => {
                log(Severity::Warn, format_args!("{endpoint}: messages stay on the host: {error} ({asked})"));
                return Ok(Choice::HOST);
            }
        };
        let id = domain.id();
        if let (Some(kind), false) = (endpoint.variable_size, id.is_host()) {
            // Who configures a whole process or node does not mean every single topic.
            let severity = if matches!(asked, Asked::Program) { Severity::Warn } else { Severity::Info };
            log(
                severity,
                format_args!(
                    "{endpoint}: messages in memory domain host, encoded as CDR, and not in {name} ({asked}): type '{kind}' has \
                     strings or sequences, and only messages of fixed size can lie on a device"
                ),
            );
            return Ok(Choice::HOST);
        }
        let description = domain.description();
        log(Severity::Info, format_args!("{endpoint}: messages in memory domain {id}, {description} ({asked})"));
        if id.is_host() {
            return Ok(Choice::HOST);
        }
        Ok(Choice {
            domain: id,
            lends: endpoint.payload.is_some() || rule.is_some_and(|(_, rule)| rule.device_loans()),
            stream: endpoint.payload.and_then(Payload::stream),
        })
    }
}

#[track_caller]
fn refused(endpoint: &Endpoint<'_>, asked: &Asked<'_>, error: &DomainError) -> Failure {
    let code = if matches!(asked, Asked::Program) { Code::InvalidArgument } else { Code::Error };
    Failure::new(code, format!("cannot create {endpoint}: {error} ({asked})"))
}

/// Whether a text can be the name of a memory domain: of any kind, also one that nobody has registered yet.
fn is_domain_name(text: &str) -> bool {
    let (kind, instance) = text.split_once(':').unwrap_or((text, "0"));
    DomainId::new(kind, 0).is_some() && !instance.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hazcat_core::domain::simulated;

    fn sim(number: u32) -> DomainId {
        DomainId::new(simulated::KIND, number).unwrap()
    }

    fn from(file: &str, variable: &str) -> std::result::Result<Preferences, PreferenceError> {
        let path = std::env::temp_dir().join(format!("hazcat-preferences-{}-{}", std::process::id(), file.len()));
        std::fs::write(&path, file).unwrap();
        let preferences = Preferences::from_variables(|name| match name {
            FILE_VARIABLE if !file.is_empty() => Some(path.clone().into()),
            DOMAIN_VARIABLE => Some(variable.into()),
            _ => None,
        });
        std::fs::remove_file(&path).unwrap();
        preferences
    }

    fn endpoint(topic: &str) -> Endpoint<'_> {
        Endpoint { side: Side::Publisher, node: "/n", topic, variable_size: None, payload: None }
    }

    #[test]
    fn the_program_goes_before_the_file_and_that_before_the_variable() {
        let rules = "[[endpoint]]\ntopic = '/filed'\ndomain = 'sim:2'\n\
                     [[endpoint]]\ntopic = '/lent'\ndomain = 'sim:2'\ndevice_loans = true";
        let preferences = from(rules, "sim:3").unwrap();
        let of = |topic, payload| preferences.choose(&Endpoint { payload, ..endpoint(topic) }).unwrap();
        let choice = |number, lends| Choice { domain: sim(number), lends, stream: None };
        assert_eq!(of("/filed", None), choice(2, false));
        assert_eq!(of("/lent", None), choice(2, true));
        assert_eq!(of("/other", None), choice(3, false));
        let one = Payload::of("sim:1", 0);
        assert_eq!(of("/filed", Some(&one)), choice(1, true));
        let open = Payload::of("", 7);
        assert_eq!(of("/filed", Some(&open)), Choice { stream: Some(Stream(7)), ..choice(2, true) });
        assert_eq!(of("/other", Some(&open)).domain, sim(3));
        assert_eq!(of("/filed", Some(&Payload::of("host", 0))), Choice::HOST);
        assert_eq!(Preferences::default().choose(&endpoint("/other")).unwrap(), Choice::HOST);
        assert_eq!(from("", "").unwrap().choose(&endpoint("/other")).unwrap(), Choice::HOST);
    }

    #[test]
    fn what_is_not_there_is_an_error_only_for_those_who_count_on_it() {
        let preferences = from("[[endpoint]]\ntopic = '/filed'\ndomain = 'abacus:0'", "tape:1").unwrap();
        assert_eq!(preferences.choose(&endpoint("/filed")).unwrap(), Choice::HOST);
        assert_eq!(preferences.choose(&endpoint("/other")).unwrap(), Choice::HOST);
        let payload = Payload::of("abacus:0", 0);
        let refusal = preferences.choose(&Endpoint { payload: Some(&payload), ..endpoint("/x") }).unwrap_err();
        assert_eq!(refusal.code, Code::InvalidArgument);
        for part in ["publisher", "'/n'", "'/x'", "abacus:0", "sim", "program"] {
            assert!(refusal.message.contains(part), "{part}: {}", refusal.message);
        }
    }

    #[test]
    fn what_makes_no_sense_is_never_ignored() {
        for bad in ["sim:", ":0", "Sim:0", "nine_chars", " "] {
            let error = from("", bad).unwrap_err().to_string();
            assert!(error.contains(DOMAIN_VARIABLE) && error.contains(bad), "{error}");
        }
        // Only the kind itself knows that this is none of its own.
        let preferences = from("\n[[endpoint]]\ntopic = '/filed'\ndomain = 'sim:x'", "sim:y").unwrap();
        let error = preferences.choose(&endpoint("/filed")).unwrap_err().message.to_string();
        assert!(error.contains("line 4") && error.contains("'domain'") && error.contains("sim:x"), "{error}");
        let error = preferences.choose(&endpoint("/other")).unwrap_err().message.to_string();
        assert!(error.contains(DOMAIN_VARIABLE) && error.contains("sim:y"), "{error}");
    }

    #[test]
    fn messages_of_variable_size_stay_on_the_host() {
        let preferences = from("", "sim:3").unwrap();
        let payload = Payload::of("sim:1", 0);
        for payload in [None, Some(&payload)] {
            let endpoint = Endpoint { variable_size: Some("std_msgs/msg/String"), payload, ..endpoint("/x") };
            assert_eq!(preferences.choose(&endpoint).unwrap(), Choice::HOST);
        }
    }
}
