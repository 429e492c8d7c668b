//! Expressions that are right, and whether the sample passes.

use crate::common::tables::{self, Count, Struct};
use crate::sample::Sample;
use rmw_hazcat_rs::content_filter::ContentFilter;
use rmw_hazcat_rs::encoding;

#[test]
fn a_table_of_expressions() {
    let sample = Sample::new();
    let table: &[(&str, &[&str], bool)] = &[
        // Every operator, in every spelling.
        ("{int32} = -32", &[], true),
        ("{int32} = 32", &[], false),
        ("{int32}<>-32", &[], false),
        ("{int32} != 0", &[], true),
        ("{int32} < -31", &[], true),
        ("{int32} < -32", &[], false),
        ("{int32} <= -32", &[], true),
        ("{int32} > -33", &[], true),
        ("{int32} > -32", &[], false),
        ("{int32} >= -32", &[], true),
        ("-32 = {int32}", &[], true),
        ("-31 < {int32}", &[], false),
        ("  {int32}\t=\n-32 ", &[], true),
        ("{int32} BETWEEN -40 AND -32", &[], true),
        ("{int32} between -31 and 0", &[], false),
        ("{int32} NOT BETWEEN -31 AND 0", &[], true),
        ("{int32} not between -40 and 0", &[], false),
        ("{int32} BETWEEN 0 AND -40", &[], false),
        // Numbers of all kinds, at the ends of their ranges.
        ("{uint64} = 18446744073709551615", &[], true),
        ("{uint64} = 0xFFFFFFFFFFFFFFFF", &[], true),
        ("{uint64} > -1", &[], true),
        ("{int64} = -9223372036854775808", &[], true),
        ("{int64} < {uint64}", &[], true),
        ("{uint32} = 4000000000", &[], true),
        ("{uint16} = 0xfde8", &[], true),
        ("{int16} = -16000", &[], true),
        ("{int8} = -0x8", &[], true),
        ("{byte} = 254", &[], true),
        ("{uint8} = +117", &[], true),
        ("{uint64} = 1.8446744073709552e19", &[], false),
        ("{uint64} < 1.8446744073709552e19", &[], true),
        // A leading zero is just a zero.
        ("{uint8} = 0117", &[], true),
        // A constant beside a float32 is what a float32 makes of it.
        ("{float32} = 3.2", &[], true),
        ("{float32} <> 3.2", &[], false),
        ("{float32} = 3.2000001", &[], true),
        ("{float32} = 3.2000003", &[], false),
        ("{float32} BETWEEN 3.2 AND 3.2", &[], true),
        ("{float32} > 3", &[], true),
        ("{float64} = -2.5", &[], true),
        ("{float64} = -25e-1", &[], true),
        ("{float64} < -.5", &[], true),
        ("{float64} > -3.", &[], true),
        ("{int32} < {float64}", &[], true),
        ("{float32} > {float64}", &[], true),
        ("{int8} < -7.5", &[], true),
        ("{int8} < -8.5", &[], false),
        // Booleans.
        ("{bool} = TRUE", &[], true),
        ("{bool} = false", &[], false),
        ("{bool} = 1", &[], true),
        ("{bool} <> 0", &[], true),
        ("TRUE <> {bool}", &[], false),
        ("{bool} = {uint8}", &[], false),
        // Characters, of fields that can hold one.
        ("{char} = 'c'", &[], true),
        ("{char} = 99", &[], true),
        ("{char} < 'd'", &[], true),
        ("{uint8} = 'u'", &[], true),
        ("{byte} = 'þ'", &[], true),
        ("{wchar} = '€'", &[], true),
        // Texts.
        ("{text} = 'it''s grün'", &[], true),
        ("{text} = `it''s grün'", &[], true),
        ("{text} <> ''", &[], true),
        ("{text} > 'is'", &[], true),
        ("{text} < 'j'", &[], true),
        ("{text} BETWEEN 'i' AND 'j'", &[], true),
        ("{text} <> {texts}[0]", &[], true),
        ("{text} LIKE '%gr_n'", &[], true),
        ("{text} like 'it*'", &[], true),
        ("{text} LIKE 'it'", &[], false),
        ("{text} NOT BETWEEN 'a' AND 'b' AND NOT {text} LIKE 'x%'", &[], true),
        ("{text} MATCH 'it.+n'", &[], true),
        ("{text} match 'it'", &[], false),
        ("{wide} = 'weit€'", &[], true),
        ("{wide} > 'weit'", &[], true),
        ("{wide} <> 'eng'", &[], true),
        // Parameters.
        ("{int32} = %0", &["-32"], true),
        ("{int32} = %1 OR {text} = %0", &["'it''s grün'", " 5 "], true),
        ("{bool} = %0", &["TRUE"], true),
        ("{float32} = %0", &["3.2"], true),
        ("{text} LIKE %0", &["'it%'"], true),
        ("{int32} BETWEEN %0 AND %1", &["-33", "-31"], true),
        ("{uint8} = %11", &["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "'u'"], true),
        // A parameter that the expression does not name may be anything.
        ("{int32} = -32", &["nonsense"], true),
        // Nested fields and elements.
        ("{point}.field_0 = 1.5", &[], true),
        ("{point}.field_1 = 'here' AND {point}.field_2 = 7", &[], true),
        ("{numbers}[1] = -2", &[], true),
        ("{numbers}[0] = 1 AND {numbers}[2] = 3", &[], true),
        ("{texts}[1] = 'one'", &[], true),
        ("{points}[0].field_1 = 'first'", &[], true),
        ("{points}[2].field_0 = 30 AND {points}[1].field_1 = ''", &[], true),
        ("{points}[2].field_2 = 3 AND {points}[0].field_2 = 1", &[], true),
        ("{points}[2].field_0 > {points}[1].field_0", &[], true),
        // What a sequence does not have is neither equal nor unequal.
        ("{texts}[2] = 'x'", &[], false),
        ("{texts}[2] <> 'x'", &[], false),
        ("NOT {texts}[2] = 'x'", &[], false),
        ("{points}[3].field_0 < 0 OR {bool} = TRUE", &[], true),
        ("NOT ({points}[3].field_0 < 0 AND {bool} = FALSE)", &[], true),
        ("NOT ({points}[3].field_0 < 0 AND {bool} = TRUE)", &[], false),
        // AND before OR, NOT before both; parentheses.
        ("{bool} = TRUE OR {bool} = TRUE AND {bool} = FALSE", &[], true),
        ("({bool} = TRUE OR {bool} = TRUE) AND {bool} = FALSE", &[], false),
        ("NOT {bool} = FALSE AND {bool} = FALSE", &[], false),
        ("NOT {bool} = TRUE OR {bool} = TRUE", &[], true),
        ("NOT ({bool} = FALSE AND {bool} = FALSE)", &[], true),
        ("NOT NOT {bool} = TRUE", &[], true),
        ("not(not(not({bool} = TRUE)))", &[], false),
        ("(((({bool}=TRUE))))", &[], true),
        ("{bool} = TRUE and {int32} = -32 Or {bool} = FALSE", &[], true),
        ("{int32} BETWEEN -33 AND -31 AND {int32} = -32", &[], true),
        ("{int32}=-32AND{bool}=TRUE", &[], false),
    ];
    // The last one shows that the table can fail: a number must end before a word begins.
    let (last, table) = table.split_last().unwrap();
    assert!(sample.filter(last.0, last.1).is_err());
    for (expression, parameters, expected) in table {
        assert_eq!(sample.passes(expression, parameters), *expected, "{expression} with {parameters:?}");
    }
}

#[test]
fn a_plain_message_is_judged_where_it_lies_and_as_cdr() {
    let numbers = tables::numbers();
    let inner = Struct::new("Inner", vec![(numbers[7].clone(), Count::One), (numbers[10].clone(), Count::Array(2))]);
    let fields = vec![
        (numbers[5].clone(), Count::One),
        (numbers[1].clone(), Count::One),
        (tables::Kind::Struct(inner), Count::Array(3)),
    ];
    let tables = Struct::new("Plain", fields);
    let kind = tables.message_type().unwrap();
    assert!(kind.is_plain());
    let message = crate::common::Message::new(&kind);
    // SAFETY: the message has as many bytes.
    let bytes = unsafe { std::slice::from_raw_parts_mut(message.memory.cast::<u8>(), kind.size_of()) };
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = index as u8;
    }
    bytes[0] = 1;
    bytes[8..16].copy_from_slice(&0.25_f64.to_ne_bytes());
    let in_memory = bytes.to_vec();
    let cdr = crate::sample::chunk(&message.bytes().unwrap());
    let third = kind.fields()[2].offset + 2 * kind.fields()[2].element_size(kind.language());
    let word = i16::from_ne_bytes([in_memory[third + 4], in_memory[third + 5]]);
    for (expression, expected) in [
        ("field_0 = TRUE AND field_1 = 0.25".to_owned(), true),
        ("field_1 > 0.25".to_owned(), false),
        (format!("field_2[2].field_0 = {third}"), true),
        (format!("field_2[2].field_1[1] = {word}"), true),
        (format!("field_2[2].field_1[0] = {word}"), false),
    ] {
        let mut filter = ContentFilter::new(&expression, &[], &kind).unwrap();
        assert_eq!(filter.passes(encoding::PLAIN, &in_memory), expected, "{expression} in memory");
        assert_eq!(filter.passes(encoding::CDR, &cdr), expected, "{expression} in CDR");
        // Of another length it is not this type; taking it says so.
        assert!(filter.passes(encoding::PLAIN, &in_memory[1..]), "{expression}");
    }
    drop(message);
    drop(tables);
}

#[test]
fn a_message_that_cannot_be_read_is_let_through() {
    let sample = Sample::new();
    let mut filter = sample.filter("{points}[2].field_0 = 0", &[]).unwrap();
    assert!(!filter.passes(encoding::CDR, &sample.little));
    for len in 0..sample.little.len() - 40 {
        assert!(filter.passes(encoding::CDR, &sample.little[..len]), "cut at {len}");
    }
    assert!(filter.passes(77, &sample.little));
    assert!(filter.passes(encoding::PLAIN, &sample.little));
    let mut wrong = sample.little.clone();
    wrong[5] = 9;
    assert!(filter.passes(encoding::CDR, &wrong), "no XCDR1");
}

#[test]
fn not_a_number_is_only_unequal() {
    let tables = Struct::new("Single", vec![(tables::numbers()[0].clone(), Count::One)]);
    let kind = tables.message_type().unwrap();
    let nan = f32::NAN.to_ne_bytes();
    for (expression, expected) in [
        ("field_0 = 0", false),
        ("field_0 <> 0", true),
        ("field_0 < 0", false),
        ("field_0 >= 0", false),
        ("field_0 = field_0", false),
        ("NOT field_0 = 0", true),
        ("field_0 BETWEEN 0 AND 1", false),
        ("field_0 NOT BETWEEN 0 AND 1", true),
    ] {
        let mut filter = ContentFilter::new(expression, &[], &kind).unwrap();
        assert_eq!(filter.passes(encoding::PLAIN, &nan), expected, "{expression}");
    }
}
