// SPDX-License-Identifier: Apache-2.0
//! Sealed bodies: age files for the X25519 keys that the chain has of nodes and twins (`docs/FORMATS.md` §4.1).

use crate::deployment::{MAX_BODY_BYTES, Rejection};
use age::{DecryptError, EncryptError, Encryptor, x25519};
use age_core::format::{FileKey, Stanza};
use bech32::{Bech32, Hrp};
use std::{
    collections::{BTreeSet, HashSet},
    fmt,
    io::Write,
    str::FromStr,
};
use tfgrid_primitives::{
    FailureCode::{BodyInvalid, BodyUnsupported},
    PublicKey, TwinId,
};
use x25519_dalek::StaticSecret;

const RECIPIENT: Hrp = Hrp::parse_unchecked("age");
const SECRET: Hrp = Hrp::parse_unchecked("age-secret-key-");
/// The type of the stanza that says for which twin's contracts a file is.
const TWIN: &str = "tfgrid-twin";

/// A key to which a body is sealed, as text `age1…`, and the twin for whose contracts alone, if there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient(x25519::Recipient, Option<TwinId>);

/// A secret X25519 key, as text `AGE-SECRET-KEY-1…`. It opens what is sealed to its [`Recipient`]; of bodies, those for
/// contracts of its twin alone, if it has one. Debug output doesn't have it.
#[derive(Clone)]
pub struct SealKey(x25519::Identity, Option<TwinId>);

/// Why a text or a key isn't one of age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealKeyError {
    /// The text isn't Bech32 of 32 bytes with the prefix of age.
    #[error("a recipient is `age1` and 58 more letters and digits, as `age-keygen` prints it")]
    Recipient,
    /// The same for a secret key. The message doesn't repeat the text.
    #[error(
        "a secret key of age is `AGE-SECRET-KEY-1` and 58 more letters and digits, as `age-keygen` prints it"
    )]
    Secret,
    /// X25519 gives the same shared secret with this key to everyone.
    #[error("the key {} is weak: anyone could open what is sealed to it", hex::encode(.0))]
    Weak(PublicKey),
}

/// Why a body can't be sealed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The sealed body is too long.
    #[error(
        "the deployment has {plain} bytes, sealed to {recipients} keys {sealed}: a body has at most {MAX_BODY_BYTES}; \
         shorten it"
    )]
    TooLong {
        /// Bytes of the plain body.
        plain: usize,
        /// Bytes of the sealed body.
        sealed: usize,
        /// Number of keys.
        recipients: usize,
    },
    /// age can't seal it.
    #[error("age can't seal the deployment: {0}")]
    Age(#[from] EncryptError),
}

/// Why a sealed file can't be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// It is sealed to other keys.
    #[error("it isn't sealed to your key: name the file of another one with --identity")]
    OtherKeys,
    /// It isn't as it was sealed.
    #[error("it is damaged")]
    Damaged,
}

impl Recipient {
    /// The recipient with an X25519 key as the chain has it.
    ///
    /// # Errors
    /// If the key is weak.
    pub fn new(key: &PublicKey) -> Result<Self, SealKeyError> {
        let shared = StaticSecret::from([1; 32]).diffie_hellman(&(*key).into());
        if !shared.was_contributory() {
            return Err(SealKeyError::Weak(*key));
        }
        let text = bech32::encode::<Bech32>(RECIPIENT, key).map_err(|_| SealKeyError::Recipient)?;
        Ok(Self(text.parse().map_err(|_| SealKeyError::Recipient)?, None))
    }

    /// The same for what runs in contracts of this twin alone: whoever copies it into others' gets nothing opened.
    #[must_use]
    pub fn of(self, twin: TwinId) -> Self {
        Self(self.0, Some(twin))
    }

    /// The X25519 key as the chain has it.
    pub fn key(&self) -> Result<PublicKey, SealKeyError> {
        decode(&self.to_string(), RECIPIENT).ok_or(SealKeyError::Recipient)
    }
}

impl FromStr for Recipient {
    type Err = SealKeyError;

