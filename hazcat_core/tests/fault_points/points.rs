//! The fault points there are, read out of the source.

use std::collections::BTreeSet;
use std::path::Path;

const MARK: &str = "fault_point!(\"";

/// All names. Panics where one is used twice.
pub fn in_source() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut names);
    names
}

fn read(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).expect("the source is there").flatten() {
        let path = entry.path();
        if path.is_dir() {
            read(&path, names);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).expect("UTF-8");
            for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
                for part in line.split(MARK).skip(1) {
                    let name = part.split('"').next().expect("a closing quote");
                    assert!(names.insert(name.to_owned()), "{name} is the name of two points ({})", path.display());
                }
            }
        }
    }
}
