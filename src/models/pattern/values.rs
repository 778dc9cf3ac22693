//! Names with arguments, as text and as JSON.

use serde_json::{Map, Number, Value};

use super::cursor::Cursor;
use crate::Result;

/// `name` or `name(key=value, …)`.
#[derive(Debug)]
pub(super) struct Call {
    pub at: usize,
    pub name: String,
    pub arguments: Vec<Argument>,
}

/// `key=value`.
#[derive(Debug)]
pub(super) struct Argument {
    pub at: usize,
    pub name: String,
    pub value_at: usize,
    pub value: Value,
}

/// Reads a name with arguments or without; `None`: no name comes next.
pub(super) fn call(cursor: &mut Cursor) -> Result<Option<Call>> {
    let at = cursor.at();
    let Some(name) = cursor.name() else { return Ok(None) };
    let open = cursor.at();
    let arguments = if cursor.eat('(') { arguments(cursor, open)? } else { Vec::new() };
    Ok(Some(Call { at, name: name.into(), arguments }))
}

/// What follows the `(` at `open`, up to its `)`.
fn arguments(cursor: &mut Cursor, open: usize) -> Result<Vec<Argument>> {
    let mut arguments: Vec<Argument> = Vec::new();
    cursor.list(open, ')', |cursor| {
        let at = cursor.at();
        let Some(name) = key(cursor)? else { return Err(cursor.unexpected("the name of an argument")) };
        if !cursor.eat('=') {
            return Err(cursor.unexpected(&format!("\"=\" and the value of {name}")));
        }
        if arguments.iter().any(|argument| argument.name == name) {
            return Err(cursor.error(at, format!("argument {name} is given twice")));
        }
        let value_at = cursor.at();
        arguments.push(Argument { at, name, value_at, value: value(cursor)? });
        Ok(())
    })?;
    Ok(arguments)
}

fn key(cursor: &mut Cursor) -> Result<Option<String>> {
    if cursor.peek() == Some('"') {
        return cursor.quoted().map(Some);
    }
    Ok(cursor.name().map(String::from))
}

fn value(cursor: &mut Cursor) -> Result<Value> {
    let at = cursor.at();
    match cursor.peek() {
        Some('"') => Ok(Value::String(cursor.quoted()?)),
        Some('[') => {
            cursor.eat('[');
            let mut values = Vec::new();
            cursor.list(at, ']', |cursor| {
                values.push(value(cursor)?);
                Ok(())
            })?;
            Ok(Value::Array(values))
        }
        Some('(') => {
            cursor.eat('(');
            fields(cursor, at)
        }
        Some(c) if c.is_ascii_digit() || c == '-' => number(cursor),
        _ => named(cursor),
    }
}

/// `name`, `name(key=value, …)` or `name(value)`: how serde writes the variants of an enum.
fn named(cursor: &mut Cursor) -> Result<Value> {
    let Some(name) = cursor.name() else { return Err(cursor.unexpected("a value")) };
    let open = cursor.at();
    if cursor.eat('(') {
        let content = if holds_fields(cursor) { fields(cursor, open)? } else { content(cursor, open)? };
        return Ok(Value::Object(Map::from_iter([(name.into(), content)])));
    }
    Ok(match name {
        "none" => Value::Null,
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        name => Value::String(name.into()),
    })
}

/// Whether what follows a `(` is `key=` or `)`.
fn holds_fields(cursor: &mut Cursor) -> bool {
    let start = cursor.at();
    let fields = cursor.eat(')') || key(cursor).is_ok_and(|key| key.is_some()) && cursor.eat('=');
    cursor.back_to(start);
    fields
}

fn content(cursor: &mut Cursor, open: usize) -> Result<Value> {
    let content = cursor.nested(open, value)?;
    if cursor.eat(')') {
        return Ok(content);
    }
    Err(if cursor.peek().is_none() { cursor.unclosed(open) } else { cursor.unexpected("\")\"") })
}

fn fields(cursor: &mut Cursor, open: usize) -> Result<Value> {
    let arguments = arguments(cursor, open)?;
    Ok(Value::Object(arguments.into_iter().map(|argument| (argument.name, argument.value)).collect()))
}

fn number(cursor: &mut Cursor) -> Result<Value> {
    let at = cursor.at();
    let text = cursor.take_while(|c| c.is_alphanumeric() || matches!(c, '.' | '+' | '-' | '_'));
    let whole = || text.parse::<u64>().map(Number::from).or_else(|_| text.parse::<i64>().map(Number::from));
    match whole().ok().or_else(|| Number::from_f64(text.parse().ok()?)) {
        Some(number) => Ok(Value::Number(number)),
        None => Err(cursor.error(at, format!("\"{text}\" is not a number"))),
    }
}

/// Whether a value is written in the fewest characters, or so that it reads back as itself whatever its type.
#[derive(Clone, Copy)]
pub(super) enum Style {
    Short,
    Exact,
}

/// The text of a value.
pub(super) fn value_text(value: &Value, style: Style) -> String {
    match value {
        Value::Null => "none".into(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number_text(number, style),
        Value::String(text) if text == "none" && matches!(style, Style::Short) => text.clone(),
        Value::String(text) if is_name(text) && !matches!(text.as_str(), "none" | "true" | "false") => {
            text.clone()
        }
        Value::String(_) => value.to_string(),
        Value::Array(values) => {
            let values: Vec<_> = values.iter().map(|value| value_text(value, style)).collect();
            format!("[{}]", values.join(", "))
        }
        Value::Object(fields) => match fields.iter().next() {
            Some((name, content)) if fields.len() == 1 && is_name(name) => match content {
                Value::Object(fields) => format!("{name}({})", fields_text(fields, style)),
                content => format!("{name}({})", value_text(content, style)),
            },
            _ => format!("({})", fields_text(fields, style)),
        },
    }
}

/// `key=value, …`, by name: the order of a JSON object depends on the features of `serde_json`.
pub(super) fn fields_text<'a>(
    fields: impl IntoIterator<Item = (&'a String, &'a Value)>,
    style: Style,
) -> String {
    let mut fields: Vec<_> = fields.into_iter().collect();
    fields.sort_by_key(|(name, _)| *name);
    let text = |(name, value): (&String, &Value)| {
        let name = if is_name(name) { name.clone() } else { Value::from(name.as_str()).to_string() };
        format!("{name}={}", value_text(value, style))
    };
    fields.into_iter().map(text).collect::<Vec<_>>().join(", ")
}

fn number_text(number: &Number, style: Style) -> String {
    let (true, Some(value)) = (number.is_f64(), number.as_f64()) else { return number.to_string() };
    match style {
        Style::Exact => format!("{value:?}"),
        Style::Short => {
            let narrow = value as f32;
            let text = if f64::from(narrow) == value { format!("{narrow:?}") } else { format!("{value:?}") };
            text.strip_suffix(".0").filter(|whole| *whole != "-0").map_or(text.clone(), String::from)
        }
    }
}

fn is_name(text: &str) -> bool {
    let mut cursor = Cursor::new(text);
    text.chars().next().is_some_and(|c| !c.is_whitespace()) && cursor.name() == Some(text)
}
