//! The project's own declaration of the rmw interface (`include/humble`) against the real headers of
//! that level, wherever they were at build time: in a sourced ROS 2, or under the prefix that
//! `HAZCAT_TEST_HUMBLE_PREFIX` names. Struct by struct, number by number, function by function.

// `OURS` and `THEIRS`, from build/declared.rs.
include!(concat!(env!("OUT_DIR"), "/declared.rs"));

/// What the real headers have and ours need not, or what bindgen cannot evaluate there.
const NOT_COMPARED: [&str; 2] = ["RMW_QOS_POLICY_LIVELINESS_MANUAL_BY_NODE_DEPRECATED_MSG", "RMW_DEFAULT_DOMAIN_ID"];

/// The name that an item declares.
fn name(item: &str) -> &str {
    let words = item.trim_start_matches("pub ");
    let words = words.split_once(' ').map_or(words, |(_, rest)| rest);
    words.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or(words)
}

#[test]
fn our_declaration_is_the_real_one() {
    if THEIRS.is_empty() {
        println!("skipped: no rmw of Humble's level was there at build time");
        return;
    }
    assert!(OURS.len() > 300, "only {} items declared", OURS.len());
    let wrong: Vec<&&str> =
        OURS.iter().filter(|item| !THEIRS.contains(item) && !NOT_COMPARED.contains(&name(item))).collect();
    assert!(wrong.is_empty(), "declared otherwise than the real ones: {wrong:#?}");

    // Every type and number must be there; functions that librmw defines need not.
    let missing: Vec<&&str> = THEIRS
        .iter()
        .filter(|item| !OURS.contains(item) && !item.starts_with("pub fn ") && !NOT_COMPARED.contains(&name(item)))
        .collect();
    assert!(missing.is_empty(), "in the real headers only: {missing:#?}");
    println!("{} items compared", OURS.len());
}
