//! The configuration file: rules about nodes and topics, of which the first that matches counts.
//!
//! ```toml
//! [[endpoint]]
//! node = "/camera_*"          # with namespace; left out: every node
//! topic = "/image/**"         # left out: every topic
//! kind = "publisher"          # or "subscription"; left out: both
//! domain = "cuda:0"
//! device_loans = true         # left out: false
//! ```
//!
//! Patterns: see [`super::pattern`]. A file that cannot be understood is refused as a whole, with line and key.

use super::pattern::Pattern;
use super::{is_domain_name, Endpoint, Side};
use serde::Deserialize;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use toml::Spanned;

/// Longest file: far more rules than anybody writes.
const MOST_BYTES: u64 = 1 << 20;

/// Why a configuration file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("configuration file {}: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// It is not what it should be.
    #[error("configuration file {}, line {line}, key '{key}': {problem}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where, counted from 1.
        line: usize,
        /// What, such as `endpoint[0].domain`: the first rule's domain.
        key: String,
        /// What is wrong with it.
        problem: String,
    },
}

/// What `serde` reads.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileText {
    #[serde(default)]
    endpoint: Vec<RuleText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleText {
    node: Option<Spanned<String>>,
    topic: Option<Spanned<String>>,
    kind: Option<Side>,
    domain: Spanned<String>,
    #[serde(default)]
    device_loans: bool,
}

/// A rule.
#[derive(Debug)]
pub struct Rule {
    node: Option<Pattern>,
    topic: Option<Pattern>,
    side: Option<Side>,
    domain: String,
    device_loans: bool,
    line: usize,
}

impl Rule {
    /// The domain's name.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// Whether the program knows that what is lent to it lies on a device.
    pub fn device_loans(&self) -> bool {
        self.device_loans
    }

    /// The line that names the domain.
    pub fn line(&self) -> usize {
        self.line
    }

    fn matches(&self, endpoint: &Endpoint<'_>) -> bool {
        let fits = |pattern: &Option<Pattern>, name| pattern.as_ref().is_none_or(|pattern| pattern.fits(name));
        self.side.is_none_or(|side| side == endpoint.side)
            && fits(&self.node, endpoint.node)
            && fits(&self.topic, endpoint.topic)
    }
}

/// A file that was read.
#[derive(Debug)]
pub struct ConfigFile {
    path: PathBuf,
    rules: Vec<Rule>,
}

