//! The text of a pattern to a tree.
//!
//! ```text
//! pattern  = layers end                      layers  = item { "," item }
//! item     = count "*" item | "@" count | [ "~" ] branches [ ( "+" | "&" ) call ]
//! branches = operand { "|" operand }         operand = "(" layers ")" | call
//! call     = name [ "(" [ name "=" value { "," name "=" value } ] ")" ]
//! ```

use super::cursor::Cursor;
use super::values::{Call, call};
use crate::models::{NormPlacement, Residual};
use crate::{Error, Result};

/// What stands between two commas.
#[derive(Debug)]
pub(super) enum Item {
    Layer {
        mixer: Mixer,
        feed_forward: Option<(Residual, Call)>,
        norm_placement: NormPlacement,
        text_len: usize,
    },
    Shared {
        at: usize,
        layer: usize,
    },
    Repeat {
        at: usize,
        count: usize,
        items: Vec<Item>,
    },
}

/// One mixer, or several side by side.
#[derive(Debug)]
pub(super) enum Mixer {
    One(Call),
    Parallel { at: usize, branches: Vec<Mixer> },
}

/// Reads a whole pattern.
pub(super) fn pattern(cursor: &mut Cursor) -> Result<Vec<Item>> {
    if cursor.peek().is_none() {
        return Err(cursor.error(0, "a pattern has at least one layer"));
    }
    let mut items = item(cursor)?;
    while cursor.eat(',') {
        items.extend(item(cursor)?);
    }
    match cursor.peek() {
        None => Ok(items),
        Some(_) => Err(cursor.unexpected("\",\" or the end")),
    }
}

/// Reads one item, or several in parentheses.
fn item(cursor: &mut Cursor) -> Result<Vec<Item>> {
    let at = cursor.at();
    match cursor.peek() {
        Some('@') => {
            cursor.eat('@');
            let number_at = cursor.at();
            let layer = count(cursor, "the number of an earlier layer")?;
            if layer == 0 {
                return Err(cursor.error(number_at, "layers are counted from 1"));
            }
            Ok(vec![Item::Shared { at, layer }])
        }
        Some(c) if c.is_ascii_digit() => {
            let count = count(cursor, "a count")?;
            if count == 0 {
                return Err(cursor.error(at, "a layer repeats at least once, not 0 times"));
            }
            if !cursor.eat('*') {
                return Err(cursor.unexpected("\"*\""));
            }
            let items = cursor.nested(at, item)?;
            Ok(vec![Item::Repeat { at, count, items }])
        }
        _ => layer(cursor),
    }
}

/// Reads a layer, or several in parentheses.
fn layer(cursor: &mut Cursor) -> Result<Vec<Item>> {
    let start = cursor.at();
    if !cursor.eat('~') {
        return normed_before(cursor);
    }
    let mut items = normed_before(cursor)?;
    let text = cursor.at() - start;
    match items.as_mut_slice() {
        [Item::Layer { norm_placement: placement @ NormPlacement::Before, text_len, .. }] => {
            (*placement, *text_len) = (NormPlacement::After, text);
            Ok(items)
        }
        _ => Err(cursor.error(start, "\"~\" stands before one layer, once")),
    }
}

fn normed_before(cursor: &mut Cursor) -> Result<Vec<Item>> {
    let start = cursor.at();
    let mut items = operand(cursor)?;
    let (bar, mut branches) = (cursor.at(), Vec::new());
    if cursor.peek() == Some('|') {
        branches.push(sole_mixer(cursor, start, items, "a branch")?);
        while cursor.eat('|') {
            let at = cursor.at();
            let operand = operand(cursor)?;
            branches.push(sole_mixer(cursor, at, operand, "a branch")?);
        }
        let mixer = Mixer::Parallel { at: bar, branches };
        items = vec![plain(mixer, None, cursor.at() - start)];
    }
    let residual = match cursor.peek() {
        Some('+') => Residual::Sequential,
        Some('&') => Residual::Parallel,
        _ => return Ok(items),
    };
    let mixer = sole_mixer(cursor, start, items, "what has a feed-forward")?;
    cursor.eat(if residual == Residual::Sequential { '+' } else { '&' });
    let Some(call) = call(cursor)? else { return Err(cursor.unexpected("a feed-forward")) };
    Ok(vec![plain(mixer, Some((residual, call)), cursor.at() - start)])
}

fn plain(mixer: Mixer, feed_forward: Option<(Residual, Call)>, text_len: usize) -> Item {
    Item::Layer { mixer, feed_forward, norm_placement: NormPlacement::Before, text_len }
}

fn operand(cursor: &mut Cursor) -> Result<Vec<Item>> {
    let start = cursor.at();
    if cursor.eat('(') {
        let mut items = Vec::new();
        if cursor.peek() == Some(')') {
            return Err(cursor.unexpected("a layer"));
        }
        cursor.list(start, ')', |cursor| {
            items.extend(item(cursor)?);
            Ok(())
        })?;
        return Ok(items);
    }
    let Some(call) = call(cursor)? else { return Err(cursor.unexpected("a layer")) };
    Ok(vec![plain(Mixer::One(call), None, cursor.at() - start)])
}

/// What the parentheses at `at` hold, where only a mixer can stand.
fn sole_mixer(cursor: &Cursor, at: usize, mut items: Vec<Item>, what: &str) -> Result<Mixer> {
    match (items.pop(), items.is_empty()) {
        (
            Some(Item::Layer { mixer, feed_forward: None, norm_placement: NormPlacement::Before, .. }),
            true,
        ) => Ok(mixer),
        _ => {
            Err(cursor
                .error(at, format!("{what} must be one mixer, without \"~\" or a feed-forward of its own")))
        }
    }
}

fn count(cursor: &mut Cursor, what: &str) -> Result<usize> {
    let at = cursor.at();
    let digits = cursor.take_while(|c| c.is_ascii_digit());
    if digits.is_empty() {
        return Err(cursor.unexpected(what));
    }
    digits.parse().map_err(|_| -> Error { cursor.error(at, format!("{digits} is too many")) })
}
