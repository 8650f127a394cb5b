// SPDX-License-Identifier: Apache-2.0
//! `threebot cp`

use crate::{
    cli::Global,
    output::{Answer, Usage},
    peer::{Connected, Target},
    progress::{Progress, is_watched},
};
use anyhow::{Context, Error, Result, bail};
use clap::Args;
use serde_json::json;
use std::{
    fs,
    io::{self, PipeWriter, pipe},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    str::FromStr,
};
use tempfile::tempdir_in;
use tfgrid_client::{
    archive::{pack, unpack},
    peer::{
        Call, PeerError,
        frame::{Frame, MAX_FRAME_BYTES},
        protocol::{Ask, Message},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::unix::pipe as async_pipe,
    task::spawn_blocking,
};

/// Copy files or folders from a machine, or to it
#[derive(Args)]
#[command(after_help = "\
A place of a machine is WORKLOAD:/PATH. The machine must run, and its image needs
no program for it. A place that ends in / is a folder, and must be there; any
other is the new name of what is copied, and replaces a file of that name. What
is copied belongs to you here, and there to the user of the machine's first
program. Symbolic links are copied within folders, as links; one that is named
itself isn't followed.

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
            Some((workload, path)) if is_workload(workload) => {
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
            (from, to) => bail!(not_a_copy(&from, &to)),
        };
        let connected = self.target.connect(global).await?;
        let mut progress = Progress::new(is_watched(global.json));
        let copied = match copy {
            Copy::Out { from, to } => copy_out(&connected, from, to, &mut progress).await,
            Copy::In { from, to } => copy_in(&connected, from, to, &mut progress).await,
        };
        let contract = connected.contract;
        connected.done(Ok(())).await?;
        copied?;
        Ok(Answer::new("copied", json!({ "contract": contract })))
    }
}

/// What is wrong with two places that aren't one of a machine and one of this computer.
fn not_a_copy(from: &End, to: &End) -> Usage {
    let relative = [from, to].into_iter().find_map(|end| match end {
        End::Here(path) => path.to_str()?.split_once(':').filter(|(workload, _)| is_workload(workload)),
        End::There(_) => None,
    });
    match relative {
        Some((workload, path)) => Usage::new(format!(
            "the path in a machine must be absolute: {workload}:/{path} instead of {workload}:{path}"
        )),
        None => {
            Usage::new("one place must be of a machine, such as web:/srv, and the other of this computer")
        }
    }
}

/// Whether what is before a colon names a workload. A path of this computer may have a colon, after a slash.
fn is_workload(name: &str) -> bool {
    !name.is_empty() && !name.contains('/')
}

enum Copy {
    Out { from: Place, to: PathBuf },
    In { from: PathBuf, to: Place },
}

/// Asks for a copy from or to a machine.
async fn copy(connected: &Connected, ask: Ask) -> Result<Call<'_>, PeerError> {
    let mut call = connected.peer.ask(connected.contract, ask).await?;
    call.ready().await?;
    Ok(call)
}

async fn copy_out(connected: &Connected, from: Place, to: PathBuf, progress: &mut Progress) -> Result<()> {
    let (_, Some(name)) = from.parts() else {
        let text = format!("{} has no name that it could get here: leave out the / at its end", from.path);
        bail!(Usage::new(text));
    };
    let target = target_here(to, name)?;
    let ask = Ask::CopyOut { workload: from.workload.clone(), path: from.path.clone() };
    let mut call = copy(connected, ask).await?;
    let (reader, writer) = pipe()?;
    // Beside the target, so that the rest is a rename. Nothing of the archive gets out of there.
    let beside = target.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
    let unpacked = tempdir_in(beside).with_context(|| format!("can't write to {}", beside.display()))?;
    let into = unpacked.path().to_owned();
    let unpacking = spawn_blocking(move || unpack(reader, &into));
    let mut archive = async_pipe::Sender::from_owned_fd(OwnedFd::from(writer))?;
    let received = receive(&mut call, &mut archive, progress).await;
    drop(archive);
    // It ends before its folder goes.
    let unpacking = unpacking.await?;
    received?;
    unpacking.with_context(|| format!("can't unpack to {}", beside.display()))?;
    place(&unpacked.path().join(name), &target, &from)
}

/// Receives an archive to its end.
async fn receive(
    call: &mut Call<'_>,
    archive: &mut async_pipe::Sender,
    progress: &mut Progress,
) -> Result<(), PeerError> {
    let mut moved = 0;
    loop {
        match call.next().await? {
            Some(Frame::Data(bytes)) => {
                // What fails here is the unpacking, which says why.
                if archive.write_all(&bytes).await.is_err() {
                    return Ok(());
                }
                moved += bytes.len() as u64;
                progress.tell("", moved);
            }
            Some(Frame::Message(Message::Done {})) => return Ok(()),
            _ => return Err(PeerError::Unexpected),
        }
    }
}

/// Fails for a symbolic link: an earlier copy may have brought it, and it may lead anywhere.
fn ensure_no_link(path: &Path) -> Result<()> {
    // A slash at the end would follow it.
    if path.components().as_path().is_symlink() {
        bail!("{} is a symbolic link, which isn't followed: name what it points to", path.display());
    }
    Ok(())
}

/// The new path of what has this name in a machine.
fn target_here(to: PathBuf, name: &str) -> Result<PathBuf> {
    ensure_no_link(&to)?;
    if to.is_dir() {
        let target = to.join(name);
        ensure_no_link(&target)?;
        return Ok(target);
    }
    if to.as_os_str().as_encoded_bytes().ends_with(b"/") {
        let wrong = if to.components().as_path().exists() { "isn't a folder" } else { "doesn't exist" };
        bail!("{} {wrong}", to.display());
    }
    Ok(to)
}

