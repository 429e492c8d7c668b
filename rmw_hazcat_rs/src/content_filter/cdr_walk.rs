//! The values in a CDR stream: found by walking over it, from the front to the last field in question.
//!
//! The bytes are whatever somebody sent. Nothing is read outside of them, and the walk ends early (`None`) where they are
//! not a message of the type; it takes at most as many steps as there are bytes.

use super::condition::Value;
use super::field_path::{FieldPath, PathStep};
use super::plain_fields::read;
use crate::cdr::ENCAPSULATION_SIZE;
use crate::encoding::CDR_PADDING;
use crate::typesupport::{Cardinality, Field, FieldKind, MessageType, Primitive};

/// The message itself in a CDR payload, and whether it is of the other byte order; `None` if it is no XCDR1.
pub(super) fn body(payload: &[u8]) -> Option<(&[u8], bool)> {
    let (header, body) = payload.get(CDR_PADDING..)?.split_first_chunk::<ENCAPSULATION_SIZE>()?;
    match header {
        [0, 0, ..] => Some((body, cfg!(target_endian = "little"))),
        [0, 1, ..] => Some((body, cfg!(target_endian = "big"))),
        _ => None,
    }
}

/// What to do on the way through a stream.
#[derive(Debug)]
pub(super) struct Walk(Vec<Step>);

/// A value's slot, where it is in question.
type Slot = Option<usize>;

#[derive(Debug)]
enum Step {
    /// Numbers one behind the other; of those in question, element and slot.
    Numbers {
        primitive: Primitive,
        count: Count,
        wanted: Vec<(usize, usize)>,
    },
    Text(Slot),
    Wide(Slot),
    /// Texts or messages; of those in question, element and what to do with it. `others`: with all else.
    Elements {
        count: Count,
        wanted: Vec<(usize, Vec<Step>)>,
        others: Vec<Step>,
    },
}

#[derive(Clone, Copy, Debug)]
enum Count {
    Fixed(usize),
    /// The stream says how many.
    Told,
}

/// The rest of a path, and the slot its value goes to.
type Wanted<'a> = (&'a [PathStep], usize);

impl Walk {
    /// The walk that finds the values at these paths, each for the slot of its index.
    pub(super) fn compile(kind: &MessageType, paths: &[FieldPath]) -> Self {
        let wanted: Vec<Wanted<'_>> = paths.iter().enumerate().map(|(slot, path)| (path.0.as_slice(), slot)).collect();
        let mut steps = Vec::new();
        message(kind, &wanted, &mut steps);
        // Nobody asks for what comes behind the last one.
        steps.truncate(steps.iter().rposition(Step::is_wanted).map_or(0, |last| last + 1));
        Self(steps)
    }

    /// Finds the values in a message's body.
    pub(super) fn run(&self, body: &[u8], swap: bool, values: &mut [Value]) -> Option<()> {
        Walker { body, at: 0, swap, values }.run(&self.0)
    }
}

impl Step {
    fn is_wanted(&self) -> bool {
        match self {
            Self::Numbers { wanted, .. } => !wanted.is_empty(),
            Self::Elements { wanted, .. } => !wanted.is_empty(),
            Self::Text(slot) | Self::Wide(slot) => slot.is_some(),
        }
    }
}