impl ConfigFile {
    /// Reads a file.
    ///
    /// # Errors
    /// See [`FileError`].
    pub fn read(path: &Path) -> Result<Self, FileError> {
        let unreadable = |error| FileError::Unreadable { path: path.to_owned(), error };
        let mut text = String::new();
        // A name may also mean a device, or a pipe, that never ends.
        File::open(path).and_then(|file| file.take(MOST_BYTES + 1).read_to_string(&mut text)).map_err(unreadable)?;
        if text.len() as u64 > MOST_BYTES {
            return Err(unreadable(std::io::Error::other(format!("longer than {MOST_BYTES} bytes"))));
        }
        Self::parse(path, &text)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, FileError> {
        let line_at = |at: usize| text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1;
        let malformed = |at: usize, key: String, problem: String| FileError::Malformed {
            path: path.to_owned(),
            line: line_at(at),
            key,
            problem,
        };
        let syntax = |key: String, error: &toml::de::Error| {
            malformed(error.span().map_or(0, |span| span.start), key, error.message().to_owned())
        };
        let key_at = |error: &toml::de::Error| {
            let line = error.span().map_or(1, |span| line_at(span.start));
            let line = text.lines().nth(line - 1).unwrap_or_default();
            line.split('=').next().unwrap_or_default().trim().to_owned()
        };
        let parsed = toml::Deserializer::parse(text).map_err(|error| syntax(key_at(&error), &error))?;
        let file: FileText = serde_path_to_error::deserialize(parsed).map_err(|error| {
            // Behind a key may come how `Spanned` asks for its value.
            let path = error.path().to_string();
            syntax(path.split(".$").next().unwrap_or_default().to_owned(), error.inner())
        })?;
        let rules = file.endpoint.into_iter().enumerate().map(|(number, rule)| {
            let pattern = |key: &str, text: Option<Spanned<String>>| {
                let compile = |text: Spanned<String>| {
                    Pattern::new(text.get_ref()).map_err(|error| {
                        let problem = format!("'{}' is no pattern: {error}", text.get_ref());
                        malformed(text.span().start, format!("endpoint[{number}].{key}"), problem)
                    })
                };
                text.map(compile).transpose()
            };
            if !is_domain_name(rule.domain.get_ref()) {
                let problem = format!(
                    "'{}' is no memory domain: expected a kind and an instance, such as host, sim:0 or cuda:0",
                    rule.domain.get_ref()
                );
                return Err(malformed(rule.domain.span().start, format!("endpoint[{number}].domain"), problem));
            }
            Ok(Rule {
                node: pattern("node", rule.node)?,
                topic: pattern("topic", rule.topic)?,
                side: rule.kind,
                line: line_at(rule.domain.span().start),
                domain: rule.domain.into_inner(),
                device_loans: rule.device_loans,
            })
        });
        Ok(Self { path: path.to_owned(), rules: rules.collect::<Result<_, _>>()? })
    }

    /// Its path, as it was given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The first rule for an endpoint.
    pub fn rule(&self, endpoint: &Endpoint<'_>) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.matches(endpoint))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<ConfigFile, FileError> {
        ConfigFile::parse(Path::new("/etc/hazcat.toml"), text)
    }

    fn domain_of<'a>(file: &'a ConfigFile, side: Side, node: &str, topic: &str) -> Option<&'a str> {
        let endpoint = Endpoint { side, node, topic, variable_size: None, payload: None };
        file.rule(&endpoint).map(Rule::domain)
    }

    #[test]
    fn the_first_rule_that_matches_counts() {
        let file = parse(
            "[[endpoint]]\nnode = '/cam_?'\ntopic = '/image/*'\ndomain = 'sim:1'\n\
             [[endpoint]]\ntopic = '/**/raw'\nkind = 'subscription'\ndomain = 'sim:2'\n\
             [[endpoint]]\nnode = '/cam_[ab]'\ndomain = 'sim:3'",
        )
        .unwrap();
        let of = |side, node, topic| domain_of(&file, side, node, topic);
        assert_eq!(of(Side::Publisher, "/cam_a", "/image/left"), Some("sim:1"));
        assert_eq!(of(Side::Subscription, "/cam_a", "/image/left"), Some("sim:1"));
        assert_eq!(of(Side::Publisher, "/cam_a", "/image/left/raw"), Some("sim:3"), "'*' does not go over a slash");
        assert_eq!(of(Side::Subscription, "/view", "/a/b/raw"), Some("sim:2"));
        assert_eq!(of(Side::Subscription, "/view", "/raw"), Some("sim:2"));
        assert_eq!(of(Side::Publisher, "/view", "/a/b/raw"), None);
        assert_eq!(of(Side::Publisher, "/cam_c", "/x"), None);
        assert_eq!(of(Side::Publisher, "/Cam_a", "/image/left"), None, "upper and lower case are apart");
        assert_eq!(domain_of(&parse("").unwrap(), Side::Publisher, "/n", "/t"), None);
    }

    #[test]
    fn errors_name_file_line_and_key() {
        for (text, line, key, hint) in [
            ("[[endpoint]]\ndomain = 'cuda:'", 2, "endpoint[0].domain", "cuda:"),
            ("[[endpoint]]\ndomain = 5", 2, "endpoint[0].domain", "string"),
            ("[[endpoint]]\n\n\ndomain = 'host'\ntopic = '/a[b'", 5, "endpoint[0].topic", "/a[b"),
            (
                "[[endpoint]]\ndomain = 'host'\n[[endpoint]]\ndomain = 'host'\nnode='/***'",
                5,
                "endpoint[1].node",
                "/***",
            ),
            ("[[endpoint]]\ndomain = 'host'\nnode='camera'", 3, "endpoint[0].node", "/**/camera"),
            ("[[endpoint]]\ndomain = 'host'\ndomian = 'sim'", 3, "domian", "domain"),
            ("[[endpoint]]\ndomain = 'host'\nkind = 'service'", 3, "endpoint[0].kind", "subscription"),
            ("[[endpoint]]\ndomain = 'host'\ndevice_loans = 1", 3, "endpoint[0].device_loans", "bool"),
            ("[[endpoint]]\ntopic = '/t'", 1, "endpoint[0]", "domain"),
            ("\n[[endpoints]]\ndomain = 'host'", 2, "endpoints", "endpoint"),
            ("[[endpoint]]\ndomain = 'host", 2, "domain", ""),
            ("[[endpoint]]\ndomain = host", 2, "domain", ""),
        ] {
            let error = parse(text).map(|_| ()).expect_err(text);
            let FileError::Malformed { line: found, key: named, .. } = &error else { panic!("{error}") };
            let said = error.to_string();
            assert_eq!(*found, line, "{text}: {said}");
            assert!(named.ends_with(key), "{text}: {said}");
            assert!(said.contains("/etc/hazcat.toml") && said.contains(hint), "{text}: {said}");
        }
        let endless = ConfigFile::read(Path::new("/dev/zero")).unwrap_err().to_string();
        assert!(endless.contains("/dev/zero") && endless.contains("longer"), "{endless}");
        let missing = ConfigFile::read(Path::new("/nowhere/hazcat.toml")).unwrap_err().to_string();
        assert!(missing.contains("/nowhere/hazcat.toml"), "{missing}");
    }

    /// Changed and made-up texts: read or refused with the file's name, without a panic. `HAZCAT_SEED` repeats a run.
    #[test]
    fn no_text_makes_it_panic() {
        const PIECES: [&str; 16] = [
            "[[endpoint]]",
            "[endpoint]",
            "\n",
            "domain",
            " = ",
            "'sim:0'",
            "\"",
            "'",
            "node",
            "topic = '/**/[a'",
            "kind",
            "#",
            "\u{e9}",
            "\\u12",
            "{",
            "=",
        ];
        const VALID: &str = include_str!("../../../docs/hazcat.toml");
        let seed = std::env::var("HAZCAT_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(|| {
            std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .map_or(1, |now| now.as_nanos() as u64 | 1)
        });
        println!("HAZCAT_SEED={seed}");
        let mut state: u64 = seed;
        // xorshift64 (Marsaglia, 2003)
        let mut below = |limit: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % limit as u64) as usize
        };
        let (mut read, mut refused) = (0, 0);
        for _ in 0..3000 {
            let mut text: Vec<char> = if below(4) == 0 { Vec::new() } else { VALID.chars().collect() };
            for _ in 0..=below(6) {
                let (at, len) = (below(text.len() + 1), below(9));
                let piece = PIECES[below(PIECES.len())].chars();
                match below(3) {
                    0 => drop(text.splice(at..at, piece)),
                    1 => drop(text.splice(at..text.len().min(at + len), piece)),
                    _ => text.truncate(at.max(text.len() / 2)),
                }
            }
            let text: String = text.into_iter().collect();
            match parse(&text) {
                Ok(file) => {
                    read += 1;
                    domain_of(&file, Side::Publisher, "/robot/camera_left", "/robot/image");
                }
                Err(error) => {
                    refused += 1;
                    assert!(error.to_string().contains("/etc/hazcat.toml, line "), "{error}");
                }
            }
        }
        assert!(read > 0 && refused > 0, "{read} read, {refused} refused");
    }

    /// `docs/configuration.md` shows the file `docs/hazcat.toml`.
    #[test]
    fn the_example_is_understood() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/hazcat.toml");
        let file = ConfigFile::read(&path).unwrap_or_else(|error| panic!("{error}"));
        let of = |side, node, topic| domain_of(&file, side, node, topic);
        assert_eq!(of(Side::Publisher, "/robot/camera_left", "/robot/image"), Some("cuda:0"));
        assert_eq!(of(Side::Subscription, "/robot/recorder", "/robot/image"), Some("host"));
        assert_eq!(of(Side::Subscription, "/robot/detector", "/robot/image"), Some("cuda:0"));
        assert_eq!(of(Side::Publisher, "/robot/lidar", "/robot/scan"), None);
        let text = std::fs::read_to_string(&path).unwrap();
        let (_, rules) = text.split_once("\n\n").unwrap();
        let manual = std::fs::read_to_string(path.with_file_name("configuration.md")).unwrap();
        assert!(manual.contains(rules), "the manual shows another file");
    }
}
