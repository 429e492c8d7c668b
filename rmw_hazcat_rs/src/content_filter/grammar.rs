//! The grammar: the filter language of the DDS specification (annex B of DDS 1.4), as ROS 2 uses it.
//!
//! ```text
//! expression := conjunction { OR conjunction }
//! conjunction:= term { AND term }
//! term       := { NOT } ( '(' expression ')' | predicate )
//! predicate  := operand operator operand
//!             | operand [ NOT ] BETWEEN operand AND operand
//! operator   := '=' | '<>' | '!=' | '<' | '<=' | '>' | '>=' | LIKE | MATCH
//! operand    := field | literal | '%' digit [ digit ]
//! field      := name [ '[' digits ']' ] { '.' name [ '[' digits ']' ] }
//! literal    := TRUE | FALSE | integer | 0x digits | float | 'text'
//! ```
//!
//! As in SQL, `NOT` binds more tightly than `AND`, and `AND` more than `OR` (Fast DDS reads `AND` and `OR` from left to
//! right, and applies a `NOT` to all that follows). Keywords may be in either case. A text ends with `'` and begins with
//! `'` or a backquote; `''` inside stands for a quote.
//!
//! Any text may come in: parsing ends with an expression or with a [`SyntaxError`], and nests at most [`MAX_NESTING`].

use std::fmt;

use winnow::ascii::{digit0, digit1, hex_digit1, multispace0, Caseless};
use winnow::combinator::{alt, cut_err, dispatch, fail, not, opt, peek, preceded, terminated};
use winnow::error::{AddContext, ErrMode, ModalResult, ParserError};
use winnow::stream::{Location, Stateful, Stream};
use winnow::token::{any, one_of, take_till, take_while};
use winnow::{LocatingSlice, Parser};

use super::expression::{Expression, FieldStep, Literal, Operand, OperandValue, Operator};

/// Most parentheses inside each other.
pub const MAX_NESTING: usize = 64;

/// Text that is no filter expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// The character, from 1, at which it ceases to be one.
    pub character: usize,
    /// What could have stood there.
    pub expected: Vec<&'static str>,
    /// What stands there: some characters; empty at the end.
    pub found: String,
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected ")?;
        for (index, what) in self.expected.iter().enumerate() {
            let separator = match index {
                0 => "",
                _ if index + 1 == self.expected.len() => " or ",
                _ => ", ",
            };
            write!(f, "{separator}{what}")?;
        }
        if self.found.is_empty() {
            f.write_str(", found the end")
        } else {
            write!(f, ", found '{}'", self.found)
        }
    }
}

impl std::error::Error for SyntaxError {}

/// Parses a filter expression.
///
/// # Errors
/// [`SyntaxError`] at the first character that does not fit.
pub fn parse(text: &str) -> Result<Expression, SyntaxError> {
    whole(text, disjunction, &["AND", "OR"])
}

/// Parses a value, as parameters have it.
///
/// # Errors
/// [`SyntaxError`] at the first character that does not fit.
pub fn parse_literal(text: &str) -> Result<Literal, SyntaxError> {
    whole(text, literal, &[])
}

fn whole<'a, T>(
    text: &'a str,
    mut parser: impl FnMut(&mut Input<'a>) -> Parsed<T>,
    or: &[&'static str],
) -> Result<T, SyntaxError> {
    let mut input = Input { input: LocatingSlice::new(text), state: Nesting(0) };
    let result = multispace0.parse_next(&mut input).and_then(|_| parser(&mut input));
    let error = match result {
        Ok(value) if input.is_empty() => return Ok(value),
        Ok(_) => {
            let mut expected = or.to_vec();
            expected.push("the end");
            Expected { at: input.current_token_start(), what: expected, precise: true }
        }
        Err(error) => error.into_inner().unwrap_or_else(|_| Expected { at: 0, what: Vec::new(), precise: false }),
    };
    let found = text.get(error.at..).unwrap_or_default().chars().take(FOUND).collect();
    Err(SyntaxError { character: character(text, error.at), expected: error.what, found })
}

/// The number, from 1, of the character that begins at a byte.
pub(super) fn character(text: &str, at: usize) -> usize {
    text.char_indices().take_while(|(start, _)| *start < at).count() + 1
}

/// Characters shown of what was found.
const FOUND: usize = 16;

/// How many parentheses are open.
#[derive(Clone, Copy, Debug)]
struct Nesting(usize);

type Input<'a> = Stateful<LocatingSlice<&'a str>, Nesting>;
type Parsed<T> = ModalResult<T, Expected>;

/// What was expected at the furthest place that was reached.
#[derive(Debug)]
struct Expected {
    at: usize,
    what: Vec<&'static str>,
    /// Whether `what` says more than the name of the whole would.
    precise: bool,
}

impl ParserError<Input<'_>> for Expected {
    type Inner = Self;

    fn from_input(input: &Input<'_>) -> Self {
        Self { at: input.current_token_start(), what: Vec::new(), precise: false }
    }

    fn or(mut self, mut other: Self) -> Self {
        if self.at > other.at {
            return self;
        }
        if self.at == other.at {
            self.what.append(&mut other.what);
            return self;
        }
        other
    }

    fn into_inner(self) -> Result<Self, Self> {
        Ok(self)
    }
}

