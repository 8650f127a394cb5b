// SPDX-License-Identifier: Apache-2.0
//! Runs tools of the system with a time limit. A tool is killed when its caller is cancelled, and an error
//! contains what it wrote to standard error.

use anyhow::{Context, Result, bail, ensure};
use std::{
    io,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tokio::{io::AsyncWriteExt, process::Command, time::timeout};

const TIMEOUT: Duration = Duration::from_secs(120);
/// Includes the folders of the administrator's tools, which the agent's own `PATH` may lack.
pub(super) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A program of the system.
pub struct Tool {
    /// Name of the program.
    pub program: &'static str,
    /// Name of its Debian package.
    pub package: &'static str,
}

impl Tool {
    /// Whether the program is installed.
    pub fn is_installed(&self) -> bool {
        found(self.program).is_some()
    }
}

/// The file of a program.
fn found(program: &str) -> Option<PathBuf> {
    PATH.split(':').map(|folder| Path::new(folder).join(program)).find(|path| path.is_file())
}

/// Runs the tool and returns its standard output.
///
/// # Errors
/// If it is missing, takes too long or fails.
pub async fn run(tool: &Tool, args: &[&str]) -> Result<String> {
    run_with_input(tool, args, "").await
}

/// As [`run`], with `input` as the tool's standard input.
///
/// # Errors
/// As [`run`].
pub async fn run_with_input(tool: &Tool, args: &[&str], input: &str) -> Result<String> {
    match timeout(TIMEOUT, run_to_its_end(tool, args, input)).await {
        Ok(ran) => ran,
        Err(_) => bail!("`{} {}` took more than {TIMEOUT:?}", tool.program, args.join(" ")),
    }
}

/// As [`run_with_input`], for however long it takes.
///
/// # Errors
/// If it is missing or fails.
pub async fn run_to_its_end(tool: &Tool, args: &[&str], input: &str) -> Result<String> {
    let command = format!("`{} {}`", tool.program, args.join(" "));
    let output = match output(tool.program, args, input).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            bail!("{} is missing: install the package {}", tool.program, tool.package);
        }
        other => other.with_context(|| format!("can't run {command}"))?,
    };
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command} failed ({}): {}", output.status, complaint.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

async fn output(program: &str, args: &[&str], input: &str) -> io::Result<std::process::Output> {
    // With the path of a file, the process is made without a copy of this one's page tables.
    let mut child = Command::new(found(program).unwrap_or_else(|| program.into()))
        .args(args)
        .env("PATH", PATH)
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let stdin = child.stdin.take();
    let write = async move {
        let Some(mut stdin) = stdin else { return Ok(()) };
        match stdin.write_all(input.as_bytes()).await {
            // A tool that exits early doesn't read its input; its exit status is what counts.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => written,
        }
    };
    // At once: a tool may wait until what it has written is read.
    let ((), output) = tokio::try_join!(write, child.wait_with_output())?;
    Ok(output)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SH: Tool = Tool { program: "sh", package: "dash" };

    #[tokio::test]
    async fn a_tool_reads_its_input_and_its_output_is_returned() {
        assert_eq!(run_with_input(&SH, &["-c", "cat"], "hello").await.unwrap(), "hello");
    }

    #[tokio::test]
    async fn a_tool_with_much_of_both_does_not_hang() {
        let much = "x".repeat(1 << 20);
        assert!(run_with_input(&SH, &["-c", "cat"], &much).await.unwrap() == much);
    }

    #[tokio::test]
    async fn a_failing_tool_is_quoted() {
        let error = run(&SH, &["-c", "echo no >&2; exit 3"]).await.unwrap_err().to_string();
        assert!(error.contains("exit status: 3") && error.ends_with(": no"), "{error}");
    }

    #[tokio::test]
    async fn a_missing_tool_is_named_with_its_package() {
        let tool = Tool { program: "no-such-tool", package: "some-package" };
        assert!(SH.is_installed() && !tool.is_installed());
        let error = run(&tool, &[]).await.unwrap_err().to_string();
        assert_eq!(error, "no-such-tool is missing: install the package some-package");
    }
}