/// Gives what was unpacked its new path, but for a symbolic link.
fn place(copied: &Path, target: &Path, from: &Place) -> Result<()> {
    let Place { workload, path } = from;
    let kind = copied.symlink_metadata().with_context(|| format!("{workload} sent no {path}"))?.file_type();
    if kind.is_symlink() {
        bail!("{workload}:{path} is a symbolic link, which isn't followed: name what it points to");
    }
    fs::rename(copied, target).with_context(|| format!("can't write to {}", target.display()))
}

/// The folder in a machine for what is copied from here, and its name there.
fn target_there<'a>(from: &Path, to: &'a Place) -> Result<(&'a str, PathBuf)> {
    ensure_no_link(from)?;
    from.symlink_metadata().with_context(|| format!("can't read {}", from.display()))?;
    match (to.parts(), from.file_name()) {
        ((folder, Some(name)), _) => Ok((folder, name.into())),
        ((folder, None), Some(name)) => Ok((folder, name.into())),
        ((_, None), None) => {
            bail!(Usage::new(format!("{} has no name that it could get there: give one", from.display())))
        }
    }
}

async fn copy_in(connected: &Connected, from: PathBuf, to: Place, progress: &mut Progress) -> Result<()> {
    let (folder, name) = target_there(&from, &to)?;
    let call =
        copy(connected, Ask::CopyIn { workload: to.workload.clone(), path: folder.to_owned() }).await?;
    let (reader, writer) = pipe()?;
    let packing = spawn_blocking(move || pack_here(writer, &from, &name));
    let mut archive = async_pipe::Receiver::from_owned_fd(OwnedFd::from(reader))?;
    let (mut input, mut output) = call.split();
    let sending = async {
        let (mut bytes, mut moved) = (vec![0; MAX_FRAME_BYTES], 0);
        while let Ok(count @ 1..) = archive.read(&mut bytes).await {
            // A node that takes no more says why.
            if input.data(&bytes[..count]).await.is_err() {
                break;
            }
            moved += count as u64;
            progress.tell("", moved);
        }
        drop(archive);
        // An archive that isn't whole isn't ended either.
        packing.await??;
        input.finish();
        Ok::<_, Error>(())
    };
    let unpacking = async {
        match output.next().await? {
            Some(Frame::Message(Message::Done {})) => Ok(()),
            _ => Err(Error::from(PeerError::Unexpected)),
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

/// Packs a file or folder under this name, as far as the node takes it.
fn pack_here(archive: PipeWriter, from: &Path, name: &Path) -> io::Result<()> {
    match pack(archive, from, name) {
        // The node takes no more, and says why.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        packed => packed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn place_in_web(path: &str) -> Place {
        Place { workload: "web".into(), path: path.into() }
    }

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
            let place = place_in_web(path);
            let (folder, name) = place.parts();
            (folder.to_owned(), name.map(ToOwned::to_owned))
        };
        assert_eq!(parts("/srv/site"), ("/srv".into(), Some("site".into())));
        assert_eq!(parts("/site"), ("/".into(), Some("site".into())));
        assert_eq!(parts("/srv/"), ("/srv/".into(), None));
        assert_eq!(parts("/.."), ("/..".into(), None));
    }

    #[test]
    fn a_path_in_a_machine_must_be_absolute() {
        let wrong =
            |from: &str, to: &str| not_a_copy(&from.parse().unwrap(), &to.parse().unwrap()).to_string();
        let expected = "the path in a machine must be absolute: web:/data instead of web:data";
        assert_eq!((wrong("f", "web:data"), wrong("web:data", "f")), (expected.into(), expected.into()));
        for (from, to) in [("a", "b"), ("./a:b", "c"), ("web:/a", "web:/b")] {
            assert!(wrong(from, to).starts_with("one place must be of a machine"), "{from} {to}");
        }
    }

    #[test]
    fn a_folder_that_is_named_must_be_here() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("file"), "").unwrap();
        assert_eq!(target_here(folder.path().into(), "site").unwrap(), path("site"));
        assert_eq!(target_here(path("new"), "site").unwrap(), path("new"));
        for (name, why) in [("nodir/", "nodir/ doesn't exist"), ("file/", "file/ isn't a folder")] {
            let error = target_here(path(name), "site").unwrap_err().to_string();
            assert!(error.ends_with(why), "{error}");
        }
    }

    #[test]
    fn a_link_of_this_computer_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("home")).unwrap();
        symlink(path("home"), path("site")).unwrap();
        symlink(path("nothing"), path("broken")).unwrap();
        for name in ["site", "site/", "broken"] {
            let to_here = target_here(path(name), "f").unwrap_err();
            let place = place_in_web("/data/");
            let from_here = target_there(&path(name), &place).unwrap_err();
            for error in [to_here.to_string(), from_here.to_string()] {
                assert!(error.contains("is a symbolic link"), "{error}");
            }
        }
        assert!(target_here(folder.path().into(), "site").is_err());
        assert!(target_there(&path("home/"), &place_in_web("/data/")).is_ok());
    }

    #[test]
    fn a_link_that_a_machine_sends_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        symlink("/", path("sent")).unwrap();
        let error = place(&path("sent"), &path("site"), &place_in_web("/srv/site")).unwrap_err().to_string();
        assert!(error.starts_with("web:/srv/site is a symbolic link"), "{error}");
        assert!(!path("site").is_symlink());
        fs::write(path("file"), "").unwrap();
        place(&path("file"), &path("site"), &place_in_web("/srv/site")).unwrap();
        assert!(path("site").is_file());
    }
}