fn message(kind: &MessageType, wanted: &[Wanted<'_>], steps: &mut Vec<Step>) {
    for (index, own) in kind.fields().iter().enumerate() {
        let of_field: Vec<(Option<usize>, Wanted<'_>)> = wanted
            .iter()
            .filter_map(|(path, slot)| {
                let (first, rest) = path.split_first()?;
                (first.field == index).then_some((first.element, (rest, *slot)))
            })
            .collect();
        field(own, &of_field, steps);
    }
}

fn field(field: &Field, wanted: &[(Option<usize>, Wanted<'_>)], steps: &mut Vec<Step>) {
    let count = match field.cardinality {
        Cardinality::One => None,
        Cardinality::Array(count) => Some(Count::Fixed(count)),
        Cardinality::Sequence { .. } => Some(Count::Told),
    };
    let all: Vec<Wanted<'_>> = wanted.iter().map(|(_, wanted)| *wanted).collect();
    match (&field.kind, count) {
        (FieldKind::Primitive(primitive), count) => {
            let wanted = wanted.iter().map(|(element, (_, slot))| (element.unwrap_or(0), *slot)).collect();
            steps.push(Step::Numbers { primitive: *primitive, count: count.unwrap_or(Count::Fixed(1)), wanted });
        }
        (_, None) => element(&field.kind, &all, steps),
        (kind, Some(count)) => {
            let steps_of = |wanted: &[Wanted<'_>]| {
                let mut steps = Vec::new();
                element(kind, wanted, &mut steps);
                steps
            };
            let mut indices: Vec<usize> = wanted.iter().filter_map(|(element, _)| *element).collect();
            indices.sort_unstable();
            indices.dedup();
            let wanted = indices.into_iter().map(|index| {
                let own = wanted.iter().filter(|(element, _)| *element == Some(index)).map(|(_, wanted)| *wanted);
                (index, steps_of(&own.collect::<Vec<_>>()))
            });
            steps.push(Step::Elements { count, wanted: wanted.collect(), others: steps_of(&[]) });
        }
    }
}

/// One text or message.
fn element(kind: &FieldKind, wanted: &[Wanted<'_>], steps: &mut Vec<Step>) {
    let slot = wanted.first().map(|(_, slot)| *slot);
    match kind {
        FieldKind::String { .. } => steps.push(Step::Text(slot)),
        FieldKind::WString { .. } => steps.push(Step::Wide(slot)),
        FieldKind::Message(inner) => message(inner, wanted, steps),
        FieldKind::Primitive(primitive) => steps.push(Step::Numbers {
            primitive: *primitive,
            count: Count::Fixed(1),
            wanted: slot.map(|slot| (0, slot)).into_iter().collect(),
        }),
    }
}

struct Walker<'a> {
    body: &'a [u8],
    at: usize,
    swap: bool,
    values: &'a mut [Value],
}

impl Walker<'_> {
    /// Goes over `len` bytes behind the alignment; where they begin.
    fn pass(&mut self, align: usize, len: usize) -> Option<usize> {
        let start = self.at.checked_next_multiple_of(align)?;
        let end = start.checked_add(len)?;
        if end > self.body.len() {
            return None;
        }
        self.at = end;
        Some(start)
    }

    fn length(&mut self) -> Option<usize> {
        let start = self.pass(4, 4)?;
        let length = u32::from_ne_bytes(*self.body.get(start..)?.first_chunk()?);
        Some(if self.swap { length.swap_bytes() } else { length } as usize)
    }

    fn count(&mut self, count: Count) -> Option<usize> {
        match count {
            Count::Fixed(count) => Some(count),
            Count::Told => self.length(),
        }
    }

    fn put(&mut self, slot: usize, value: Value) {
        if let Some(place) = self.values.get_mut(slot) {
            *place = value;
        }
    }

    fn run(&mut self, steps: &[Step]) -> Option<()> {
        for step in steps {
            match step {
                Step::Numbers { primitive, count, wanted } => self.numbers(*primitive, *count, wanted)?,
                Step::Text(slot) => self.text(*slot)?,
                Step::Wide(slot) => self.wide(*slot)?,
                Step::Elements { count, wanted, others } => self.elements(*count, wanted, others)?,
            }
        }
        Some(())
    }

    fn numbers(&mut self, primitive: Primitive, count: Count, wanted: &[(usize, usize)]) -> Option<()> {
        let count = self.count(count)?;
        if count == 0 {
            return Some(());
        }
        let size = primitive.size();
        let start = self.pass(primitive.cdr_align(), count.checked_mul(size)?)?;
        for (element, slot) in wanted.iter().filter(|(element, _)| *element < count) {
            let number = read(self.body.get(start + element * size..)?, primitive, self.swap)?;
            self.put(*slot, Value::Number(number));
        }
        Some(())
    }

    fn text(&mut self, slot: Slot) -> Option<()> {
        let with_nul = self.length()?;
        let start = self.pass(1, with_nul)?;
        if let Some(slot) = slot {
            let text = self.body.get(start..self.at)?;
            let len = text.strip_suffix(b"\0").unwrap_or(text).len();
            self.put(slot, Value::Text { start, len });
        }
        Some(())
    }

    fn wide(&mut self, slot: Slot) -> Option<()> {
        let units = self.length()?;
        let start = self.pass(4, units.checked_mul(4)?)?;
        if let Some(slot) = slot {
            self.put(slot, Value::Wide { start, units });
        }
        Some(())
    }

    fn elements(&mut self, count: Count, wanted: &[(usize, Vec<Step>)], others: &[Step]) -> Option<()> {
        let count = self.count(count)?;
        let mut wanted = wanted.iter().peekable();
        for index in 0..count {
            let before = self.at;
            match wanted.next_if(|(element, _)| *element == index) {
                Some((_, steps)) => self.run(steps)?,
                None => self.run(others)?,
            }
            // Elements of no bytes do not exist in ROS.
            if self.at == before {
                return None;
            }
        }
        Some(())
    }
}
