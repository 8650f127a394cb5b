// SPDX-License-Identifier: Apache-2.0
//! Certificates of hosts: from the node's own authority at first, then from one that browsers trust.

use super::config::Files;
use crate::{backoff::Backoff, clock::unix_ms, store::Store};
use anyhow::{Context, Result, anyhow};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    time::Duration,
};
use x509_parser::pem::Pem;

/// File with what is known of the certificates.
const INDEX: &str = "certificates.json";
/// Certificate of the node's own authority, for people who trust it.
const AUTHORITY: &str = "authority.crt";
const AUTHORITY_KEY: &str = "authority.json";
/// Delays after an authority has refused.
const REFUSED: Backoff = Backoff { first: Duration::from_secs(30), most: Duration::from_secs(6 * 3_600) };
/// Least delay after it has said that there are too many requests.
const TOO_MANY: Duration = Duration::from_secs(3_600);
/// Life of a certificate of the node's own, and how far a client's clock may be behind.
const OWN_LIFE: Duration = Duration::from_secs(90 * 24 * 3_600);
const CLOCKS_DIFFER: Duration = Duration::from_secs(3_600);

/// What is known of a host's certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// Whether an authority has signed it that isn't the node's own.
    pub is_trusted: bool,
    /// From when on it is to be renewed, in milliseconds since 1970: two thirds of its life.
    pub renew_at_ms: u64,
    /// Since when it has waited for its first one from an authority.
    #[serde(default)]
    since_ms: u64,
    /// How often renewing has failed since.
    failures: u32,
    /// When that is tried again.
    retry_at_ms: u64,
    /// Why it failed last.
    pub trouble: Option<String>,
}

impl Certificate {
    /// Its place among those for which to ask: the fewest failures, then the longest wait.
    fn place(&self) -> (u32, u64) {
        (self.failures, if self.is_trusted { self.renew_at_ms } else { self.since_ms })
    }

    /// Whether to ask an authority for another one now.
    fn is_due(&self, now_ms: u64) -> bool {
        (!self.is_trusted || self.renew_at_ms <= now_ms) && self.retry_at_ms <= now_ms
    }
}

/// The certificates of a node's hosts.
pub struct Certificates {
    files: Files,
    store: Store,
    index: BTreeMap<String, Certificate>,
    authority: KeyPair,
}

impl Certificates {
    /// Those in this folder, with the node's own authority, which it makes once.
    ///
    /// # Errors
    /// If the folder can't be read or written, or is damaged.
    pub fn open(files: Files, folder: &Path) -> Result<Self> {
        let store = Store::open(folder)?;
        let authority = match store.read::<String>(AUTHORITY_KEY)? {
            Some(pem) => KeyPair::from_pem(&pem).context("the key of the node's own authority is damaged")?,
            None => {
                let key = KeyPair::generate()?;
                store.write(AUTHORITY_KEY, &key.serialize_pem())?;
                key
            }
        };
        let path = folder.join(AUTHORITY);
        if !path.exists() {
            write_private(&path, &authority_params().self_signed(&authority)?.pem())?;
        }
        Ok(Self { index: store.read_or_default(INDEX)?, files, store, authority })
    }

    /// What is known of a host's certificate.
    pub fn get(&self, host: &str) -> Option<&Certificate> {
        self.index.get(host)
    }

