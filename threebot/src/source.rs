// SPDX-License-Identifier: Apache-2.0
//! Files with a document: JSON, or YAML of the same shape.

use anyhow::{Context, Result};
use serde::{
    Deserialize,
    de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use std::{
    fmt, fs,
    io::{self, Read},
    path::Path,
};
use tfgrid_client::deployment::{Application, Json, Rejection};

/// A file that was read.
pub struct Source {
    /// Name of the file.
    pub name: String,
    pub text: Vec<u8>,
    pub is_yaml: bool,
    pub json: Json,
}

impl Source {
    /// Reads the file; `-` is the standard input.
    pub fn read(file: &Path) -> Result<Self> {
        let name = file.display().to_string();
        let text = read(file)?;
        let is_yaml = is_yaml(file, &text);
        let json = if is_yaml {
            yaml_serde::from_slice(&text).with_context(|| format!("{name} isn't YAML"))?
        } else {
            serde_json::from_slice(&text).with_context(|| format!("{name} isn't JSON"))?
        };
        Ok(Self { name, text, is_yaml, json })
    }

    /// Of a document that is in no file: what is wrong in it has no line.
    pub fn without_file(name: String) -> Self {
        Self { name, text: Vec::new(), is_yaml: false, json: Json::Null }
    }

    /// Whether the document is an application, and not a deployment.
    pub fn is_application(&self) -> bool {
        matches!(&self.json, Json::Object(entries) if entries.iter().any(|(key, _)| key == "parts"))
    }

    /// The application in the file.
    pub fn application(&self) -> Result<Application> {
        Application::read_loosely(&self.json, &self.texts())
            .map_err(|rejection| self.located(rejection))
            .with_context(|| format!("{} isn't an application", self.name))
    }

    /// The document with the text of each number and boolean, as it is written, in its place.
    pub fn texts(&self) -> Json {
        let texts = Texts(&self.json).deserialize(yaml_serde::Deserializer::from_slice(&self.text));
        // JSON that isn't YAML: its strings are strings.
        texts.unwrap_or_else(|_| self.json.clone())
    }

    /// A broken rule, with its line and column in the file.
    pub fn located(&self, rejection: Rejection) -> anyhow::Error {
        let place = self.place(&rejection.path);
        let error = anyhow::Error::new(rejection);
        match place {
            Some((line, column)) => error.context(format!("line {line}, column {column}")),
            None => error,
        }
    }

    /// The same for an error that may be a broken rule.
    pub fn located_error(&self, error: anyhow::Error) -> anyhow::Error {
        match error.downcast::<Rejection>() {
            Ok(rejection) => self.located(rejection),
            Err(error) => error,
        }
    }

    /// Line and column of what a JSON pointer leads to: those of its key, where it has one.
    fn place(&self, pointer: &str) -> Option<(usize, usize)> {
        if self.text.is_empty() {
            return None;
        }
        let unescaped = |segment: &str| segment.replace("~1", "/").replace("~0", "~");
        let segments: Vec<String> = pointer.split('/').skip(1).map(unescaped).collect();
        let found = Locate(&segments).deserialize(yaml_serde::Deserializer::from_slice(&self.text));
        let location = found.err()?.location()?;
        Some((location.line(), location.column()))
    }
}

fn read(file: &Path) -> Result<Vec<u8>> {
    if file.as_os_str() != "-" {
        return fs::read(file).with_context(|| format!("can't read {}", file.display()));
    }
    let mut text = Vec::new();
    io::stdin().read_to_end(&mut text).context("can't read the standard input")?;
    Ok(text)
}

/// The ending of the file's name decides; without one, the first character does.
fn is_yaml(file: &Path, text: &[u8]) -> bool {
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("yaml" | "yml") => true,
        Some(_) => false,
        None => text.iter().find(|byte| !byte.is_ascii_whitespace()).is_some_and(|byte| *byte != b'{'),
    }
}

/// Reads a document again, with texts in place of the numbers and booleans of this value.
#[derive(Clone, Copy)]
struct Texts<'a>(&'a Json);

impl<'de> DeserializeSeed<'de> for Texts<'_> {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        match self.0 {
            Json::Bool(_) | Json::Whole(_) | Json::OtherNumber(_) => {
                String::deserialize(deserializer).map(Json::String)
            }
            Json::Null | Json::String(_) => {
                IgnoredAny::deserialize(deserializer)?;
                Ok(self.0.clone())
            }
            Json::Array(_) => deserializer.deserialize_seq(self),
            Json::Object(_) => deserializer.deserialize_map(self),
        }
    }
}

