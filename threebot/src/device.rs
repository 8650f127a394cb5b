// SPDX-License-Identifier: Apache-2.0
//! The key of this device, by which nodes know its user.

use crate::{durable, output::Usage, session::read_key_file};
use anyhow::{Context, Result, bail};
use clap::Args;
use std::{
    env, fs,
    path::{Path, PathBuf},
};
use tfgrid_client::peer::Device;

#[derive(Args)]
pub struct DeviceFile {
    /// File with the secret key of this device; ~/.config/tfgrid-ledger/device.key if it isn't given
    #[arg(long, env = "TFGRID_DEVICE", value_name = "FILE")]
    device: Option<PathBuf>,
}

impl DeviceFile {
    /// The key in the file.
    pub fn read(&self) -> Result<Device> {
        let file = self.path()?;
        if !file.exists() {
            bail!(Usage::new(format!(
                "this device has no key yet ({} isn't there): `threebot device add` makes one",
                file.display()
            )));
        }
        let text = read_key_file(&file)?;
        let seed = hex::decode(text.trim()).ok().and_then(|bytes| bytes.try_into().ok());
        let wrong = || Usage::new(format!("{} isn't a device's key: 64 hex digits", file.display()));
        let seed = seed.ok_or_else(wrong)?;
        Ok(Device::from_seed(&seed))
    }

    /// The key in the file; a new one if there is no file.
    pub fn read_or_create(&self) -> Result<Device> {
        let file = self.path()?;
        if file.exists() {
            return self.read();
        }
        let device = Device::generate();
        let write = || {
            fs::create_dir_all(file.parent().unwrap_or(Path::new("")))?;
            durable::write_new(&file, format!("{}\n", hex::encode(device.seed())).as_bytes())
        };
        write().with_context(|| format!("can't write the key of this device to {}", file.display()))?;
        Ok(device)
    }

    fn path(&self) -> Result<PathBuf> {
        if let Some(file) = &self.device {
            return Ok(file.clone());
        }
        let config = config_folder("keep this device's key: name a file for it with --device")?;
        Ok(config.join("tfgrid-ledger/device.key"))
    }
}

/// The folder of this user's settings; `what` can't be done without one.
pub fn config_folder(what: &str) -> Result<PathBuf> {
    let folder = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let config = folder("XDG_CONFIG_HOME").or_else(|| Some(folder("HOME")?.join(".config")));
    config.with_context(|| format!("there is no home folder to {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_key_is_made_once_and_read_by_its_user_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("new/device.key");
        let device = DeviceFile { device: Some(file.clone()) };
        let error = device.read().unwrap_err().to_string();
        assert!(error.contains("threebot device add"), "{error}");
        let made = device.read_or_create().unwrap().public();
        assert_eq!(device.read_or_create().unwrap().public(), made);
        assert_eq!(device.read().unwrap().public(), made);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(file.parent().unwrap()).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn a_damaged_key_is_refused_and_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("device.key");
        fs::write(&file, "not a key").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        let device = DeviceFile { device: Some(file.clone()) };
        let error = device.read_or_create().unwrap_err().to_string();
        assert!(error.contains("64 hex digits") && !error.contains("not a key"), "{error}");
        assert_eq!(fs::read_to_string(file).unwrap(), "not a key");
    }
}
