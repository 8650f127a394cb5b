// SPDX-License-Identifier: Apache-2.0
//! `threebot cp`

use crate::{
    cli::Global,
    output::Answer,
    peer::{Connected, Target},
};
use anyhow::{Context, Error, Result, anyhow, bail};
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
use tempfile::tempdir_in;
use tfgrid_client::{
    peer::{
        Call, PeerError,
        frame::{Frame, MAX_FRAME_BYTES},
        protocol::{Ask, Exec, Message},
    },
    primitives::text::printable,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::unix::pipe as async_pipe,
    task::spawn_blocking,
};

/// Exit code of a program that can't be run.
const CANNOT_RUN: i64 = 126;
/// Limit of what is told of `tar`'s errors.
const ERROR_BYTES: u32 = 500;

/// Copy files or folders from a machine, or to it
#[derive(Args)]
#[command(after_help = "\
A place of a machine is WORKLOAD:/PATH; the machine needs the program `tar`. A place that ends in / is a folder, and must be there; any other is the new name
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

/// A path in a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    workload: String,
    /// Absolute.
    path: String,
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

impl Place {
    /// Its folder, and its name there; `None` if it ends in `/`: it is a folder for what is copied.
    fn parts(&self) -> (&str, Option<&str>) {
        match self.path.rsplit_once('/') {
            Some((folder, name)) if !matches!(name, "" | "." | "..") => {
                (if folder.is_empty() { "/" } else { folder }, Some(name))
            }
            _ => (&self.path, None),
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

/// Starts `tar` in a machine.
async fn tar<'a>(connected: &'a Connected, workload: &str, args: &[&str]) -> Result<Call<'a>, PeerError> {
    let command = [&["tar"], args].concat().into_iter().map(Into::into).collect();
    let exec = Exec { workload: workload.into(), command, terminal: None };
    let mut call = connected.peer.ask(connected.contract, Ask::Exec(exec)).await?;
    call.ready().await?;
    Ok(call)
}

/// The failure of a `tar` that wrote this.
fn tar_failed(code: i64, errors: &[u8]) -> Error {
    if code == CANNOT_RUN {
        return anyhow!("the machine has no `tar`, with which files are copied");
    }
    let errors = printable(&String::from_utf8_lossy(errors), ERROR_BYTES);
    anyhow!("`tar` in the machine failed with code {code}: {errors}")
}

async fn copy_out(connected: &Connected, from: Place, to: PathBuf) -> Result<()> {
    let (folder, Some(name)) = from.parts() else {
        bail!("{} has no name that it could get here: leave out the / at its end", from.path);
    };
    let target = if to.is_dir() { to.join(name) } else { to };
    let mut call = tar(connected, &from.workload, &["-C", folder, "-cf", "-", "--", name]).await?;
    let (reader, writer) = pipe()?;
    // Beside the target, so that the rest is a rename. Nothing of the archive gets out of there.
    let beside = target.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
    let unpacked = tempdir_in(beside).with_context(|| format!("can't write to {}", beside.display()))?;
    let into = unpacked.path().to_owned();
    let unpacking = spawn_blocking(move || unpack(reader, &into));
    let mut archive = async_pipe::Sender::from_owned_fd(OwnedFd::from(writer))?;
    let mut errors = Vec::new();
    let code = loop {
        match call.next().await? {
            // What fails here is the unpacking, which says why.
            Some(Frame::Data(bytes)) => drop(archive.write_all(&bytes).await),
            Some(Frame::Errors(bytes)) => errors.extend(bytes),
            Some(Frame::Message(Message::Exit { code })) => break code,
            _ => return Err(PeerError::Unexpected.into()),
        }
    };
    drop(archive);
    let unpacking = unpacking.await?;
    if code != 0 {
        return Err(tar_failed(code, &errors));
    }
    unpacking.with_context(|| format!("can't write to {}", beside.display()))?;
    let copied = unpacked.path().join(name);
    fs::rename(copied, &target).with_context(|| format!("can't write to {}", target.display()))
}

/// Unpacks an archive into a folder, and reads it to its end.
fn unpack(archive: PipeReader, into: &Path) -> io::Result<()> {
    let mut archive = Archive::new(archive);
    archive.unpack(into)?;
    io::copy(&mut archive.into_inner(), &mut io::sink()).map(drop)
}

async fn copy_in(connected: &Connected, from: PathBuf, to: Place) -> Result<()> {
    let (folder, name) = match (to.parts(), from.file_name()) {
        ((folder, Some(name)), _) => (folder, PathBuf::from(name)),
        ((folder, None), Some(name)) => (folder, PathBuf::from(name)),
        ((_, None), None) => bail!("{} has no name that it could get there: give one", from.display()),
    };
    from.symlink_metadata().with_context(|| format!("can't read {}", from.display()))?;
    let call = tar(connected, &to.workload, &["-C", folder, "-xf", "-"]).await?;
    let (reader, writer) = pipe()?;
    let packing = spawn_blocking(move || pack(writer, &from, &name));
    let mut archive = async_pipe::Receiver::from_owned_fd(OwnedFd::from(reader))?;
    let (mut input, mut output) = call.split();
    let sending = async {
        let mut bytes = vec![0; MAX_FRAME_BYTES];
        while let Ok(count @ 1..) = archive.read(&mut bytes).await {
            // A `tar` that has ended takes no more, and says why.
            if input.data(&bytes[..count]).await.is_err() {
                break;
            }
        }
        drop(archive);
        // An archive that isn't whole isn't ended either.
        packing.await??;
        input.finish();
        Ok::<_, Error>(())
    };
    let unpacking = async {
        let mut errors = Vec::new();
        loop {
            match output.next().await? {
                Some(Frame::Data(_)) => {}
                Some(Frame::Errors(bytes)) => errors.extend(bytes),
                Some(Frame::Message(Message::Exit { code: 0 })) => return Ok(()),
                Some(Frame::Message(Message::Exit { code })) => return Err(tar_failed(code, &errors)),
                _ => return Err(Error::from(PeerError::Unexpected)),
            }
        }
    };
    tokio::pin!(unpacking);
    tokio::select! {
        unpacked = &mut unpacking => unpacked,
        sent = sending => {
            sent?;
            unpacking.await
        }
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
        // The machine's `tar` takes no more, and says why.
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
    fn a_place_that_ends_in_a_slash_is_a_folder() {
        let parts = |path: &str| {
            let place = Place { workload: "web".into(), path: path.into() };
            let (folder, name) = place.parts();
            (folder.to_owned(), name.map(ToOwned::to_owned))
        };
        assert_eq!(parts("/srv/site"), ("/srv".into(), Some("site".into())));
        assert_eq!(parts("/site"), ("/".into(), Some("site".into())));
        assert_eq!(parts("/srv/"), ("/srv/".into(), None));
        assert_eq!(parts("/.."), ("/..".into(), None));
    }

    #[test]
    fn what_is_packed_is_unpacked_under_its_new_name() {
        let folder = tempfile::tempdir().unwrap();
        let site = folder.path().join("site");
        fs::create_dir_all(site.join("deep")).unwrap();
        fs::write(site.join("deep/page"), "hello").unwrap();
        let (reader, writer) = pipe().unwrap();
        let packing = std::thread::spawn(move || pack(writer, &site, Path::new("other")).unwrap());
        unpack(reader, folder.path()).unwrap();
        packing.join().unwrap();
        assert_eq!(fs::read_to_string(folder.path().join("other/deep/page")).unwrap(), "hello");
    }
}