    fn from_str(text: &str) -> Result<Self, SealKeyError> {
        Self::new(&decode(text, RECIPIENT).ok_or(SealKeyError::Recipient)?)
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl SealKey {
    /// The key with these secret bytes.
    ///
    /// # Errors
    /// None: every 32 bytes are an X25519 key.
    pub fn new(secret: &[u8; 32]) -> Result<Self, SealKeyError> {
        let text = bech32::encode_upper::<Bech32>(SECRET, secret).map_err(|_| SealKeyError::Secret)?;
        text.parse()
    }

    /// The key to which others seal.
    pub fn recipient(&self) -> Recipient {
        Recipient(self.0.to_public(), None)
    }

    /// The same for bodies of this twin's contracts alone.
    #[must_use]
    pub fn of(&self, twin: TwinId) -> Self {
        Self(self.0.clone(), Some(twin))
    }

    /// The plain text of a file that [`seal_file`] has sealed.
    ///
    /// # Errors
    /// If it is sealed to other keys or damaged.
    pub fn open_file(&self, sealed: &[u8]) -> Result<Vec<u8>, FileError> {
        age::decrypt(&self.0, sealed).map_err(|error| match error {
            DecryptError::NoMatchingKeys => FileError::OtherKeys,
            _ => FileError::Damaged,
        })
    }

    /// The plain text of a sealed body.
    ///
    /// # Errors
    /// [`BodyUnsupported`] if it is sealed to other keys or for another twin, [`BodyInvalid`] if it is damaged.
    pub fn open(&self, sealed: &[u8]) -> Result<Vec<u8>, Rejection> {
        let opened = age::decrypt(&self.0, sealed).map_err(|error| match error {
            DecryptError::NoMatchingKeys => Rejection::new(
                BodyUnsupported,
                "",
                "the body isn't sealed to this key: seal it to the encryption key that the chain has now",
            ),
            DecryptError::InvalidHeader | DecryptError::UnknownFormat => {
                Rejection::new(BodyInvalid, "", "the sealed body isn't an age file")
            }
            _ => Rejection::new(BodyInvalid, "", "the sealed body is damaged: seal and submit it again"),
        })?;
        match self.1 {
            // Nobody but its readers could have changed the header of what was opened.
            Some(twin) if is_of_another(sealed, twin) => Err(Rejection::new(
                BodyUnsupported,
                "",
                "the body is sealed for contracts of another twin: seal it for yours",
            )),
            _ => Ok(opened),
        }
    }
}

impl FromStr for SealKey {
    type Err = SealKeyError;

    fn from_str(text: &str) -> Result<Self, SealKeyError> {
        text.parse().map(|key| Self(key, None)).map_err(|_| SealKeyError::Secret)
    }
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealKey({})", self.recipient())
    }
}

/// Seals a plain body to each of these keys once.
///
/// # Errors
/// If there are no keys, or the sealed body would be longer than [`MAX_BODY_BYTES`].
pub fn seal(plain: &[u8], recipients: &[Recipient]) -> Result<Vec<u8>, SealError> {
    let sealed = seal_file(plain, recipients)?;
    if sealed.len() > MAX_BODY_BYTES {
        let (plain, sealed, recipients) = (plain.len(), sealed.len(), distinct(recipients).len());
        return Err(SealError::TooLong { plain, sealed, recipients });
    }
    Ok(sealed)
}

/// Seals a file of any length to each of these keys once.
///
/// # Errors
/// If there are no keys.
pub fn seal_file(plain: &[u8], recipients: &[Recipient]) -> Result<Vec<u8>, EncryptError> {
    let distinct = distinct(recipients);
    let twins: BTreeSet<TwinId> = recipients.iter().filter_map(|recipient| recipient.1).collect();
    let marks: Vec<Mark> = twins.into_iter().map(Mark).collect();
    let keys = distinct.iter().map(|recipient| &recipient.0 as &dyn age::Recipient);
    let encryptor =
        Encryptor::with_recipients(keys.chain(marks.iter().map(|mark| mark as &dyn age::Recipient)))?;
    let mut sealed = Vec::new();
    let mut writer = encryptor.wrap_output(&mut sealed)?;
    writer.write_all(plain)?;
    writer.finish()?;
    Ok(sealed)
}

/// The stanza that says for which twin's contracts a file is. It has no key.
struct Mark(TwinId);

impl age::Recipient for Mark {
    fn wrap_file_key(&self, _: &FileKey) -> Result<(Vec<Stanza>, HashSet<String>), EncryptError> {
        let stanza = Stanza { tag: TWIN.into(), args: vec![self.0.to_string()], body: Vec::new() };
        Ok((vec![stanza], HashSet::new()))
    }
}

/// Whether the header of a file says that it is for another twin.
fn is_of_another(sealed: &[u8], twin: TwinId) -> bool {
    let (mark, own) = (format!("-> {TWIN} "), twin.to_string());
    let mut header = sealed.split(|byte| *byte == b'\n').take_while(|line| !line.starts_with(b"---"));
    header.any(|line| line.strip_prefix(mark.as_bytes()).is_some_and(|its| its != own.as_bytes()))
}

fn distinct(recipients: &[Recipient]) -> Vec<&Recipient> {
    let mut seen = BTreeSet::new();
    recipients.iter().filter(|recipient| seen.insert(recipient.to_string())).collect()
}

/// The 32 bytes of a key in Bech32.
fn decode(text: &str, prefix: Hrp) -> Option<PublicKey> {
    let (found, bytes) = bech32::decode(text).ok()?;
    (found == prefix).then_some(bytes)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &[u8] = br#"{"version":1,"workloads":[]}"#;

    fn key(byte: u8) -> SealKey {
        SealKey::new(&[byte; 32]).unwrap()
    }

    #[test]
    fn each_recipient_opens_a_body_and_nobody_else() {
        let (node, owner, stranger) = (key(1), key(2), key(3));
        let sealed = seal(PLAIN, &[node.recipient(), owner.recipient(), node.recipient()]).unwrap();
        assert_eq!(node.open(&sealed).unwrap(), PLAIN);
        assert_eq!(owner.open(&sealed).unwrap(), PLAIN);
        assert_eq!(stranger.open(&sealed).unwrap_err().code, BodyUnsupported);
        let twice = sealed.windows(9).filter(|bytes| bytes == b"-> X25519").count();
        assert_eq!(twice, 2, "a key stands there once");
    }

    #[test]
    fn a_body_sealed_to_a_key_that_the_node_had_before_is_refused() {
        let sealed = seal(PLAIN, &[key(1).recipient()]).unwrap();
        let refused = key(2).open(&sealed).unwrap_err();
        assert_eq!((refused.code, refused.path.as_str()), (BodyUnsupported, ""));
        assert!(
            refused.message.contains("seal it to the encryption key that the chain has now"),
            "{refused}"
        );
    }

    #[test]
    fn a_damaged_body_is_refused_wherever_it_is_damaged() {
        let node = key(1);
        let sealed = seal(PLAIN, &[node.recipient()]).unwrap();
        for length in 0..sealed.len() {
            assert!(node.open(&sealed[..length]).is_err(), "cut to {length} bytes");
        }
        for at in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[at] ^= 1;
            assert!(node.open(&damaged).is_err(), "byte {at} has changed");
        }
        assert_eq!(node.open(b"{}").unwrap_err().code, BodyInvalid);
    }