impl<'a> AddContext<Input<'a>, &'static str> for Expected {
    /// What failed at its very beginning is what was expected there.
    fn add_context(self, input: &Input<'a>, start: &<Input<'a> as Stream>::Checkpoint, what: &'static str) -> Self {
        let mut beginning = *input;
        beginning.reset(start);
        if self.what.is_empty() || (self.at == beginning.current_token_start() && !self.precise) {
            return Self { what: vec![what], ..self };
        }
        self
    }
}

type Failed = ErrMode<Expected>;

/// An end for a reason that the grammar does not have.
fn refused(at: usize, what: &'static str) -> Failed {
    ErrMode::Cut(Expected { at, what: vec![what], precise: true })
}

fn disjunction(input: &mut Input<'_>) -> Parsed<Expression> {
    list(input, conjunction, "OR", Expression::Any)
}

fn conjunction(input: &mut Input<'_>) -> Parsed<Expression> {
    list(input, term, "AND", Expression::All)
}

/// One part alone stands for itself.
fn list(
    input: &mut Input<'_>,
    part: fn(&mut Input<'_>) -> Parsed<Expression>,
    word: &'static str,
    make: fn(Vec<Expression>) -> Expression,
) -> Parsed<Expression> {
    let first = part(input)?;
    let mut all = Vec::new();
    while opt(keyword(word)).parse_next(input)?.is_some() {
        all.push(cut_err(part).parse_next(input)?);
    }
    if all.is_empty() {
        return Ok(first);
    }
    all.insert(0, first);
    Ok(make(all))
}

fn term(input: &mut Input<'_>) -> Parsed<Expression> {
    let mut negated = false;
    while opt(keyword("NOT")).parse_next(input)?.is_some() {
        negated = !negated;
    }
    let inner = alt((group, predicate)).parse_next(input)?;
    Ok(if negated { Expression::Not(Box::new(inner)) } else { inner })
}

fn group(input: &mut Input<'_>) -> Parsed<Expression> {
    symbol("(").context("'('").parse_next(input)?;
    input.state.0 += 1;
    if input.state.0 > MAX_NESTING {
        return Err(refused(input.current_token_start(), "at most 64 parentheses inside each other"));
    }
    let inner = cut_err(disjunction).parse_next(input)?;
    // The words have been tried already and are only named again for the error.
    let end = alt((symbol(")").context("')'"), keyword("AND"), keyword("OR")));
    cut_err(end).parse_next(input)?;
    input.state.0 -= 1;
    Ok(inner)
}

fn predicate(input: &mut Input<'_>) -> Parsed<Expression> {
    let left = operand(input)?;
    let between = (opt(keyword("NOT")), keyword("BETWEEN").context("BETWEEN")).map(|(not, ())| not.is_some());
    // What may follow is said once, whichever of them was tried last.
    let relation = alt((between.map(Relation::Between), operator.map(Relation::Operator)));
    match cut_err(relation).parse_next(input)? {
        Relation::Operator(operator) => {
            let right = cut_err(operand).parse_next(input)?;
            Ok(Expression::Compare { left, operator, right })
        }
        Relation::Between(negated) => {
            let low = cut_err(operand).parse_next(input)?;
            cut_err(keyword("AND")).parse_next(input)?;
            let high = cut_err(operand).parse_next(input)?;
            Ok(Expression::Between { operand: left, negated, low, high })
        }
    }
}

enum Relation {
    Operator(Operator),
    Between(bool),
}

fn operator(input: &mut Input<'_>) -> Parsed<Operator> {
    alt((
        symbol("<>").value(Operator::NotEqual),
        symbol("!=").value(Operator::NotEqual),
        symbol("<=").value(Operator::LessOrEqual),
        symbol(">=").value(Operator::GreaterOrEqual),
        symbol("<").value(Operator::Less),
        symbol(">").value(Operator::Greater),
        symbol("=").value(Operator::Equal),
        keyword("LIKE").value(Operator::Like),
        keyword("MATCH").value(Operator::Match),
    ))
    .context("an operator (=, <>, <, <=, >, >=, LIKE, MATCH)")
    .parse_next(input)
}

fn operand(input: &mut Input<'_>) -> Parsed<Operand> {
    let at = input.current_token_start();
    let value = alt((
        parameter.map(OperandValue::Parameter),
        literal.map(OperandValue::Literal),
        field.map(OperandValue::Field),
    ))
    .parse_next(input)?;
    Ok(Operand { value, at })
}

fn parameter(input: &mut Input<'_>) -> Parsed<usize> {
    '%'.context("a parameter (%0 to %99)").parse_next(input)?;
    let number = terminated(take_while(1..=2, |c: char| c.is_ascii_digit()), not(one_of(is_in_name)));
    let digits = cut_err(number.context("one or two digits")).parse_next(input)?;
    multispace0.parse_next(input)?;
    Ok(digits.bytes().fold(0, |number, digit| number * 10 + usize::from(digit - b'0')))
}

fn field(input: &mut Input<'_>) -> Parsed<Vec<FieldStep>> {
    let mut steps = vec![field_step.context("a field").parse_next(input)?];
    while opt('.').parse_next(input)?.is_some() {
        steps.push(cut_err(field_step.context("the name of a field")).parse_next(input)?);
    }
    multispace0.parse_next(input)?;
    Ok(steps)
}

fn field_step(input: &mut Input<'_>) -> Parsed<FieldStep> {
    let mut name = (one_of(|c: char| c.is_ascii_alphabetic() || c == '_'), take_while(0.., is_in_name)).take();
    let name = name.parse_next(input)?.to_owned();
    let element = match opt('[').parse_next(input)? {
        None => None,
        Some(_) => {
            let index =
                digit1.verify_map(|digits: &str| digits.parse::<usize>().ok()).context("the index of an element");
            Some(cut_err(terminated(index, ']'.context("']'"))).parse_next(input)?)
        }
    };
    Ok(FieldStep { name, element })
}

fn literal(input: &mut Input<'_>) -> Parsed<Literal> {
    // By the first character, so that what is wrong inside a value is said about the value.
    let value = dispatch! { peek(any);
        '0'..='9' | '+' | '-' | '.' => cut_err(number),
        '\'' | '`' => cut_err(text).map(Literal::Text),
        't' | 'T' => keyword("TRUE").value(Literal::Boolean(true)),
        'f' | 'F' => keyword("FALSE").value(Literal::Boolean(false)),
        _ => fail,
    }
    .context("a value")
    .parse_next(input)?;
    multispace0.parse_next(input)?;
    Ok(value)
}

fn text(input: &mut Input<'_>) -> Parsed<String> {
    one_of(['\'', '`']).parse_next(input)?;
    let mut text = String::new();
    loop {
        text.push_str(take_till(0.., '\'').parse_next(input)?);
        '\''.context("a closing quote (')").parse_next(input)?;
        if opt('\'').parse_next(input)?.is_none() {
            return Ok(text);
        }
        text.push('\'');
    }
}

fn number(input: &mut Input<'_>) -> Parsed<Literal> {
    let start = input.current_token_start();
    let negative = opt(one_of(['+', '-'])).parse_next(input)? == Some('-');
    let hex = preceded(('0', one_of(['x', 'X'])), hex_digit1).map(|digits: &str| i128::from_str_radix(digits, 16).ok());
    let exponent = || (one_of(['e', 'E']), opt(one_of(['+', '-'])), digit1).void();
    let float = alt((
        (digit1, '.', digit0, opt(exponent())).void(),
        ('.', digit1, opt(exponent())).void(),
        (digit1, exponent()).void(),
    ));
    // What does not fit is too large; the empty text is not a number and does not come here.
    let magnitude = alt((
        hex.map(Magnitude::Integer),
        float.take().map(|text: &str| Magnitude::Float(text.parse().unwrap_or(f64::NAN))),
        digit1.map(|digits: &str| Magnitude::Integer(digits.parse().ok())),
    ))
    .context("a number")
    .parse_next(input)?;
    not(one_of(is_in_name)).context("the end of the number").parse_next(input)?;
    match magnitude {
        Magnitude::Float(value) if value.is_finite() => Ok(Literal::Float(if negative { -value } else { value })),
        Magnitude::Float(_) => Err(refused(start, "a number that a float64 can hold")),
        Magnitude::Integer(value) => {
            let value = value.map(|value| if negative { -value } else { value });
            match value.filter(|value| (i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(value)) {
                Some(value) => Ok(Literal::Integer(value)),
                None => Err(refused(start, "a whole number of at most 64 bits")),
            }
        }
    }
}

enum Magnitude {
    Integer(Option<i128>),
    Float(f64),
}

fn is_in_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// A word in either case, alone, and the space behind it.
fn keyword<'a>(word: &'static str) -> impl Parser<Input<'a>, (), Failed> {
    terminated(Caseless(word), (not(one_of(is_in_name)), multispace0)).void().context(word)
}

/// Characters, and the space behind them.
fn symbol<'a>(text: &'static str) -> impl Parser<Input<'a>, (), Failed> {
    terminated(text, multispace0).void()
}
