// SPDX-License-Identifier: Apache-2.0
//! `threebot cp`

use crate::{
    cli::Global,
    output::Answer,
    peer::{Connected, Target},
};
use anyhow::{Context, Error, Result, bail};
use clap::Args;
use serde_json::json;
use std::{
    fs,
    io::{self, PipeReader, PipeWriter, pipe},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    str::FromStr,
};
use tar::{Archive, Builder};
use tfgrid_client::peer::{
    PeerError,
    frame::{Frame, MAX_FRAME_BYTES},
    protocol::{Ask, Message, Place},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::unix::pipe as async_pipe,
    task::spawn_blocking,
};

/// Copy files or folders from a machine, or to it
#[derive(Args)]
#[command(after_help = "\
A place of a machine is WORKLOAD:/PATH. A place that ends in / is a folder, and must be there; any other is the new name
of what is copied.

Examples:
  threebot cp 7 web:/var/log/app.log .       a file to this folder
  threebot cp 7 web:/srv/site ./backup       a folder, as `backup`
  threebot cp 7 ./index.html web:/srv/       a file into a folder of `web`")]
pub struct Cp {
    #[command(flatten)]
    target: Target,
    /// What is copied
    from: End,
    /// Where it goes
    to: End,
}

/// One end of a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
enum End {
    Here(PathBuf),
    There(Place),
}

impl FromStr for End {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(":/") {
            // A path of this computer may have a colon, after a slash.
            Some((workload, path)) if !workload.contains('/') && !workload.is_empty() => {
                Ok(Self::There(Place { workload: workload.into(), path: format!("/{path}") }))
            }
            _ if text.is_empty() => Err("name a path"),
            _ => Ok(Self::Here(text.into())),
        }
    }
}

impl Cp {
    pub async fn run(self, global: &Global) -> Result<Answer> {
        let copy = match (self.from, self.to) {
            (End::There(from), End::Here(to)) => Copy::Out { from, to },
            (End::Here(from), End::There(to)) => Copy::In { from, to },
            _ => bail!("one place must be of a machine, such as web:/srv, and the other of this computer"),
        };
        let connected = self.target.connect(global).await?;
        let copied = match copy {
            Copy::Out { from, to } => copy_out(&connected, from, to).await,
            Copy::In { from, to } => copy_in(&connected, from, to).await,
        };
        let contract = connected.contract;
        connected.done(Ok(())).await?;
        copied?;
        Ok(Answer::new("copied", json!({ "contract": contract })))
    }
}

enum Copy {
    Out { from: Place, to: PathBuf },
    In { from: PathBuf, to: Place },
}

/// The name that a path ends with, `None` if it is a folder for what is copied.
fn new_name(path: &str) -> Option<&str> {
    let name = path.rsplit('/').next().unwrap_or_default();
    (!matches!(name, "" | "." | "..")).then_some(name)
}

async fn copy_out(connected: &Connected, from: Place, to: PathBuf) -> Result<()> {
    let mut call = connected.peer.ask(connected.contract, Ask::CopyOut(from)).await?;
    call.ready().await?;
    let (reader, writer) = pipe()?;
    let unpacking = spawn_blocking(move || unpack(reader, &to));
    let mut archive = async_pipe::Sender::from_owned_fd(OwnedFd::from(writer))?;
    let received: Result<(), Error> = async {
        loop {
            match call.next().await? {
                Some(Frame::Data(bytes)) => archive.write_all(&bytes).await?,
                Some(Frame::Message(Message::Done {})) => return Ok(()),
                _ => return Err(PeerError::Unexpected.into()),
            }
        }
    }
    .await;
    drop(archive);
    // A failure to unpack is the cause of a pipe that breaks.
    unpacking.await??;
    received
}

