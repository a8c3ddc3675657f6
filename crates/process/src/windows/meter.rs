//! One measure as its author writes it, compiled: `sum(payload.amount)`.

use cel::common::ast::{Expr as Cel, LiteralValue};
use event::measure::{Shape, Step};

use crate::compile::{Compiler, Place};
use crate::expr::{Expr, Row};
use crate::source::Source;
use crate::value::Value;

const SUPPORTED: &str = "supported are count(), count(condition), sum(x), min(x), max(x), mean(x), distinct(x) and \
                         quantile(x, 0.95), where x is an expression";

/// What is measured, and of what.
#[derive(Debug)]
pub(super) struct Meter {
    pub(super) shape: Shape,
    of: Of,
}

#[derive(Debug)]
enum Of {
    /// Every event.
    All,
    /// The events for which this holds.
    Where(Expr),
    /// This value of each.
    Value(Expr),
}

impl Meter {
    /// Compiles one; the error is a sentence with its column.
    pub(super) fn compile(text: &str, compiler: &mut Compiler<'_>) -> Result<Self, String> {
        let source = Source::parse(text, 0)?;
        let refuse = |message: &str| Err(source.complain(&source.tree, &format!("{message}; {SUPPORTED}")));
        let Cel::Call(call) = &source.tree.expr else {
            return refuse("a measure is expected here");
        };
        if call.target.is_some() {
            return refuse("a measure is expected here");
        }
        let mut value = |shape, part| {
            let expr = compiler.compile_part(&source, part, Place::Condition, false)?;
            Ok(Self { shape, of: Of::Value(expr) })
        };
        match (call.func_name.as_str(), &call.args[..]) {
            ("count", []) => Ok(Self { shape: Shape::Count, of: Of::All }),
            ("count", [part]) => {
                let condition = compiler.compile_part(&source, part, Place::Condition, true)?;
                Ok(Self { shape: Shape::Count, of: Of::Where(condition) })
            }
            ("sum", [part]) => value(Shape::Sum, part),
            ("min", [part]) => value(Shape::Min, part),
            ("max", [part]) => value(Shape::Max, part),
            ("mean", [part]) => value(Shape::Mean, part),
            ("distinct", [part]) => value(Shape::Distinct, part),
            ("quantile", [part, q]) => match quantile(&q.expr) {
                Some(q) => value(Shape::Quantile(q), part),
                None => Err(source.complain(q, "a number from 0 to 1 is expected here, 0.95 for example")),
            },
            ("count" | "sum" | "min" | "max" | "mean" | "distinct" | "quantile", args) => {
                refuse(&format!("`{}` does not take {} arguments", call.func_name, args.len()))
            }
            (name, _) => refuse(&format!("`{name}` is no measure")),
        }
    }

    /// What the record adds.
    pub(super) fn step<'a>(&'a self, row: &mut Row<'a>) -> Step {
        match &self.of {
            Of::All => Step::One,
            Of::Where(condition) if condition.test(row) => Step::One,
            Of::Where(_) => Step::Skip,
            Of::Value(expr) => step(self.shape, &expr.eval(row)),
        }
    }
}

/// `true` and `false` are 1 and 0 to sums, means and the like. To `distinct` numbers are one when they are equal; arrays
/// and objects when they are written alike.
fn step(shape: Shape, value: &Value<'_>) -> Step {
    match (shape, value) {
        (_, Value::Missing | Value::Null) => Step::Skip,
        (_, Value::Int(int)) => shape.step_of_int(*int),
        (_, Value::Double(double)) => shape.step_of_f64(*double),
        (Shape::Distinct, Value::Bool(bool)) => shape.step_of_text(if *bool { b"true" } else { b"false" }),
        (Shape::Distinct, Value::Json(json)) => shape.step_of_text(json.as_bytes()),
        (Shape::Distinct, text) => text.as_text().map_or(Step::Skip, |text| shape.step_of_text(text.as_bytes())),
        (_, Value::Bool(bool)) => shape.step_of_int((*bool).into()),
        (_, text) => match text.as_number() {
            Some(number) => step(shape, &number),
            None => Step::Skip,
        },
    }
}

fn quantile(expr: &Cel) -> Option<f64> {
    let Cel::Literal(literal) = expr else {
        return None;
    };
    let q = match literal {
        LiteralValue::Double(q) => *q.inner(),
        LiteralValue::Int(q) => *q.inner() as f64,
        LiteralValue::UInt(q) => *q.inner() as f64,
        _ => return None,
    };
    (0.0..=1.0).contains(&q).then_some(q)
}
