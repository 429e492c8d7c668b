//! Expressions that are wrong: where, and what the error says.

use crate::sample::{named, Sample};

#[test]
fn a_malformed_expression_is_refused_where_it_is_wrong() {
    let sample = Sample::new();
    // The caret is where the error is to be.
    let table: &[(&str, &str, &str)] = &[
        ("", "^", "expected"),
        ("   ", "   ^", "a field"),
        ("{int32}", "{int32}^", "an operator"),
        ("{int32} 5", "{int32} ^", "an operator"),
        ("{int32} = ", "{int32} = ^", "a value"),
        ("{int32} == 5", "{int32} =^", "found '= 5'"),
        ("= 5", "^", "a field"),
        ("{int32} = 5 6", "{int32} = 5 ^", "expected AND, OR or the end, found '6'"),
        ("{int32} = 5 AND", "{int32} = 5 AND^", "found the end"),
        ("{int32} = 5 OR OR {int32} = 6", "{int32} = 5 OR OR ^", "an operator"),
        ("({int32} = 5", "({int32} = 5^", "')', AND or OR"),
        ("{int32} = 5)", "{int32} = 5^", "found ')'"),
        ("()", "(^", "a field"),
        ("{int32} BETWEEN 1", "{int32} BETWEEN 1^", "AND"),
        ("{int32} BETWEEN 1 OR 2", "{int32} BETWEEN 1 ^", "AND"),
        ("{int32} NOT 5", "{int32} NOT ^", "BETWEEN"),
        ("{text} = 'open", "{text} = 'open^", "a closing quote"),
        ("{int32} = 12abc", "{int32} = 12^", "the end of the number"),
        ("{int32} = 0x", "{int32} = 0^", "the end of the number"),
        ("{int32} = -", "{int32} = -^", "a number"),
        ("{uint64} = 18446744073709551616", "{uint64} = ^", "at most 64 bits"),
        ("{int64} = -9223372036854775809", "{int64} = ^", "at most 64 bits"),
        ("{float64} = 1e999", "{float64} = ^", "a float64"),
        ("{int32} = %", "{int32} = %^", "one or two digits"),
        ("{int32} = %100", "{int32} = %10^", "one or two digits"),
        ("{point}. = 5", "{point}.^", "the name of a field"),
        ("{numbers}[] = 5", "{numbers}[^", "the index of an element"),
        ("{numbers}[1 = 5", "{numbers}[1^", "']'"),
        ("{numbers}[99999999999999999999] = 5", "{numbers}[^", "the index of an element"),
        ("{text} = 'grün' {int32}", "{text} = 'grün' ^", "AND"),
        ("{int32} = 5; DROP TABLE", "{int32} = 5^", "found '; DROP TABLE'"),
        ("{int32} & 1", "{int32} ^", "an operator"),
    ];
    for (expression, caret, expected) in table {
        let error = sample.filter(expression, &[]).err().unwrap_or_else(|| panic!("{expression} was accepted"));
        let place = named(caret).chars().position(|c| c == '^').unwrap() + 1;
        assert_eq!(error.character, place, "{expression}: {error}");
        assert!(error.to_string().contains(expected), "{expression}: {error}");
    }
}

