//! Expressions, compiled: a small tree over the fields of one record.
//!
//! CEL with one difference, because a stream of events has no one to ask: where CEL stops with an error (a missing
//! field, a text times a number, a division by zero, an overflow) the result here is «no value». A comparison with no
//! value is false, `!=` included; in `&&`, `||`, `!` and at the top everything that is not `true` counts as false.
//! `has(a.b)` tells whether a field is there. Numbers compare and compute by value: an integer with a double gives a
//! double, two integers an integer (`7 / 2` is 3).

pub(crate) use crate::row::Row;
use crate::value::Value;

/// One node.
#[derive(Debug)]
pub(crate) enum Expr {
    Literal(Value<'static>),
    /// A field of the JSON, by its slot.
    Field(usize),
    /// The stream's own key and type: read from the record's spans, the JSON is not touched.
    Key,
    Kind,
    /// What the rule that fires knows, by its place among its names.
    Told(usize),
    Has(usize),
    Size(Box<Expr>),
    Not(Box<Expr>),
    Negate(Box<Expr>),
    And(Box<[Expr; 2]>),
    Or(Box<[Expr; 2]>),
    Compare(Comparison, Box<[Expr; 2]>),
    Arithmetic(Arithmetic, Box<[Expr; 2]>),
    TextTest(TextTest, Box<[Expr; 2]>),
    In(Box<Expr>, Vec<Expr>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TextTest {
    StartsWith,
    EndsWith,
    Contains,
}

impl Expr {
    /// Whether it is true of the record.
    pub(crate) fn test<'a>(&'a self, row: &mut Row<'a>) -> bool {
        match self {
            Self::Not(inner) => !inner.test(row),
            Self::And(both) => both[0].test(row) && both[1].test(row),
            Self::Or(both) => both[0].test(row) || both[1].test(row),
            Self::Compare(comparison, both) => comparison.holds(&both[0].eval(row), &both[1].eval(row)),
            Self::TextTest(test, both) => test.holds(&both[0].eval(row), &both[1].eval(row)),
            Self::Has(slot) => row.field(*slot) != Value::Missing,
            Self::In(needle, list) => {
                let needle = needle.eval(row);
                list.iter().any(|item| Comparison::Equal.holds(&needle, &item.eval(row)))
            }
            other => other.eval(row).is_true(),
        }
    }

    /// Its value for the record.
    pub(crate) fn eval<'a>(&'a self, row: &mut Row<'a>) -> Value<'a> {
        match self {
            Self::Literal(value) => borrowed(value),
            Self::Field(slot) => row.field(*slot),
            Self::Key => text(row.record.key),
            Self::Kind => text(row.record.kind),
            Self::Told(at) => row.told[*at].clone(),
            Self::Size(inner) => inner.eval(row).size(),
            Self::Negate(inner) => Arithmetic::Subtract.apply(&Value::Int(0), &inner.eval(row)),
            Self::Arithmetic(operation, both) => operation.apply(&both[0].eval(row), &both[1].eval(row)),
            condition => Value::Bool(condition.test(row)),
        }
    }

    /// Whether computing it can touch the JSON.
    pub(crate) fn reads_json(&self) -> bool {
        match self {
            Self::Field(_) | Self::Has(_) => true,
            Self::Literal(_) | Self::Key | Self::Kind | Self::Told(_) => false,
            Self::Size(inner) | Self::Not(inner) | Self::Negate(inner) => inner.reads_json(),
            Self::And(both)
            | Self::Or(both)
            | Self::Compare(_, both)
            | Self::Arithmetic(_, both)
            | Self::TextTest(_, both) => both.iter().any(Self::reads_json),
            Self::In(needle, list) => needle.reads_json() || list.iter().any(Self::reads_json),
        }
    }

    /// Whether it can be `true` at all; what gives a number or a text cannot be a condition.
    pub(crate) fn can_be_true(&self) -> bool {
        match self {
            Self::Literal(value) => matches!(value, Value::Bool(_)),
            Self::Key | Self::Kind | Self::Told(_) => false,
            Self::Size(_) | Self::Negate(_) | Self::Arithmetic(..) => false,
            _ => true,
        }
    }
}

fn borrowed<'a>(literal: &'a Value<'static>) -> Value<'a> {
    match literal {
        Value::Str(text) => Value::Str(std::borrow::Cow::Borrowed(text)),
        other => other.clone(),
    }
}

fn text(bytes: &[u8]) -> Value<'_> {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.is_empty() => Value::Text(text),
        _ => Value::Missing,
    }
}

impl Comparison {
    fn holds(self, a: &Value<'_>, b: &Value<'_>) -> bool {
        if *a == Value::Missing || *b == Value::Missing {
            return false;
        }
        let Some(order) = a.compare(b) else {
            return self == Self::NotEqual; // things of two kinds are not equal, and have no order
        };
        match self {
            Self::Equal => order.is_eq(),
            Self::NotEqual => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
        }
    }
}

impl TextTest {
    fn holds(self, a: &Value<'_>, b: &Value<'_>) -> bool {
        let (Some(a), Some(b)) = (a.as_text(), b.as_text()) else {
            return false;
        };
        match self {
            Self::StartsWith => a.starts_with(b),
            Self::EndsWith => a.ends_with(b),
            Self::Contains => a.contains(b),
        }
    }
}

impl Arithmetic {
    fn apply<'a>(self, a: &Value<'a>, b: &Value<'a>) -> Value<'a> {
        let is_text = matches!(a, Value::Str(_)) || matches!(b, Value::Str(_)); // the record's own text may be a number
        if let (Self::Add, true, Some(head), Some(tail)) = (self, is_text, a.as_text(), b.as_text()) {
            return Value::Str(format!("{head}{tail}").into());
        }
        match (a.as_number(), b.as_number()) {
            (Some(Value::Int(a)), Some(Value::Int(b))) => self.of_ints(a, b).map_or(Value::Missing, Value::Int),
            (Some(a), Some(b)) => self.of_doubles(double(&a), double(&b)).map_or(Value::Missing, Value::Double),
            _ => Value::Missing,
        }
    }

    fn of_ints(self, a: i128, b: i128) -> Option<i128> {
        let result = match self {
            Self::Add => a.checked_add(b),
            Self::Subtract => a.checked_sub(b),
            Self::Multiply => a.checked_mul(b),
            Self::Divide => a.checked_div(b),
            Self::Remainder => a.checked_rem(b),
        }?;
        (i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(&result).then_some(result)
    }

    fn of_doubles(self, a: f64, b: f64) -> Option<f64> {
        match self {
            Self::Add => Some(a + b),
            Self::Subtract => Some(a - b),
            Self::Multiply => Some(a * b),
            Self::Divide => Some(a / b),
            Self::Remainder => None, // CEL has none for doubles either
        }
    }
}

fn double(number: &Value<'_>) -> f64 {
    match number {
        Value::Int(i) => *i as f64,
        Value::Double(d) => *d,
        _ => f64::NAN,
    }
}