/// Unpacks an archive of one file or folder: into `to` if that is a folder, else under this name.
fn unpack(archive: PipeReader, to: &Path) -> Result<()> {
    let failed = || format!("can't write to {}", to.display());
    let mut archive = Archive::new(archive);
    if to.is_dir() {
        return archive.unpack(to).with_context(failed);
    }
    let folder = to.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
    // Beside it, so that the rest is a rename. Nothing of the archive gets out of there.
    let unpacked = tempfile::tempdir_in(folder).with_context(failed)?;
    archive.unpack(unpacked.path()).with_context(failed)?;
    let copied = fs::read_dir(unpacked.path())?.next().context("the node sent an empty archive")??;
    fs::rename(copied.path(), to).with_context(failed)
}

async fn copy_in(connected: &Connected, from: PathBuf, to: Place) -> Result<()> {
    let name = match (new_name(&to.path), from.file_name()) {
        (Some(name), _) => PathBuf::from(name),
        (None, Some(name)) => PathBuf::from(name),
        (None, None) => bail!("{} has no name that it could get there: give one", from.display()),
    };
    let folder = to.path.rsplit_once('/').map_or("/", |(folder, _)| folder);
    let path = if new_name(&to.path).is_some() { format!("{folder}/") } else { to.path.clone() };
    from.symlink_metadata().with_context(|| format!("can't read {}", from.display()))?;
    let ask = Ask::CopyIn(Place { workload: to.workload, path });
    let mut call = connected.peer.ask(connected.contract, ask).await?;
    call.ready().await?;
    let (reader, writer) = pipe()?;
    let packing = spawn_blocking(move || pack(writer, &from, &name));
    let mut archive = async_pipe::Receiver::from_owned_fd(OwnedFd::from(reader))?;
    let (mut input, mut output) = call.split();
    let mut bytes = vec![0; MAX_FRAME_BYTES];
    let sent: Result<(), PeerError> = async {
        while let Ok(count @ 1..) = archive.read(&mut bytes).await {
            input.data(&bytes[..count]).await?;
        }
        Ok(())
    }
    .await;
    drop(archive);
    if let Err(error) = packing.await? {
        // Dropped unfinished, it is refused as a whole.
        drop(input);
        return Err(error);
    }
    // The node's reason comes first: it says why it takes no more.
    if sent.is_ok() {
        input.finish();
    }
    match output.next().await? {
        Some(Frame::Message(Message::Done {})) => Ok(sent?),
        _ => Err(PeerError::Unexpected.into()),
    }
}

/// Packs a file or folder under this name.
fn pack(archive: PipeWriter, from: &Path, name: &Path) -> Result<()> {
    let mut archive = Builder::new(archive);
    archive.follow_symlinks(false);
    let packed = if from.is_dir() {
        archive.append_dir_all(name, from)
    } else {
        archive.append_path_with_name(from, name)
    };
    match packed.and_then(|()| archive.into_inner()) {
        // The node takes no more, and says why.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).with_context(|| format!("can't read {}", from.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_of_a_machine_has_its_name_before_a_path() {
        let there =
            |workload: &str, path: &str| End::There(Place { workload: workload.into(), path: path.into() });
        assert_eq!("web:/srv/".parse(), Ok(there("web", "/srv/")));
        assert_eq!("./a:/b".parse(), Ok(End::Here("./a:/b".into())));
        assert_eq!("web".parse(), Ok(End::Here("web".into())));
        assert!("".parse::<End>().is_err());
    }

    #[test]
    fn what_is_packed_is_unpacked_under_its_new_name() {
        let folder = tempfile::tempdir().unwrap();
        let site = folder.path().join("site");
        fs::create_dir_all(site.join("deep")).unwrap();
        fs::write(site.join("deep/page"), "hello").unwrap();
        let copy = |name: &str, to: PathBuf| {
            let (reader, writer) = pipe().unwrap();
            let (site, name) = (site.clone(), PathBuf::from(name));
            let packing = std::thread::spawn(move || pack(writer, &site, &name).unwrap());
            unpack(reader, &to).unwrap();
            packing.join().unwrap();
        };
        copy("site", folder.path().join("backup"));
        assert_eq!(fs::read_to_string(folder.path().join("backup/deep/page")).unwrap(), "hello");
        copy("other", folder.path().to_owned());
        assert_eq!(fs::read_to_string(folder.path().join("other/deep/page")).unwrap(), "hello");
    }
}
