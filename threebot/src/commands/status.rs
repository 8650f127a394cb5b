// SPDX-License-Identifier: Apache-2.0
//! `threebot status`

use crate::{cli::Global, output::Answer, peer::Target};
use anyhow::Result;
use clap::Args;
use serde_json::json;
use tfgrid_client::peer::protocol::{MachineStatus, Status as OfContract};

/// Ask a contract's node how its workloads fare
#[derive(Args)]
pub struct Status {
    #[command(flatten)]
    target: Target,
}

impl Status {
    pub async fn run(self, global: &Global) -> Result<Answer> {
        let connected = self.target.connect(global).await?;
        let status = connected.status.clone();
        connected.done(Ok(())).await?;
        Ok(Answer::new(text(&status), json!(status)))
    }
}

/// What the node says of a contract, for people.
pub fn text(status: &OfContract) -> String {
    let held = status.machines.values().filter(|machine| machine.is_held()).count();
    let runs = match (held, status.ready) {
        (1.., _) if held == status.machines.len() => "is stopped by its owner",
        (1.., true) => "runs, but for what its owner has stopped",
        (_, true) => "runs",
        (_, false) => "doesn't run yet",
    };
    let mut lines = vec![format!("version {} {runs}", status.version)];
    lines.extend(status.trouble.as_ref().map(|trouble| format!("last try: {trouble}")));
    lines.extend(status.machines.iter().map(|(name, machine)| machine_line(name, machine)));
    lines.join("\n")
}

fn machine_line(name: &str, machine: &MachineStatus) -> String {
    let MachineStatus { state, ip, health, ended, .. } = machine;
    let ip = ip.map(|ip| ip.to_string());
    let words = [Some(state), ip.as_ref(), health.as_ref(), ended.as_ref()];
    format!("{name:<16} {}", words.into_iter().flatten().cloned().collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_names_each_machine_and_what_failed() {
        let machine = |state: &str, ended: Option<&str>| MachineStatus {
            state: state.into(),
            ended: ended.map(Into::into),
            ..Default::default()
        };
        let machines = [("db", machine("stopped", Some("out of memory"))), ("web", machine("running", None))];
        let status = OfContract {
            version: 2,
            ready: false,
            trouble: Some("out of memory".into()),
            machines: machines.map(|(name, machine)| (name.into(), machine)).into(),
        };
        let expected = "version 2 doesn't run yet\nlast try: out of memory\n\
                        db               stopped, out of memory\nweb              running";
        assert_eq!(text(&status), expected);
    }

    #[test]
    fn what_its_owner_stopped_is_not_said_to_run() {
        let told = |states: [&str; 2]| {
            let machine = |state: &str| MachineStatus { state: state.into(), ..Default::default() };
            let machines = [("a".into(), machine(states[0])), ("b".into(), machine(states[1]))].into();
            let text = text(&OfContract { version: 1, ready: true, trouble: None, machines });
            text.lines().next().unwrap().to_owned()
        };
        assert_eq!(told(["running", "running"]), "version 1 runs");
        assert_eq!(told(["running", "stopping"]), "version 1 runs, but for what its owner has stopped");
        assert_eq!(told(["stopping", "stopped by its owner"]), "version 1 is stopped by its owner");
    }
}
