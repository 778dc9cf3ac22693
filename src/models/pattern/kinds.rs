//! What the names in a pattern stand for.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::cursor::{Cursor, error};
use super::values::{Argument, Call, Style, call, fields_text};
use crate::Result;

/// Of the model, and so no argument of a mixer.
const WIDTH: &str = "d_model";

/// A list of kinds, each with its options at their defaults.
///
/// Everything goes through JSON, as serde tags it (`{"mamba2": {"d_state": 64, …}}`), so that the notation
/// knows the options of any configuration that serde does.
pub(super) struct Kinds<T> {
    what: &'static str,
    defaults: Vec<(String, Value)>,
    config: std::marker::PhantomData<T>,
}

impl<T: Serialize + DeserializeOwned> Kinds<T> {
    /// These kinds; `what` each of them is, for errors.
    pub fn new(what: &'static str, defaults: &[T]) -> Self {
        let defaults = defaults.iter().map(|config| untag(json(config))).collect();
        Self { what, defaults, config: std::marker::PhantomData }
    }

    /// The fields of a kind at their defaults; a kind without options has none.
    fn fields(&self, kind: &str) -> Option<Map<String, Value>> {
        let (_, content) = self.defaults.iter().find(|(name, _)| name == kind)?;
        Some(content.as_object().cloned().unwrap_or_default())
    }

    fn config(&self, kind: &str, fields: Map<String, Value>) -> serde_json::Result<T> {
        let default = self.defaults.iter().find(|(name, _)| name == kind);
        let content = match default {
            Some((_, content)) if fields.is_empty() => content.clone(),
            _ => Value::Object(fields),
        };
        serde_json::from_value(Value::Object(Map::from_iter([(kind.to_string(), content)])))
    }

    /// The configuration that a name with arguments stands for.
    pub fn read(&self, text: &str, call: &Call) -> Result<T> {
        let kind = call.name.as_str();
        let Some(default) = self.fields(kind) else {
            let known: Vec<_> = self.defaults.iter().map(|(name, _)| name.as_str()).collect();
            let problem = format!("unknown {} \"{kind}\"; known: {}", self.what, known.join(", "));
            return Err(error(text, call.at, problem));
        };
        let (mut fields, mut first_problem) = (default.clone(), None);
        for argument in &call.arguments {
            if argument.name == WIDTH || !default.contains_key(&argument.name) {
                return Err(error(text, argument.at, unknown_argument(kind, &argument.name, &default)));
            }
            let (value, problem) = self.settle(kind, argument, &default);
            if let Some(problem) = problem {
                first_problem.get_or_insert((argument, problem));
            }
            fields.insert(argument.name.clone(), value);
        }
        self.config(kind, fields).map_err(|problem| match first_problem {
            Some((argument, problem)) => {
                error(text, argument.value_at, format!("{kind}: {}: {problem}", argument.name))
            }
            None => error(text, call.at, format!("{kind}: {problem}")),
        })
    }

    /// `none` is no value if the option can be without one, else the name. What serde says if it is neither.
    fn settle(
        &self,
        kind: &str,
        argument: &Argument,
        default: &Map<String, Value>,
    ) -> (Value, Option<serde_json::Error>) {
        let alone = |value: &Value| {
            let mut fields = default.clone();
            fields.insert(argument.name.clone(), value.clone());
            self.config(kind, fields)
        };
        let value = argument.value.clone();
        let Err(problem) = alone(&value) else { return (value, None) };
        let named = none_as_name(value.clone());
        if alone(&named).is_ok() { (named, None) } else { (value, Some(problem)) }
    }

    /// The shortest text that reads back as this configuration.
    pub fn text(&self, config: &Value) -> String {
        let (kind, content) = untag(config.clone());
        let default = self.fields(&kind).unwrap_or_default();
        let fields = content.as_object().into_iter().flatten();
        let changed: Vec<_> =
            fields.filter(|(name, value)| *name != WIDTH && default.get(*name) != Some(*value)).collect();
        if changed.is_empty() {
            return kind;
        }
        let text = |style| format!("{kind}({})", fields_text(changed.iter().copied(), style));
        let reads_back = |text: &String| {
            let call = call(&mut Cursor::new(text)).ok().flatten();
            call.and_then(|call| self.read(text, &call).ok()).is_some_and(|read| json(&read) == *config)
        };
        Some(text(Style::Short)).filter(reads_back).unwrap_or_else(|| text(Style::Exact))
    }

    /// Whether the kind `parallel` takes `branches`, and can stand for `a | b`.
    pub fn has_parallel(&self) -> bool {
        self.fields("parallel").is_some_and(|fields| fields.get("branches").is_some_and(Value::is_array))
    }

    /// `a | b`.
    pub fn parallel(&self, branches: &[T]) -> serde_json::Result<T> {
        let mut fields = self.fields("parallel").unwrap_or_default();
        fields.insert("branches".into(), Value::Array(branches.iter().map(json).collect()));
        self.config("parallel", fields)
    }

    /// The branches of a configuration that `a | b` can stand for.
    pub fn branches(&self, config: &Value) -> Option<Vec<Value>> {
        let (kind, mut content) = untag(config.clone());
        let mut default = self.fields(&kind).filter(|_| kind == "parallel" && self.has_parallel())?;
        let fields = content.as_object_mut()?;
        let Some(Value::Array(branches)) = fields.remove("branches") else { return None };
        default.remove("branches");
        (branches.len() > 1 && *fields == default).then_some(branches)
    }
}

/// A configuration as JSON.
pub(super) fn json(config: &impl Serialize) -> Value {
    serde_json::to_value(config).expect("a configuration is plain data")
}

/// `{"kind": content}` or `"kind"` in its parts.
fn untag(config: Value) -> (String, Value) {
    match config {
        Value::Object(tagged) => tagged.into_iter().next().unwrap_or_default(),
        Value::String(kind) => (kind, Value::Null),
        _ => panic!("a list of mixers is an enum that serde tags externally, as `mixers!` makes it"),
    }
}

fn unknown_argument(kind: &str, argument: &str, default: &Map<String, Value>) -> String {
    if argument == WIDTH {
        return format!("{kind}: {WIDTH} comes from the model and is no argument");
    }
    let mut known: Vec<_> = default.keys().map(String::as_str).filter(|name| *name != WIDTH).collect();
    known.sort_unstable();
    match known.is_empty() {
        true => format!("{kind} has no argument \"{argument}\", nor any other"),
        false => format!("{kind} has no argument \"{argument}\"; known: {}", known.join(", ")),
    }
}

fn none_as_name(value: Value) -> Value {
    match value {
        Value::Null => "none".into(),
        Value::Array(values) => values.into_iter().map(none_as_name).collect(),
        Value::Object(fields) => {
            fields.into_iter().map(|(name, value)| (name, none_as_name(value))).collect()
        }
        value => value,
    }
}
