//! JSON that came from outside: what may be shown of it, and what it weighs.

use std::fmt;

use serde_json::Value;

/// Names of fields that are secret: ICE's password wherever it stands in its parameters, and what a TURN server wants to
/// see.
const SECRETS: [&str; 3] = ["password", "credential", "iceParameters"];

/// What is public within them.
const PUBLIC: &str = "usernameFragment";

/// Stands where a secret stood.
const REDACTED: &str = "***";

/// A message to be shown: its `Debug` and `Display` are its JSON, with `***` for every string that is or is within a
/// `password` or `credential`, or within `iceParameters` and no `usernameFragment`.
#[derive(Clone, Copy)]
pub struct Redacted<'a>(pub &'a Value);

impl Redacted<'_> {
    /// The message without its secrets.
    pub fn to_value(self) -> Value {
        let mut value = self.0.clone();
        redact(&mut value, false);
        value
    }
}

impl fmt::Display for Redacted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_value().fmt(f)
    }
}

impl fmt::Debug for Redacted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn redact(value: &mut Value, secret: bool) {
    match value {
        Value::String(text) if secret => REDACTED.clone_into(text),
        Value::Object(fields) => {
            for (name, field) in fields {
                redact(field, name != PUBLIC && (secret || SECRETS.contains(&name.as_str())));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| redact(item, secret)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// What is wrong with a message, without what was in it: serde quotes that, and where a password belongs it is one.
pub(crate) fn without_contents(error: &serde_json::Error) -> String {
    let text = error.to_string();
    // The names of our fields.
    if text.starts_with("missing field `") {
        return text;
    }
    let kind = text.split([':', '`', '"']).next().unwrap_or_default().trim_end();
    // What was expected is ours too, and comes last.
    let expected = text.rfind(", expected ").map_or("", |at| &text[at..]);
    format!("{kind}{expected}")
}

/// What a JSON value takes in memory, as limits count it: 32 bytes for each value and each name, and their text.
pub(crate) fn weight(value: &Value) -> usize {
    const EACH: usize = 32;
    EACH + match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => text.len(),
        Value::Array(values) => values.iter().map(weight).sum(),
        Value::Object(members) => members.iter().map(|(name, value)| EACH + name.len() + weight(value)).sum(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;
    use crate::net::{DtlsRole, IceCandidate, IceParameters};

    #[test]
    fn secrets_are_not_shown_however_deep_they_are() {
        let message = json!({ "a": [{ "password": "s1", "credential": { "x": ["s2"] } }], "username": "u", "n": 1 });
        let shown = json!({ "a": [{ "password": "***", "credential": { "x": ["***"] } }], "username": "u", "n": 1 });
        assert_eq!(Redacted(&message).to_value(), shown);
        assert_eq!(format!("{:?}", Redacted(&message)), shown.to_string());
    }

    #[test]
    fn an_error_tells_what_is_wrong_and_not_what_was_there() {
        let said = |error: serde_json::Error| without_contents(&error);
        let parameters = |value| said(from_value::<IceParameters>(value).unwrap_err());
        assert_eq!(parameters(json!("s, expected s")), "invalid type, expected struct IceParameters");
        assert_eq!(parameters(json!({ "usernameFragment": "u" })), "missing field `password`");
        assert_eq!(parameters(json!({ "usernameFragment": "u", "password": 1 })), "invalid type, expected a string");
        assert_eq!(
            said(from_value::<DtlsRole>(json!("s")).unwrap_err()),
            "unknown variant, expected `client` or `server`"
        );
        let candidate = json!({ "ip": "s", "port": 1, "protocol": "udp" });
        assert_eq!(said(from_value::<IceCandidate>(candidate).unwrap_err()), "invalid IP address syntax");
    }
}
