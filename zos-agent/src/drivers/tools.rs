// SPDX-License-Identifier: Apache-2.0
//! Runs the system's tools: with a time limit, killed when nobody waits any more, and with what
//! they complain about in the error.

use super::DriverError;
use std::{io, process::Stdio, time::Duration};
use tokio::{io::AsyncWriteExt, process::Command, time::timeout};

/// The longest that a tool may take.
const LIMIT: Duration = Duration::from_secs(120);
/// Tools of the system's administrator aren't on everybody's path.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A program, and the package that has it.
pub struct Tool {
    /// Its name.
    pub program: &'static str,
    /// Debian's name of its package.
    pub package: &'static str,
}

/// Runs the tool and returns what it wrote.
///
/// # Errors
/// Where it is missing, takes too long or fails.
pub async fn run(tool: &Tool, args: &[&str]) -> Result<String, DriverError> {
    run_with_input(tool, args, "").await
}

/// As [`run`], with something to read for the tool.
///
/// # Errors
/// As [`run`].
pub async fn run_with_input(tool: &Tool, args: &[&str], input: &str) -> Result<String, DriverError> {
    let command = || format!("`{} {}`", tool.program, args.join(" "));
    let output = match timeout(LIMIT, output(tool.program, args, input)).await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => {
            return Err(DriverError::transient(format!(
                "{} is missing: install the package {}",
                tool.program, tool.package
            )));
        }
        Ok(Err(error)) => return Err(DriverError::transient(format!("can't run {}: {error}", command()))),
        Err(_) => {
            let limit = LIMIT.as_secs();
            return Err(DriverError::transient(format!("{} took more than {limit} s", command())));
        }
    };
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        return Err(DriverError::transient(format!(
            "{} failed ({}): {}",
            command(),
            output.status,
            complaint.trim()
        )));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

async fn output(program: &str, args: &[&str], input: &str) -> io::Result<std::process::Output> {
    let mut child = Command::new(program)
        .args(args)
        .env("PATH", PATH)
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // A tool that doesn't read ends early; its status tells the rest.
        match stdin.write_all(input.as_bytes()).await {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error),
            _ => {}
        }
    }
    child.wait_with_output().await
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
    async fn a_failing_tool_is_quoted() {
        let error = run(&SH, &["-c", "echo no >&2; exit 3"]).await.unwrap_err().to_string();
        assert!(error.contains("exit status: 3") && error.ends_with(": no"), "{error}");
    }

    #[tokio::test]
    async fn a_missing_tool_is_named_with_its_package() {
        let tool = Tool { program: "no-such-tool", package: "some-package" };
        let error = run(&tool, &[]).await.unwrap_err().to_string();
        assert_eq!(error, "no-such-tool is missing: install the package some-package");
    }
}