    /// Makes certificates for hosts that have none. Returns the hosts for which that fails, with why.
    pub fn ensure<'a>(&mut self, hosts: impl Iterator<Item = &'a str>) -> BTreeMap<String, String> {
        let mut failing = BTreeMap::new();
        for host in hosts {
            if let Err(why) = self.ensure_one(host) {
                failing.insert(host.to_owned(), format!("can't make its certificate: {why:#}"));
            }
        }
        failing
    }

    fn ensure_one(&mut self, host: &str) -> Result<()> {
        let (known, now_ms) = (self.index.get(host), unix_ms());
        let is_there = self.files.certificate(host).exists();
        // Of the node's own, nobody else renews it.
        if is_there && known.is_some_and(|known| known.is_trusted || known.renew_at_ms > now_ms) {
            return Ok(());
        }
        let (pem, renew_at_ms) = self.own(host)?;
        write_private(&self.files.certificate(host), &pem)?;
        let new = || Certificate { since_ms: now_ms, ..Default::default() };
        let known = self.index.remove(host).unwrap_or_else(new);
        self.index.insert(host.to_owned(), Certificate { is_trusted: false, renew_at_ms, ..known });
        self.store.write(INDEX, &self.index)
    }

    /// A certificate of the node's own authority with its key, and when to renew it.
    fn own(&self, host: &str) -> Result<(String, u64)> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new([host.to_owned()])?;
        params.distinguished_name = DistinguishedName::new();
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let now = date_time_ymd(1970, 1, 1) + Duration::from_millis(unix_ms());
        (params.not_before, params.not_after) = (now - CLOCKS_DIFFER, now + OWN_LIFE);
        let issuer = authority_params();
        let signed = params.signed_by(&key, &Issuer::from_params(&issuer, &self.authority))?;
        let pem = signed.pem() + &key.serialize_pem();
        let renew_at_ms = renew_at_ms(&pem)?;
        Ok((pem, renew_at_ms))
    }

    /// Takes what an authority has signed.
    ///
    /// # Errors
    /// If it can't be read or written.
    pub fn take(&mut self, host: &str, chain: &str, key: &str) -> Result<()> {
        let pem = format!("{}\n{key}", chain.trim_end());
        let renewed = Certificate { is_trusted: true, renew_at_ms: renew_at_ms(&pem)?, ..Default::default() };
        write_private(&self.files.certificate(host), &pem)?;
        self.index.insert(host.to_owned(), renewed);
        self.store.write(INDEX, &self.index)
    }

    /// Remembers that an authority has refused. The old certificate serves on.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn refused(&mut self, host: &str, why: String, too_many: bool) -> Result<()> {
        let Some(known) = self.index.get_mut(host) else { return Ok(()) };
        known.failures = known.failures.saturating_add(1);
        let delay = REFUSED.delay(known.failures).max(if too_many { TOO_MANY } else { Duration::ZERO });
        let delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        known.retry_at_ms = unix_ms().saturating_add(delay_ms);
        known.trouble = Some(why);
        self.store.write(INDEX, &self.index)
    }

    /// Hosts of these for which an authority is to be asked, in this order.
    pub fn due<'a>(&self, hosts: impl Iterator<Item = &'a str>) -> Vec<String> {
        let now_ms = unix_ms();
        let mut due: Vec<(&str, Option<&Certificate>)> = hosts
            .map(|host| (host, self.index.get(host)))
            .filter(|(_, known)| known.is_none_or(|known| known.is_due(now_ms)))
            .collect();
        due.sort_by_key(|(_, known)| known.map_or((0, now_ms), Certificate::place));
        due.into_iter().map(|(host, _)| host.to_owned()).collect()
    }

    /// Forgets hosts that aren't among these for good: a key that is of no use must not lie about.
    ///
    /// # Errors
    /// If a file can't be removed.
    pub fn keep(&mut self, is_kept: impl Fn(&str) -> bool) -> Result<()> {
        let gone: Vec<String> = self.index.keys().filter(|host| !is_kept(host)).cloned().collect();
        for host in &gone {
            let path = self.files.certificate(host);
            if path.exists() {
                fs::remove_file(&path).with_context(|| format!("can't remove {}", path.display()))?;
            }
            self.index.remove(host);
        }
        if gone.is_empty() { Ok(()) } else { self.store.write(INDEX, &self.index) }
    }
}

fn authority_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Web gateway of this node");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// When a certificate that begins a PEM text is to be renewed: after two thirds of its life.
fn renew_at_ms(pem: &str) -> Result<u64> {
    let (first, _) = Pem::read(std::io::Cursor::new(pem)).context("there is no certificate")?;
    let certificate =
        first.parse_x509().map_err(|error| anyhow!("can't understand the certificate: {error}"))?;
    let validity = certificate.validity();
    let (from, to) = (validity.not_before.timestamp(), validity.not_after.timestamp());
    let at = from.saturating_add(to.saturating_sub(from) / 3 * 2);
    Ok(u64::try_from(at).unwrap_or_default().saturating_mul(1_000))
}

