//! CEL's tree to ours. What is not supported is refused here, with its place and with what is.

use cel::common::ast::{CallExpr, Expr as Cel, IdedExpr, LiteralValue, SelectExpr, operators};
use event::{FieldPath, Stream, limits};

use crate::expr::{Arithmetic, Comparison, Expr, TextTest};
use crate::source::Source;
use crate::value::Value;

/// What an author may use; part of every refusal.
const SUPPORTED: &str = "supported are literals, field paths (a.b.c), == != < <= > >=, && || !, in [list], + - * / %, \
                         has(a.b), size(x), x.startsWith(y), x.endsWith(y), x.contains(y)";

/// Compiles the expressions of one stream's rules; equal fields share a slot.
pub(crate) struct Compiler<'s> {
    stream: &'s Stream,
    /// The field of each slot.
    pub(crate) paths: Vec<FieldPath>,
    touched: Vec<usize>,
}

/// Where an expression stands decides what some names mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// What is asked of every record: the stream's own key and type are read from the record's spans, so that a record
    /// of another type is passed over without touching its JSON.
    Condition,
    /// Description and metadata of a rule that fires: read from the JSON, so that a number stays a number. These names
    /// are what the rule knows then, not fields.
    Finding(&'static [&'static str]),
    /// The same of a rule that fires without a record: there is no JSON, only the key.
    Absent(&'static [&'static str]),
}

type Compiled = Result<Expr, String>;

impl<'s> Compiler<'s> {
    pub(crate) fn new(stream: &'s Stream) -> Self {
        Self { stream, paths: Vec::new(), touched: Vec::new() }
    }

    /// The slots that were named since this was asked last, each once.
    pub(crate) fn take_touched(&mut self) -> Vec<usize> {
        let mut touched = std::mem::take(&mut self.touched);
        touched.sort_unstable();
        touched.dedup();
        touched
    }

    /// Compiles a text; `indent` characters of the author's text stand before it.
    pub(crate) fn compile(&mut self, text: &str, indent: usize, place: Place) -> Compiled {
        let source = Source::parse(text, indent)?;
        Walk { compiler: self, source: &source, place }.node(&source.tree)
    }

    pub(crate) fn stream(&self) -> &'s Stream {
        self.stream
    }

    /// A field by its path, as a condition reads it.
    pub(crate) fn field(&mut self, path: FieldPath) -> Expr {
        let is = |field: Option<&event::Field>| field.is_some_and(|f| f.path == path);
        match self.stream {
            stream if is(stream.kind.as_ref()) => Expr::Kind,
            stream if is(stream.key.as_ref()) => Expr::Key,
            _ => Expr::Field(self.slot(path)),
        }
    }

    /// Compiles a part of a parsed text; a condition must be able to be true.
    pub(crate) fn compile_part(&mut self, source: &Source, part: &IdedExpr, place: Place, condition: bool) -> Compiled {
        let mut walk = Walk { compiler: self, source, place };
        if condition { walk.condition(part) } else { walk.node(part) }
    }

    fn slot(&mut self, path: FieldPath) -> usize {
        self.paths.iter().position(|known| *known == path).unwrap_or_else(|| {
            self.paths.push(path);
            self.paths.len() - 1
        })
    }
}

struct Walk<'w, 's> {
    compiler: &'w mut Compiler<'s>,
    source: &'w Source,
    place: Place,
}

impl Walk<'_, '_> {
    fn node(&mut self, node: &IdedExpr) -> Compiled {
        match &node.expr {
            Cel::Literal(literal) => match value_of(literal) {
                Some(value) => Ok(Expr::Literal(value)),
                None => self.refuse(node, "bytes are not supported"),
            },
            Cel::Ident(_) => self.field(node),
            Cel::Select(select) if select.test => self.has(node, select),
            Cel::Select(_) => self.field(node),
            Cel::Call(call) => self.call(node, call),
            Cel::List(_) => self.refuse(node, "a list may only stand on the right of `in`"),
            Cel::Map(_) | Cel::Struct(_) => self.refuse(node, "maps and messages are not supported"),
            Cel::Comprehension(_) => self.refuse(node, "all, exists, exists_one, map and filter are not supported"),
            Cel::Unspecified => self.refuse(node, "an expression is missing"),
        }
    }

    fn refuse(&self, node: &IdedExpr, message: &str) -> Compiled {
        Err(self.source.complain(node, &format!("{message}; {SUPPORTED}")))
    }

    fn field(&mut self, node: &IdedExpr) -> Compiled {
        let path = self.path(node)?;
        let is = |field: Option<&event::Field>| field.is_some_and(|f| f.path == path);
        let stream = self.compiler.stream;
        let name = if let [name] = path.steps() { name.as_str() } else { "" };
        let told = match self.place {
            Place::Finding(names) | Place::Absent(names) => names.iter().position(|known| *known == name),
            Place::Condition => None,
        };
        Ok(match (self.place, told) {
            (_, Some(at)) => Expr::Told(at),
            (Place::Condition, _) if is(stream.kind.as_ref()) => Expr::Kind,
            (Place::Condition | Place::Absent(_), _) if is(stream.key.as_ref()) => Expr::Key,
            _ => Expr::Field(self.compiler.slot(path)),
        })
    }

    fn has(&mut self, node: &IdedExpr, select: &SelectExpr) -> Compiled {
        let mut steps = self.steps(&select.operand)?;
        steps.push(&select.field);
        let path = self.sound(node, &steps)?;
        Ok(Expr::Has(self.compiler.slot(path)))
    }

    fn path(&self, node: &IdedExpr) -> Result<FieldPath, String> {
        let steps = self.steps(node)?;
        self.sound(node, &steps)
    }

