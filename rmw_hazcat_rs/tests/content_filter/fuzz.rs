//! Any text may come in: parsing ends with an expression or an error, and what it says of an expression can be written
//! and read again.

use crate::common::random::{rounds, Random};
use crate::sample::Sample;
use rmw_hazcat_rs::content_filter::expression::{Expression, FieldStep, Literal, Operand, OperandValue, Operator};
use rmw_hazcat_rs::content_filter::grammar::{parse, parse_literal};
use rmw_hazcat_rs::encoding;

/// What expressions are made of, and some things that they are not.
const PIECES: [&str; 48] = [
    "AND",
    "OR",
    "NOT",
    "BETWEEN",
    "LIKE",
    "MATCH",
    "TRUE",
    "false",
    "and",
    "nOt",
    "(",
    ")",
    "((",
    "))",
    "=",
    "<>",
    "!=",
    "<",
    "<=",
    ">",
    ">=",
    "%0",
    "%99",
    "%",
    "%100",
    "'",
    "''",
    "'a'",
    "`x'",
    "field_0",
    "field_17[2]",
    "field_20[1].field_1",
    "a.b",
    "x[",
    "]",
    ".",
    "0",
    "-1",
    "0x1f",
    "1e5",
    ".5",
    "1e",
    "18446744073709551616",
    " ",
    "\t",
    "\0",
    "€",
    "\u{10ffff}",
];

fn soup(random: &mut Random) -> String {
    let mut text = String::new();
    for _ in 0..random.below(24) {
        text.push_str(PIECES[random.below(PIECES.len())]);
        if random.chance(2) {
            text.push(' ');
        }
    }
    text
}

/// A right expression with a few wrong words.
fn nearly_right(random: &mut Random) -> String {
    let right = [
        "NOT ( field_12 = 5 AND field_15 LIKE 'it%' ) OR field_17[2] BETWEEN %0 AND 7",
        "field_20[1].field_1 <> %1 AND field_0 < 1.5 OR field_5 = TRUE AND field_12 > field_14",
        "field_15 MATCH '.*' OR field_16 = 'x' AND NOT field_18[0] = 'zero'",
    ][random.below(3)];
    let mut words: Vec<&str> = right.split(' ').collect();
    for _ in 0..random.below(4) {
        let at = random.below(words.len());
        match random.below(3) {
            0 if words.len() > 1 => drop(words.remove(at)),
            1 => words.insert(at, PIECES[random.below(PIECES.len())]),
            _ => words[at] = PIECES[random.below(PIECES.len())],
        }
    }
    words.join(" ")
}

fn operand(random: &mut Random) -> Operand {
    let value = match random.below(4) {
        0 => OperandValue::Parameter(random.below(100)),
        1 => OperandValue::Literal(literal(random)),
        _ => OperandValue::Field(
            (0..=random.below(3))
                .map(|_| FieldStep {
                    name: ["a", "b_2", "_x", "Note", "android", "t", "false_positive"][random.below(7)].to_owned(),
                    element: random.chance(3).then(|| random.below(1000)),
                })
                .collect(),
        ),
    };
    Operand { value, at: 0 }
}

fn literal(random: &mut Random) -> Literal {
    match random.below(4) {
        0 => Literal::Boolean(random.chance(2)),
        1 => Literal::Integer(i128::from(random.next() as i64) >> random.below(64)),
        2 => {
            let value = f64::from_bits(random.next());
            Literal::Float(if value.is_finite() { value } else { 0.1 })
        }
        _ => Literal::Text((0..random.below(6)).map(|_| ['a', '\'', ' ', '%', '€', '\n'][random.below(6)]).collect()),
    }
}

fn expression(random: &mut Random, depth: usize) -> Expression {
    let several = |random: &mut Random| (0..2 + random.below(3)).map(|_| expression(random, depth - 1)).collect();
    match random.below(if depth == 0 { 2 } else { 5 }) {
        0 => {
            let operator = [
                Operator::Equal,
                Operator::NotEqual,
                Operator::Less,
                Operator::LessOrEqual,
                Operator::Greater,
                Operator::GreaterOrEqual,
                Operator::Like,
                Operator::Match,
            ][random.below(8)];
            Expression::Compare { left: operand(random), operator, right: operand(random) }
        }
        1 => Expression::Between {
            operand: operand(random),
            negated: random.chance(2),
            low: operand(random),
            high: operand(random),
        },
        2 => Expression::Any(several(random)),
        3 => Expression::All(several(random)),
        _ => match expression(random, depth - 1) {
            // Two of them are none.
            Expression::Not(inner) => *inner,
            other => Expression::Not(Box::new(other)),
        },
    }
}

#[test]
fn any_text_ends_well() {
    let mut random = Random::new("filter soup");
    let sample = Sample::new();
    let (mut parsed, mut bound) = (0, 0);
    for _ in 0..rounds(30_000) {
        let text = if random.chance(2) { soup(&mut random) } else { nearly_right(&mut random) };
        let _ = parse_literal(&text);
        match parse(&text) {
            Ok(expression) => {
                parsed += 1;
                let again = parse(&expression.to_string());
                assert_eq!(again.as_ref(), Ok(&expression), "{text:?} became {expression}");
            }
            Err(error) => {
                assert!(!error.expected.is_empty(), "{text:?}: {error}");
                assert!((1..=text.chars().count() + 1).contains(&error.character), "{text:?}: {error}");
            }
        }
        if let Ok(mut filter) = sample.filter(&text, &["1", "'a'"]) {
            bound += 1;
            filter.passes(encoding::CDR, &sample.little);
        }
    }
    println!("{parsed} parsed, {bound} bound");
    assert!(parsed > 0 && bound > 0, "{parsed} parsed, {bound} bound: the soup is too thin");
}

#[test]
fn what_is_written_is_read_again() {
    let mut random = Random::new("filter expressions");
    for _ in 0..rounds(5_000) {
        let expression = expression(&mut random, 4);
        let text = expression.to_string();
        assert_eq!(parse(&text).as_ref(), Ok(&expression), "{text}");
    }
}

#[test]
fn any_bytes_are_judged() {
    let mut random = Random::new("filter bytes");
    let sample = Sample::new();
    let expressions = ["{points}[3].field_1 = 'x' AND {wide} <> 'y'", "{texts}[1] LIKE '%a%' OR {point}.field_0 = 3"];
    let mut filters: Vec<_> = expressions.iter().map(|text| sample.filter(text, &[]).unwrap()).collect();
    let (mut passed, mut stopped) = (0, 0);
    for _ in 0..rounds(30_000) {
        let mut bytes = sample.little.clone();
        for _ in 0..random.below(4) {
            let at = random.below(bytes.len());
            bytes[at] = if random.chance(2) { 0xff } else { random.next() as u8 };
        }
        bytes.truncate(if random.chance(4) { random.below(bytes.len()) } else { bytes.len() });
        // Of its own size, so that a sanitizer sees every step behind it.
        let bytes = bytes.into_boxed_slice();
        for filter in &mut filters {
            if filter.passes(encoding::CDR, &bytes) {
                passed += 1;
            } else {
                stopped += 1;
            }
        }
    }
    assert!(passed > 0 && stopped > 0);
}
