//! JSON as Python writes it: with numbers that JSON does not have.

/// Before the name of such a number, where it stands as a text.
pub(super) const MARK: char = '\0';

const NUMBERS: [&str; 3] = ["-Infinity", "Infinity", "NaN"];

/// JSON of it: each such number as a marked text.
pub(super) fn to_json(text: &str) -> String {
    let mut json = String::with_capacity(text.len());
    let mut rest = text;
    let (mut quoted, mut escaped) = (false, false);
    while let Some(next) = rest.chars().next() {
        let number = NUMBERS.into_iter().find(|number| !quoted && rest.starts_with(number));
        if let Some(number) = number {
            json += &format!("\"\\u0000{number}\"");
            rest = &rest[number.len()..];
            continue;
        }
        if next == '"' && !escaped {
            quoted = !quoted;
        }
        escaped = quoted && next == '\\' && !escaped;
        json.push(next);
        rest = &rest[next.len_utf8()..];
    }
    json
}

/// The reverse of [`to_json`].
pub(super) fn from_json(json: &str) -> String {
    NUMBERS
        .into_iter()
        .fold(json.to_string(), |json, number| json.replace(&format!("\"\\u0000{number}\""), number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_numbers_change() {
        let text = r#"{"a": [0.0, Infinity, -Infinity], "Infinity": "NaN \" Infinity", "b": NaN, "c": "\\"}"#;
        let json = to_json(text);
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["a"][1], format!("{MARK}Infinity"));
        assert_eq!(value["Infinity"], "NaN \" Infinity");
        assert_eq!(from_json(&json), text);
    }
}
