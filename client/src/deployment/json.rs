// SPDX-License-Identifier: Apache-2.0
//! JSON values with duplicate keys, and a cursor that knows its place in the document.

use super::Rejection;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use std::{collections::BTreeSet, fmt, ops::RangeInclusive};
use tfgrid_primitives::FailureCode::{BodyInvalid, BodyUnsupported};

/// A JSON value. Unlike `serde_json::Value` it keeps duplicate keys, so that they can be refused.
#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number without sign, fraction or exponent, of at most 64 bits.
    Whole(u64),
    /// Any other number, as text.
    OtherNumber(String),
    /// A string, unescaped.
    String(String),
    /// The elements, in order.
    Array(Vec<Json>),
    /// An object's entries, in the order in which they were written.
    Object(Vec<(String, Json)>),
}

impl Json {
    fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Whole(_) | Self::OtherNumber(_) => "a number",
            Self::String(_) => "a string",
            Self::Array(_) => "an array",
            Self::Object(_) => "an object",
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

/// The key under which serde_json hands out a number that no primitive type holds, where any crate of the
/// build asks for its feature `arbitrary_precision`.
const NUMBER: &str = "$serde_json::private::Number";

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Whole(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(u64::try_from(value).map_or_else(|_| Json::OtherNumber(value.to_string()), Json::Whole))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Json, E> {
        Ok(Json::OtherNumber(value.to_string()))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Json, E> {
        Ok(Json::OtherNumber(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Json::OtherNumber(format!("{value:?}")))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Json, E> {
        Ok(Json::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut array = Vec::new();
        while let Some(item) = items.next_element()? {
            array.push(item);
        }
        Ok(Json::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Json, A::Error> {
        let mut object: Vec<(String, Json)> = Vec::new();
        while let Some(key) = entries.next_key()? {
            if object.is_empty() && key == NUMBER {
                return Ok(Json::OtherNumber(entries.next_value()?));
            }
            object.push((key, entries.next_value()?));
        }
        Ok(Json::Object(object))
    }
}

fn hundredths(text: &str) -> Option<u64> {
    let (whole, decimals) = text.split_once('.')?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !is_number(whole) || !is_number(decimals) || decimals.len() > 2 {
        return None;
    }
    format!("{whole}{decimals:0<2}").parse().ok()
}

/// A value and its place in the document.
pub(super) struct Cursor<'a> {
    value: &'a Json,
    /// The value with texts in place of its numbers and booleans, where these may be meant as texts.
    texts: &'a Json,
    path: String,
}

impl<'a> Cursor<'a> {
    /// A document in which a string is a string.
    pub fn root(value: &'a Json) -> Self {
        Self::loose(value, value)
    }

    /// A document whose numbers and booleans are also strings: those that `texts` has in their places.
    pub fn loose(value: &'a Json, texts: &'a Json) -> Self {
        Self { value, texts, path: String::new() }
    }

    /// The entries with these keys, as written and with texts.
    pub fn parts(&self, keys: &[&str]) -> (Vec<(String, Json)>, Vec<(String, Json)>) {
        let part = |json: &Json| match json {
            Json::Object(entries) => {
                entries.iter().filter(|(key, _)| keys.contains(&key.as_str())).cloned().collect()
            }
            _ => Vec::new(),
        };
        (part(self.value), part(self.texts))
    }

    /// A rejection of this value: `BodyInvalid`.
    pub fn invalid(&self, message: impl Into<String>) -> Rejection {
        Rejection::new(BodyInvalid, self.path.clone(), message)
    }

    /// A rejection of this value: `BodyUnsupported`.
    pub fn unsupported(&self, message: impl Into<String>) -> Rejection {
        Rejection::new(BodyUnsupported, self.path.clone(), message)
    }

    pub fn string(&self) -> Result<&'a str, Rejection> {
        match (self.value, self.texts) {
            (Json::String(value), _)
            | (Json::Bool(_) | Json::Whole(_) | Json::OtherNumber(_), Json::String(value)) => Ok(value),
            _ => Err(self.expected("a string")),
        }
    }

    /// The text of a value that is written as a string.
    pub fn written_string(&self) -> Option<&'a str> {
        match self.value {
            Json::String(value) => Some(value),
            _ => None,
        }
    }

    pub fn bool(&self) -> Result<bool, Rejection> {
        match self.value {
            Json::Bool(value) => Ok(*value),
            _ => Err(self.expected("true or false")),
        }
    }

    pub fn whole(&self) -> Result<u64, Rejection> {
        match self.value {
            Json::Whole(value) => Ok(*value),
            Json::OtherNumber(value) => {
                Err(self.invalid(format!("must be a whole number from 0 to 2^64-1; this is {value}")))
            }
            _ => Err(self.expected("a whole number")),
        }
    }

    /// A number with at most two decimals, in hundredths.
    pub fn hundredths(&self) -> Result<u64, Rejection> {
        let hundredths = match self.value {
            Json::Whole(value) => value.checked_mul(100),
            Json::OtherNumber(text) => hundredths(text),
            _ => return Err(self.expected("a number")),
        };
        hundredths
            .ok_or_else(|| self.invalid("must be a number from 0 with at most two decimals, such as 0.25"))
    }

    /// The items of an array whose length must lie in `count`.
    pub fn items(&self, count: RangeInclusive<usize>) -> Result<Vec<Cursor<'a>>, Rejection> {
        let Json::Array(items) = self.value else {
            return Err(self.expected("an array"));
        };
        if !count.contains(&items.len()) {
            return Err(self.invalid(format!(
                "needs {} to {} items, has {}",
                count.start(),
                count.end(),
                items.len()
            )));
        }
        let texts = match self.texts {
            Json::Array(texts) => texts.as_slice(),
            _ => &[],
        };
        let at = |(index, value)| Cursor {
            value,
            texts: texts.get(index).unwrap_or(value),
            path: format!("{}/{index}", self.path),
        };
        Ok(items.iter().enumerate().map(at).collect())
    }

    /// The entries of an object, each key once.
    pub fn fields(&self) -> Result<Fields<'a>, Rejection> {
        let Json::Object(entries) = self.value else {
            return Err(self.expected("an object"));
        };
        let mut keys = BTreeSet::new();
        for (key, _) in entries {
            if !keys.insert(key) {
                return Err(Rejection::new(
                    BodyInvalid,
                    child(&self.path, key),
                    format!("the key {key:?} stands here twice"),
                ));
            }
        }
        let texts = match self.texts {
            Json::Object(texts) => texts.as_slice(),
            _ => &[],
        };
        Ok(Fields { entries, texts, path: self.path.clone() })
    }

    fn expected(&self, what: &str) -> Rejection {
        self.invalid(format!("must be {what}, is {}", self.value.kind()))
    }
}

/// The entries of an object.
pub(super) struct Fields<'a> {
    entries: &'a [(String, Json)],
    /// The entries with texts, in the same order.
    texts: &'a [(String, Json)],
    path: String,
}

impl<'a> Fields<'a> {
    pub fn required(&self, name: &str) -> Result<Cursor<'a>, Rejection> {
        self.optional(name).ok_or_else(|| {
            let keys: Vec<&str> = self.entries.iter().map(|(key, _)| key.as_str()).collect();
            let has = if keys.is_empty() { "none".into() } else { keys.join(", ") };
            let message = format!("the field {name:?} is missing; there are: {has}");
            Rejection::new(BodyInvalid, self.path.clone(), message)
        })
    }