/// Replaces a file that nobody else may read.
fn write_private(path: &Path, text: &str) -> Result<()> {
    let write = || {
        let new = path.with_extension("new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        File::open(path.parent().unwrap_or(path))?.sync_all()
    };
    write().with_context(|| format!("can't write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificates(dir: &Path) -> Certificates {
        Certificates::open(Files::new(dir.join("run"), dir.to_owned()), dir).unwrap()
    }

    #[test]
    fn a_host_has_a_certificate_of_the_node_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let mut own = certificates(dir.path());
        assert!(own.ensure(["a.example"].into_iter()).is_empty());
        let known = own.get("a.example").unwrap().clone();
        assert!(!known.is_trusted && known.renew_at_ms > unix_ms());
        let pem = fs::read_to_string(own.files.certificate("a.example")).unwrap();
        assert!(pem.contains("BEGIN CERTIFICATE") && pem.contains("PRIVATE KEY"));
        // The next agent goes on with it, and so does its authority.
        let mut next = certificates(dir.path());
        assert!(next.ensure(["a.example"].into_iter()).is_empty());
        assert_eq!(next.get("a.example"), Some(&known));
        assert_eq!(fs::read_to_string(own.files.certificate("a.example")).unwrap(), pem);
    }

    #[test]
    fn a_refusal_delays_and_keeps_the_old_certificate() {
        let dir = tempfile::tempdir().unwrap();
        let mut own = certificates(dir.path());
        assert!(own.ensure(["a.example", "b.example"].into_iter()).is_empty());
        let hosts = || ["a.example", "b.example"].into_iter();
        assert_eq!(own.due(hosts()).len(), 2);
        let pem = fs::read_to_string(own.files.certificate("a.example")).unwrap();
        own.refused("a.example", "rate limited".into(), true).unwrap();
        own.refused("b.example", "no answer".into(), false).unwrap();
        assert!(own.due(hosts()).is_empty());
        let wait = |host| own.get(host).unwrap().retry_at_ms.saturating_sub(unix_ms());
        assert!(wait("a.example") > 3_500_000 && wait("b.example") < 60_000);
        assert_eq!(own.get("a.example").unwrap().trouble.as_deref(), Some("rate limited"));
        assert_eq!(fs::read_to_string(own.files.certificate("a.example")).unwrap(), pem);
        // Also for the next agent.
        assert!(certificates(dir.path()).due(hosts()).is_empty());
    }

    #[test]
    fn a_certificate_is_renewed_after_two_thirds_of_its_life() {
        let dir = tempfile::tempdir().unwrap();
        let own = certificates(dir.path());
        let (pem, renew_at_ms) = own.own("a.example").unwrap();
        let life_ms = (OWN_LIFE + CLOCKS_DIFFER).as_millis() as u64;
        let expected = unix_ms() - CLOCKS_DIFFER.as_millis() as u64 + life_ms / 3 * 2;
        assert!(renew_at_ms.abs_diff(expected) < 60_000);
        let (chain, key) = pem.split_at(pem.find("-----BEGIN PRIVATE").unwrap());
        let mut own = own;
        assert!(own.ensure(["a.example"].into_iter()).is_empty());
        own.take("a.example", chain, key).unwrap();
        assert!(own.get("a.example").unwrap().is_trusted && own.due(["a.example"].into_iter()).is_empty());
    }

    #[test]
    fn hosts_that_fail_come_after_those_that_wait() {
        let dir = tempfile::tempdir().unwrap();
        let mut own = certificates(dir.path());
        let hosts = ["a.example", "b.example", "c.example", "d.example"];
        assert!(own.ensure(hosts.into_iter()).is_empty());
        for (host, failures, since_ms) in
            [("a.example", 3, 1), ("b.example", 0, 3), ("c.example", 1, 2), ("d.example", 0, 2)]
        {
            let known = own.index.get_mut(host).unwrap();
            (known.failures, known.since_ms) = (failures, since_ms);
        }
        assert_eq!(own.due(hosts.into_iter()), ["d.example", "b.example", "c.example", "a.example"]);
    }

    #[test]
    fn the_key_of_a_host_that_is_gone_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let mut own = certificates(dir.path());
        assert!(own.ensure(["a.example", "b.example"].into_iter()).is_empty());
        own.keep(|host| host == "b.example").unwrap();
        assert!(own.get("a.example").is_none() && !own.files.certificate("a.example").exists());
        assert!(own.files.certificate("b.example").exists());
    }

    #[test]
    fn a_host_without_a_certificate_keeps_no_other_from_one() {
        let dir = tempfile::tempdir().unwrap();
        let mut own = certificates(dir.path());
        let labels = ["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(61)];
        let longest = labels.join(".");
        assert_eq!(longest.len(), 253);
        fs::create_dir(own.files.certificate("a.example").with_extension("new")).unwrap();
        let failing = own.ensure(["a.example", longest.as_str(), "z.example"].into_iter());
        assert!(failing.keys().eq(["a.example"]), "{failing:?}");
        assert!(failing["a.example"].starts_with("can't make its certificate: can't write "), "{failing:?}");
        assert!(own.files.certificate(&longest).exists() && own.files.certificate("z.example").exists());
    }
}
