// SPDX-License-Identifier: Apache-2.0
//! Texts of a deployment that not everyone may read, in a body that everyone can (`docs/FORMATS.md` §4.2).

use super::{Deployment, Registry, Rejection, Workload, WorkloadData, Zlogs, json, rules};
use crate::sealing::{Recipient, SealError, SealKey, seal};
use base64::{Engine, prelude::BASE64_STANDARD};
use schemars::JsonSchema;
use serde::Serialize;
use std::{collections::BTreeMap, fmt, mem};
use tfgrid_primitives::FailureCode::BodyInvalid;

const DAMAGED: &str = "is damaged: seal and submit it again";

/// A text, or the name of one of the deployment's [`Secrets`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(deny_unknown_fields)]
pub enum Text {
    /// The text itself.
    Plain(String),
    /// What the secrets have under this name.
    Secret {
        /// Name of the secret.
        secret: String,
    },
}

/// Texts by their names. Debug output has none of them.
#[derive(Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Secrets {
    /// As their owner writes them. Clients seal them before a body goes to the chain.
    Open(BTreeMap<String, String>),
    /// An age file with the JSON of the above, in base64.
    Sealed(String),
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(texts) => f.debug_set().entries(texts.keys()).finish(),
            Self::Sealed(_) => f.write_str("Sealed"),
        }
    }
}

impl Secrets {
    /// The same, for these recipients alone.
    ///
    /// # Errors
    /// As [`seal`].
    pub fn sealed(&self, recipients: &[Recipient]) -> Result<Self, SealError> {
        Ok(match self {
            Self::Open(texts) => {
                let plain = serde_json::to_vec(texts).unwrap_or_default();
                Self::Sealed(BASE64_STANDARD.encode(seal(&plain, recipients)?))
            }
            Self::Sealed(_) => self.clone(),
        })
    }

    fn is_empty(&self) -> bool {
        matches!(self, Self::Open(texts) if texts.is_empty())
    }

    /// The texts, for whom they are sealed to.
    ///
    /// # Errors
    /// As [`SealKey::open`].
    fn open(&self, key: &SealKey) -> Result<BTreeMap<String, String>, Rejection> {
        let text = match self {
            Self::Open(texts) => return Ok(texts.clone()),
            Self::Sealed(text) => text,
        };
        let at_secrets = |rejection| Rejection { path: "/secrets".into(), ..rejection };
        let damaged = || Rejection::new(BodyInvalid, "/secrets", DAMAGED);
        let sealed = BASE64_STANDARD.decode(text).map_err(|_| damaged())?;
        let plain = key.open(&sealed).map_err(at_secrets)?;
        serde_json::from_slice(&plain).map_err(|_| damaged())
    }
}

/// The texts of a deployment's [`Secrets`], each known to be allowed where it stands. Debug output has none of them.
#[derive(Clone, Default)]
pub struct OpenSecrets(BTreeMap<String, String>);

impl fmt::Debug for OpenSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl OpenSecrets {
    /// The text, with a name's secret in its place. Names that [`Deployment::open_secrets`] refuses mean nothing.
    pub fn reveal(&self, text: Text) -> String {
        match text {
            Text::Plain(text) => text,
            Text::Secret { secret } => self.0.get(&secret).cloned().unwrap_or_default(),
        }
    }
}

impl Deployment {
    /// Opens the secrets, and checks them as if they stood where their names do.
    ///
    /// # Errors
    /// If they are sealed to others or damaged, lack a name, or have a text that isn't allowed in its place. No message
    /// repeats a secret.
    pub fn open_secrets(&self, key: &SealKey) -> Result<OpenSecrets, Rejection> {
        let texts = self.secrets.as_ref().map(|secrets| secrets.open(key)).transpose()?.unwrap_or_default();
        self.check_secrets(&texts)?;
        Ok(OpenSecrets(texts))
    }

    /// The deployment with its secrets sealed to these recipients.
    ///
    /// # Errors
    /// As [`seal`].
    pub fn with_sealed_secrets(&self, recipients: &[Recipient]) -> Result<Self, SealError> {
        let secrets = self.secrets.as_ref().map(|secrets| secrets.sealed(recipients)).transpose()?;
        Ok(Self { secrets, ..self.clone() })
    }