    fn steps<'n>(&self, node: &'n IdedExpr) -> Result<Vec<&'n str>, String> {
        match &node.expr {
            Cel::Ident(name) => Ok(vec![name]),
            Cel::Select(select) if !select.test => {
                let mut steps = self.steps(&select.operand)?;
                steps.push(&select.field);
                Ok(steps)
            }
            _ => self.refuse(node, "fields are named as a.b.c").map(|_| Vec::new()),
        }
    }

    fn sound(&self, node: &IdedExpr, steps: &[&str]) -> Result<FieldPath, String> {
        // As a JSON pointer, so that a step may hold a dot.
        let pointer: String =
            steps.iter().flat_map(|s| ["/".to_owned(), s.replace('~', "~0").replace('/', "~1")]).collect();
        FieldPath::parse(&pointer).ok_or_else(|| {
            let message = format!("a field path has at most {} steps", limits::FIELD_DEPTH_MAX);
            self.source.complain(node, &message)
        })
    }

    fn call(&mut self, node: &IdedExpr, call: &CallExpr) -> Compiled {
        let name = call.func_name.as_str();
        match (name, &call.target, call.args.as_slice()) {
            (operators::LOGICAL_NOT, None, [inner]) => Ok(Expr::Not(self.condition(inner)?.into())),
            (operators::NEGATE, None, [inner]) => Ok(Expr::Negate(self.node(inner)?.into())),
            (operators::LOGICAL_AND, None, [a, b]) => Ok(Expr::And([self.condition(a)?, self.condition(b)?].into())),
            (operators::LOGICAL_OR, None, [a, b]) => Ok(Expr::Or([self.condition(a)?, self.condition(b)?].into())),
            (operators::IN, None, [needle, list]) => self.is_in(needle, list),
            ("size", None, [inner]) => Ok(Expr::Size(self.node(inner)?.into())),
            ("size", Some(inner), []) => Ok(Expr::Size(self.node(inner)?.into())),
            (_, Some(text), [part]) if text_test(name).is_some() => {
                self.two(text, part, |both| match text_test(name) {
                    Some(test) => Expr::TextTest(test, both),
                    None => Expr::Literal(Value::Missing),
                })
            }
            (_, None, [a, b]) if comparison(name).is_some() || arithmetic(name).is_some() => {
                self.two(a, b, |both| match (comparison(name), arithmetic(name)) {
                    (Some(comparison), _) => Expr::Compare(comparison, both),
                    (_, Some(arithmetic)) => Expr::Arithmetic(arithmetic, both),
                    _ => Expr::Literal(Value::Missing),
                })
            }
            _ => self.refuse(node, &not_supported(name)),
        }
    }

    fn two(&mut self, a: &IdedExpr, b: &IdedExpr, build: impl Fn(Box<[Expr; 2]>) -> Expr) -> Compiled {
        Ok(build([self.node(a)?, self.node(b)?].into()))
    }

    fn condition(&mut self, node: &IdedExpr) -> Compiled {
        let expr = self.node(node)?;
        if expr.can_be_true() {
            return Ok(expr);
        }
        Err(self.source.complain(node, "true or false is expected here, a comparison for example"))
    }

    fn is_in(&mut self, needle: &IdedExpr, list: &IdedExpr) -> Compiled {
        let Cel::List(items) = &list.expr else {
            return self.refuse(list, "`in` takes a list in brackets");
        };
        let needle = self.node(needle)?;
        let items = items.elements.iter().map(|item| self.node(item)).collect::<Result<_, _>>()?;
        Ok(Expr::In(needle.into(), items))
    }
}

fn value_of(literal: &LiteralValue) -> Option<Value<'static>> {
    Some(match literal {
        LiteralValue::Boolean(b) => Value::Bool(*b.inner()),
        LiteralValue::Int(i) => Value::Int((*i.inner()).into()),
        LiteralValue::UInt(u) => Value::Int((*u.inner()).into()),
        LiteralValue::Double(d) => Value::Double(*d.inner()),
        LiteralValue::String(s) => Value::Str(s.inner().to_owned().into()),
        LiteralValue::Null => Value::Null,
        LiteralValue::Bytes(_) => return None,
    })
}

fn comparison(name: &str) -> Option<Comparison> {
    Some(match name {
        operators::EQUALS => Comparison::Equal,
        operators::NOT_EQUALS => Comparison::NotEqual,
        operators::LESS => Comparison::Less,
        operators::LESS_EQUALS => Comparison::LessOrEqual,
        operators::GREATER => Comparison::Greater,
        operators::GREATER_EQUALS => Comparison::GreaterOrEqual,
        _ => return None,
    })
}

fn arithmetic(name: &str) -> Option<Arithmetic> {
    Some(match name {
        operators::ADD => Arithmetic::Add,
        operators::SUBSTRACT => Arithmetic::Subtract,
        operators::MULTIPLY => Arithmetic::Multiply,
        operators::DIVIDE => Arithmetic::Divide,
        operators::MODULO => Arithmetic::Remainder,
        _ => return None,
    })
}

fn text_test(name: &str) -> Option<TextTest> {
    Some(match name {
        "startsWith" => TextTest::StartsWith,
        "endsWith" => TextTest::EndsWith,
        "contains" => TextTest::Contains,
        _ => return None,
    })
}

fn not_supported(name: &str) -> String {
    match name {
        operators::CONDITIONAL => "`? :` is not supported".to_owned(),
        operators::INDEX => "`a[b]` is not supported".to_owned(),
        _ => format!("the function `{name}` is not supported (or takes other arguments)"),
    }
}