    pub fn optional(&self, name: &str) -> Option<Cursor<'a>> {
        self.iter().find(|(key, _)| *key == name).map(|(_, cursor)| cursor)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&'a str, Cursor<'a>)> + '_ {
        self.entries.iter().enumerate().map(|(index, (key, value))| {
            let texts = self.texts.get(index).map_or(value, |(_, text)| text);
            (key.as_str(), Cursor { value, texts, path: child(&self.path, key) })
        })
    }

    /// Refuses every field that isn't named here.
    pub fn only(&self, known: &[&str]) -> Result<(), Rejection> {
        match self.iter().find(|(key, _)| !known.contains(key)) {
            None => Ok(()),
            Some((key, cursor)) => Err(cursor.unsupported(format!(
                "the field {key:?} is unknown{}; known are: {}",
                meant(key, known),
                known.join(", ")
            ))),
        }
    }
}

/// Asks for the known name that is nearest to a wrong one, if one is near.
fn meant(wrong: &str, known: &[&str]) -> String {
    let near = known.iter().filter_map(|name| {
        let distance = strsim::damerau_levenshtein(wrong, name);
        (3 * distance <= wrong.len().max(name.len())).then_some((distance, name))
    });
    near.min().map_or_else(String::new, |(_, name)| format!(" (did you mean {name:?}?)"))
}

/// The JSON pointer of an entry.
pub(super) fn child(path: &str, key: &str) -> String {
    format!("{path}/{}", key.replace('~', "~0").replace('/', "~1"))
}