#[test]
fn names_types_and_parameters_are_checked() {
    let sample = Sample::new();
    let table: &[(&str, &[&str], &str, &str)] = &[
        ("nothing = 5", &[], "^", "has no field 'nothing' (it has: field_0, field_1"),
        ("{int32} = 5 AND {point}.z = 1", &[], "{int32} = 5 AND ^", "type 'test/msg/Point' has no field 'z'"),
        ("{int32}.x = 5", &[], "^", "is no message"),
        ("{point} = 5", &[], "^", "name one of its fields"),
        ("{int32}[0] = 5", &[], "^", "no array or sequence"),
        ("{numbers} = 5", &[], "^", "such as 'field_17[0]'"),
        ("{numbers}[3] = 5", &[], "^", "has no element 3, but at most 3"),
        ("{points}[4].field_0 = 5", &[], "^", "has no element 4"),
        ("{long_double} = 5", &[], "^", "long double"),
        ("5 = 5", &[], "^", "neither side"),
        ("{int32} = 5 OR %0 = %0", &["1"], "{int32} = 5 OR ^", "neither side"),
        ("{int32} = 'five'", &[], "^", "an integer field cannot be compared with the text 'five'"),
        ("{int32} = 'f'", &[], "^", "cannot be compared"),
        ("{char} = '€'", &[], "^", "cannot be compared"),
        ("{int8} = 'ü'", &[], "^", "cannot be compared"),
        ("{uint8} = ''", &[], "^", "cannot be compared"),
        ("{text} = 5", &[], "^", "a text field cannot be compared with the number 5"),
        ("{text} = TRUE", &[], "^", "the boolean TRUE"),
        ("{text} = {int32}", &[], "^", "a text field cannot be compared with an integer field"),
        ("{text} = {wide}", &[], "^", "a wide text field"),
        ("{bool} = 1.5", &[], "^", "a boolean field cannot be compared with the number"),
        ("{bool} = {float64}", &[], "^", "cannot be compared"),
        ("{float64} = TRUE", &[], "^", "cannot be compared"),
        ("{int32} BETWEEN 1 AND 'x'", &[], "^", "cannot be compared"),
        ("{int32} LIKE '5'", &[], "{int32} LIKE ^", "LIKE needs a text field"),
        ("{text} LIKE {text}", &[], "{text} LIKE ^", "LIKE needs a text field"),
        ("'x' LIKE {text}", &[], "'x' LIKE ^", "LIKE needs a text field"),
        ("{wide} MATCH 'x'", &[], "{wide} MATCH ^", "MATCH needs a text field"),
        ("{text} MATCH '('", &[], "{text} MATCH ^", "no regular expression"),
        ("{int32} = %0", &[], "{int32} = ^", "there is no parameter %0: 0 were given"),
        ("{int32} = %3", &["1", "2"], "{int32} = ^", "there is no parameter %3: 2 were given"),
        ("{text} = %0", &["plain words"], "{text} = ^", "parameter %0 (plain words): at its character 1"),
        ("{int32} = %0", &["5 6"], "{int32} = ^", "at its character 3: expected the end"),
        ("{int32} = %0", &[""], "{int32} = ^", "parameter %0"),
        ("{int32} = %0", &["{int32}"], "{int32} = ^", "parameter %0"),
    ];
    for (expression, parameters, caret, expected) in table {
        let error = sample.filter(expression, parameters).err().unwrap_or_else(|| panic!("{expression} was accepted"));
        let place = named(caret).chars().position(|c| c == '^').unwrap() + 1;
        assert_eq!(error.character, place, "{expression}: {error}");
        assert!(error.to_string().contains(expected), "{expression}: {error}");
    }
    let many = vec!["1"; 101];
    let error = sample.filter("{int32} = %0", &many).err().unwrap();
    assert!(error.to_string().contains("101 parameters"), "{error}");
}

#[test]
fn nesting_is_limited_not_the_stack() {
    let sample = Sample::new();
    let nested = |depth: usize| format!("{}{{int32}} = -32{}", "(".repeat(depth), ")".repeat(depth));
    assert!(sample.passes(&nested(64), &[]));
    let error = sample.filter(&nested(65), &[]).err().unwrap();
    assert!(error.to_string().contains("at most 64 parentheses"), "{error}");
    assert!(sample.filter(&"(".repeat(1_000_000), &[]).is_err());
    // Side by side they do not count, and no number of NOTs is too large.
    assert!(sample.passes(&vec!["({int32} = -32)"; 1000].join(" AND "), &[]));
    assert!(sample.passes(&format!("{}{{int32}} = -32", "NOT ".repeat(100_000)), &[]));
}