    #[test]
    fn a_copy_of_a_body_in_a_strangers_contract_is_not_opened() {
        let (node, owner) = (key(1), key(2));
        let recipients = [node.recipient().of(7), owner.recipient().of(7)];
        let sealed = seal(PLAIN, &recipients).unwrap();
        assert_eq!(node.of(7).open(&sealed).unwrap(), PLAIN);
        assert_eq!(owner.open(&sealed).unwrap(), PLAIN, "who reads it needs no contract");
        let refused = node.of(8).open(&sealed).unwrap_err();
        assert_eq!(refused.code, BodyUnsupported);
        assert!(refused.message.contains("contracts of another twin"), "{refused}");
        // Nor can the mark be changed.
        let at = sealed.windows(TWIN.len()).position(|bytes| bytes == TWIN.as_bytes()).unwrap();
        let mut changed = sealed.clone();
        changed[at + TWIN.len() + 1] = b'8';
        assert_eq!(node.of(8).open(&changed).unwrap_err().code, BodyInvalid);
        let unmarked = seal(PLAIN, &[node.recipient()]).unwrap();
        assert_eq!(node.of(8).open(&unmarked).unwrap(), PLAIN, "one of another implementation");
    }

    #[test]
    fn a_body_must_fit_the_chain_when_it_is_sealed() {
        let recipients = [key(1).recipient().of(TwinId::MAX), key(2).recipient().of(TwinId::MAX)];
        assert!(seal(&[b' '; 7_660], &recipients).unwrap().len() <= MAX_BODY_BYTES);
        let error = seal(&[b' '; 7_895], &recipients).unwrap_err().to_string();
        assert!(error.contains("has 7895 bytes, sealed to 2 keys 8"), "{error}");
        assert!(matches!(seal(PLAIN, &[]), Err(SealError::Age(EncryptError::MissingRecipients))));
    }

    #[test]
    fn a_weak_key_is_refused() {
        let mut one = [0; 32];
        one[0] = 1;
        for key in [[0; 32], one] {
            assert_eq!(Recipient::new(&key), Err(SealKeyError::Weak(key)));
            let text = bech32::encode::<Bech32>(RECIPIENT, &key).unwrap();
            assert_eq!(text.parse::<Recipient>(), Err(SealKeyError::Weak(key)));
        }
    }

    #[test]
    fn a_key_is_read_from_its_text_only() {
        let (secret, recipient) = (key(1), key(1).recipient());
        assert_eq!(recipient.to_string().parse::<Recipient>().unwrap(), recipient);
        assert_eq!(Recipient::new(&recipient.key().unwrap()).unwrap(), recipient);
        assert!(!format!("{secret:?}").contains("SECRET"));
        for text in ["", "age1", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", &format!("{recipient}q")] {
            assert_eq!(text.parse::<Recipient>(), Err(SealKeyError::Recipient));
            assert_eq!(text.parse::<SealKey>().unwrap_err(), SealKeyError::Secret);
        }
    }
}