    /// The deployment with its environment, credentials and addresses with tokens as secrets, unless its owner has
    /// said what is secret.
    #[must_use]
    pub fn with_texts_as_secrets(&self) -> Self {
        if self.secrets.is_some() {
            return self.clone();
        }
        let (mut deployment, mut texts) = (self.clone(), BTreeMap::new());
        for Workload { name, data } in &mut deployment.workloads {
            if let WorkloadData::Zlogs(logs) = data
                && logs.has_token()
            {
                hide(format!("{name}.output"), &mut logs.output, &mut texts);
            }
            let WorkloadData::Zmachine(machine) = data else { continue };
            for (variable, text) in &mut machine.env {
                hide(format!("{name}.env.{variable}"), text, &mut texts);
            }
            if let Some(Registry { user, password }) = &mut machine.registry {
                hide(format!("{name}.registry.user"), user, &mut texts);
                hide(format!("{name}.registry.password"), password, &mut texts);
            }
        }
        deployment.secrets = Some(Secrets::Open(texts)).filter(|secrets| !secrets.is_empty());
        deployment
    }

    /// The deployment with its secrets as their owner wrote them.
    ///
    /// # Errors
    /// As [`Deployment::open_secrets`].
    pub fn with_open_secrets(&self, key: &SealKey) -> Result<Self, Rejection> {
        let OpenSecrets(texts) = self.open_secrets(key)?;
        Ok(Self { secrets: self.secrets.as_ref().map(|_| Secrets::Open(texts)), ..self.clone() })
    }

    /// Checks what can be checked without a key.
    pub(super) fn check_open_secrets(&self) -> Result<(), Rejection> {
        match &self.secrets {
            Some(Secrets::Sealed(_)) => Ok(()),
            Some(Secrets::Open(texts)) => self.check_secrets(texts),
            None => self.check_secrets(&BTreeMap::new()),
        }
    }

    fn check_secrets(&self, texts: &BTreeMap<String, String>) -> Result<(), Rejection> {
        for Place { path, text, rule } in self.places() {
            let Text::Secret { secret } = text else { continue };
            let unknown = || Rejection::new(BodyInvalid, &path, format!("`secrets` has no {secret:?}"));
            let value = texts.get(secret).ok_or_else(unknown)?;
            rule(value).map_err(|rule| Rejection::new(BodyInvalid, &path, rule))?;
        }
        Ok(())
    }

    /// All places that may name a secret.
    fn places(&self) -> Vec<Place<'_>> {
        let mut places = Vec::new();
        for (index, workload) in self.workloads.iter().enumerate() {
            let data = format!("/workloads/{index}/data");
            match &workload.data {
                WorkloadData::Zmachine(machine) => {
                    let variables = json::child(&data, "env");
                    places.extend(machine.env.iter().map(|(name, text)| Place {
                        path: json::child(&variables, name),
                        text,
                        rule: rules::c_string,
                    }));
                    let Some(Registry { user, password }) = &machine.registry else { continue };
                    let path = |field| format!("{data}/registry/{field}");
                    places.push(Place { path: path("user"), text: user, rule: rules::registry_user });
                    places.push(Place { path: path("password"), text: password, rule: rules::credential });
                }
                WorkloadData::Zlogs(logs) => places.push(Place {
                    path: json::child(&data, "output"),
                    text: &logs.output,
                    rule: rules::log_output,
                }),
                WorkloadData::Zmount(_)
                | WorkloadData::Volume(_)
                | WorkloadData::Network(_)
                | WorkloadData::GatewayNameProxy(_)
                | WorkloadData::GatewayFqdnProxy(_) => {}
            }
        }
        places
    }
}

impl Zlogs {
    /// Whether the address has more than a scheme, a host and a port: that often is a token.
    pub fn has_token(&self) -> bool {
        let Text::Plain(output) = &self.output else { return false };
        let place = output.split_once("://").map_or(&**output, |(_, place)| place);
        place.trim_end_matches('/').contains(['/', '?', '#', '@'])
    }
}

/// Replaces a text by the name of a secret.
fn hide(name: String, text: &mut Text, texts: &mut BTreeMap<String, String>) {
    let named = Text::Secret { secret: name.clone() };
    if let Text::Plain(plain) = mem::replace(text, named) {
        texts.insert(name, plain);
    }
}

/// A place that may name a secret, with the rule for what it means.
struct Place<'a> {
    path: String,
    text: &'a Text,
    rule: fn(&str) -> Result<(), String>,
}