impl<'de> Visitor<'de> for Texts<'_> {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the same value")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let Json::Array(values) = self.0 else { return Err(A::Error::custom("not an array")) };
        let mut texts = Vec::new();
        for value in values {
            texts.extend(items.next_element_seed(Texts(value))?);
        }
        Ok(Json::Array(texts))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Json, A::Error> {
        let Json::Object(values) = self.0 else { return Err(A::Error::custom("not an object")) };
        let mut texts = Vec::new();
        for (key, value) in values {
            entries.next_key::<IgnoredAny>()?;
            texts.push((key.clone(), entries.next_value_seed(Texts(value))?));
        }
        Ok(Json::Object(texts))
    }
}

/// Fails where these segments of a pointer lead to, so that the error has the place. Where the document ends before,
/// the place is that of the last segment which is there.
struct Locate<'a>(&'a [String]);

impl<'de> DeserializeSeed<'de> for Locate<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Locate<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nothing")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let Some((index, rest)) = self.0.split_first() else { return Err(A::Error::custom("here")) };
        let index: usize = index.parse().map_err(A::Error::custom)?;
        for _ in 0..index {
            items.next_element::<IgnoredAny>()?;
        }
        items.next_element_seed(Locate(rest))?;
        Err(A::Error::custom("here"))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let Some((name, rest)) = self.0.split_first() else { return Err(A::Error::custom("here")) };
        while let Some(is_it) = entries.next_key_seed(Key { name, is_last: rest.is_empty() })? {
            if is_it {
                return entries.next_value_seed(Locate(rest));
            }
            entries.next_value::<IgnoredAny>()?;
        }
        Err(A::Error::custom("here"))
    }
}

/// Tells whether a key is the one; fails at it if it is the last segment.
struct Key<'a> {
    name: &'a str,
    is_last: bool,
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<bool, E> {
        if key == self.name && self.is_last { Err(E::custom("here")) } else { Ok(key == self.name) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tfgrid_client::primitives::FailureCode;

    const YAML: &str = "\
version: 1
workloads:
  - { name: data, type: zmount, data: { size: 16777216 } }
  - name: web
    data:
      cpu: 1
      env: { PORT: 5432, DEBUG: true, RATIO: 1.10, a/b: 007 }
";

    fn source(name: &str, text: &str) -> Source {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(name);
        fs::write(&file, text).unwrap();
        Source::read(&file).unwrap()
    }

    #[test]
    fn a_pointer_has_the_place_of_its_key() {
        let yaml = source("a.yaml", YAML);
        for (pointer, place) in [
            ("", (1, 1)),
            ("/version", (1, 1)),
            ("/workloads/0", (3, 5)),
            ("/workloads/0/data/size", (3, 41)),
            ("/workloads/1/data/cpu", (6, 7)),
            ("/workloads/1/data/env/a~1b", (7, 52)),
            ("/workloads/1/data/memory", (6, 7)),
        ] {
            assert_eq!(yaml.place(pointer), Some(place), "{pointer}");
        }
    }

    #[test]
    fn a_place_in_json_is_found_the_same_way() {
        let json =
            source("a.json", "{\n\t\"version\": 1,\n\t\"workloads\": [ { \"name\": \"\\u00e9\\/\" } ]\n}");
        assert_eq!(json.place("/version"), Some((2, 2)));
        assert_eq!(json.place("/workloads/0/name"), Some((3, 19)));
        let rejection = Rejection::new(FailureCode::BodyInvalid, "/version", "is 2");
        assert_eq!(format!("{:#}", json.located(rejection)), "line 2, column 2: /version: is 2");
    }

    #[test]
    fn texts_are_as_they_are_written() {
        let texts = source("a.yaml", YAML).texts();
        let text = |text: &str| Json::String(text.into());
        let env = [("PORT", "5432"), ("DEBUG", "true"), ("RATIO", "1.10"), ("a/b", "007")];
        let env = Json::Object(env.map(|(name, value)| (name.to_owned(), text(value))).into());
        let Json::Object(fields) = &texts else { panic!("{texts:?}") };
        let Json::Array(workloads) = &fields[1].1 else { panic!("{texts:?}") };
        let Json::Object(web) = &workloads[1] else { panic!("{texts:?}") };
        assert_eq!(web[1].1, Json::Object(vec![("cpu".into(), text("1")), ("env".into(), env)]));
    }
}
