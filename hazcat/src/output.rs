//! What is said on stdout: names that others have chosen must not reach the terminal as they are, and who stops reading
//! (`hazcat list | head`) must not be told of a panic.

use serde_json::Value;
use std::fmt;
use std::io::{self, Write};
use std::path::Path;

/// What a shell says of a process that SIGPIPE has ended.
const NOBODY_READS: i32 = 128 + 13;

/// Prints a line.
macro_rules! line {
    ($($text:tt)*) => { $crate::output::print_line(format_args!($($text)*)) };
}
pub(crate) use line;

/// See [`line!`].
pub fn print_line(text: fmt::Arguments<'_>) {
    say(&printable(&text.to_string()));
}

/// Prints JSON.
pub fn json(value: &Value) {
    say(&format!("{value:#}"));
}

/// Prints a text as it is.
pub fn say(text: &str) {
    match writeln!(io::stdout(), "{text}") {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(NOBODY_READS),
        Err(error) => {
            eprintln!("hazcat: stdout: {error}");
            std::process::exit(1);
        }
    }
}

/// A path in JSON, which has no other bytes than UTF-8.
pub fn path(path: &Path) -> Value {
    Value::String(path.to_string_lossy().into_owned())
}

/// One line, as it is but for what a terminal would obey.
pub fn printable(text: &str) -> String {
    let obeyed = |c: char| c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let mut printable = String::with_capacity(text.len());
    for c in text.chars() {
        if obeyed(c) {
            printable.extend(c.escape_default());
        } else {
            printable.push(c);
        }
    }
    printable
}
