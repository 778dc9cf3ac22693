//! Options of shapes that the crate's mixers do not have, as a user's may.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::cursor::Cursor;
use super::kinds::{Kinds, json};
use super::values::call;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Plain,
    Rich(Rich),
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Rich {
    d_model: usize,
    narrow: f32,
    wide: f64,
    note: Option<String>,
    gate: Gate,
    maybe_gate: Option<Gate>,
    range: Range,
    any: Value,
    halves: Halves,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
enum Gate {
    #[default]
    #[serde(rename = "none")]
    None,
    Fixed(f64),
    Between(f64, f64),
    Learned {
        rank: usize,
    },
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Range {
    from: i64,
    to: i64,
}

/// Two fields that must agree.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Range", into = "Range")]
struct Halves {
    half: i64,
}

impl TryFrom<Range> for Halves {
    type Error = String;

    fn try_from(Range { from, to }: Range) -> Result<Self, String> {
        if -from == to { Ok(Self { half: to }) } else { Err(format!("{from} is not -{to}")) }
    }
}

impl From<Halves> for Range {
    fn from(Halves { half }: Halves) -> Self {
        Self { from: -half, to: half }
    }
}

fn kinds() -> Kinds<Kind> {
    Kinds::new("kind", &[Kind::Plain, Kind::Rich(Rich::default())])
}

fn read(text: &str) -> Result<Kind, String> {
    let call = call(&mut Cursor::new(text)).unwrap().unwrap();
    kinds().read(text, &call).map_err(|error| error.to_string())
}

#[test]
fn every_shape_reads_back() {
    let rich = Rich::default;
    let wide = f64::from(0.1_f32);
    for (config, text) in [
        (rich(), "rich"),
        (Rich { narrow: 0.1, ..rich() }, "rich(narrow=0.1)"),
        (Rich { wide: 0.1, ..rich() }, "rich(wide=0.1)"),
        (Rich { wide, ..rich() }, "rich(wide=0.10000000149011612)"),
        (Rich { wide: 3.0, ..rich() }, "rich(wide=3)"),
        (Rich { any: Value::from(3.0), ..rich() }, "rich(any=3.0)"),
        (Rich { note: Some("none".into()), ..rich() }, "rich(note=\"none\")"),
        (Rich { note: Some("a, \"b\"".into()), ..rich() }, r#"rich(note="a, \"b\"")"#),
        (Rich { gate: Gate::Fixed(0.5), ..rich() }, "rich(gate=Fixed(0.5))"),
        (Rich { gate: Gate::Between(0.5, 1.0), ..rich() }, "rich(gate=Between([0.5, 1]))"),
        (Rich { maybe_gate: Some(Gate::None), ..rich() }, "rich(maybe_gate=\"none\")"),
        (Rich { maybe_gate: Some(Gate::Learned { rank: 2 }), ..rich() }, "rich(maybe_gate=Learned(rank=2))"),
        (Rich { range: Range { from: -1, to: 2 }, ..rich() }, "rich(range=(from=-1, to=2))"),
        (Rich { halves: Halves { half: 2 }, ..rich() }, "rich(halves=(from=-2, to=2))"),
    ] {
        let config = Kind::Rich(config);
        assert_eq!(read(text).as_ref(), Ok(&config), "{text}");
        assert_eq!(kinds().text(&json(&config)), text);
    }
    assert_eq!(read("plain"), Ok(Kind::Plain));
    assert_eq!(kinds().text(&json(&Kind::Plain)), "plain");
    assert_eq!(read("rich(gate=none, maybe_gate=none)"), Ok(Kind::Rich(rich())));
}

#[test]
fn errors_say_what_serde_says() {
    for (text, problem) in [
        ("plain(a=1)", "7: plain has no argument \"a\", nor any other"),
        ("rich(wide=x)", "11: rich: wide: invalid type: string \"x\", expected f64"),
        ("rich(halves=(from=1, to=2))", "13: rich: halves: 1 is not -2"),
        ("rich(range=(from=1))", "12: rich: range: missing field `to`"),
        (
            "rich(gate=Open)",
            "11: rich: gate: unknown variant `Open`, expected one of `none`, `Fixed`, `Between`, \
            `Learned`",
        ),
    ] {
        assert_eq!(read(text), Err(format!("pattern, character {problem}")));
    }
}
