// SPDX-License-Identifier: Apache-2.0
//! `threebot reference`: makes `docs/CLI.md`.

use crate::{cli::Cli, output::Answer};
use clap::{Args, Command, CommandFactory};
use serde_json::json;

/// Where the fields of `--json` are written down.
const README: &str = include_str!("../../README.md");
const COLUMNS: usize = 80;

/// Print docs/CLI.md: all commands with their options and the fields of their answers
#[derive(Args)]
pub struct Reference {}

impl Reference {
    pub fn run(self) -> Answer {
        let page = page();
        let value = json!({ "page": page });
        Answer::new(page, value)
    }
}

fn page() -> String {
    let mut root = Cli::command().disable_help_subcommand(true);
    root.build();
    let mut sections = vec![
        "# Command line".into(),
        "Made by `threebot reference`; don't edit it.".into(),
        help(&root, false),
        json_section(),
    ];
    let mut open: Vec<&Command> = visible(&root);
    open.reverse();
    while let Some(command) = open.pop() {
        let path = path_of(command);
        sections.push(format!("## threebot {path}"));
        sections.push(help(command, true));
        sections.extend(json_fields(&path).map(|fields| format!("`--json`: {fields}")));
        open.extend(visible(command).into_iter().rev());
    }
    sections.join("\n\n")
}

fn visible(command: &Command) -> Vec<&Command> {
    command.get_subcommands().filter(|command| !command.is_hide_set()).collect()
}

/// `node find`
fn path_of(command: &Command) -> String {
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name());
    name.trim_start_matches("threebot").trim().into()
}

/// A command's help as a terminal shows it, without the options of every command.
fn help(command: &Command, hide_global: bool) -> String {
    let mut shown = command.clone().term_width(COLUMNS).mut_args(|arg| {
        let is_hidden = hide_global && arg.is_global_set() || arg.is_hide_set();
        arg.hide(is_hidden).hide_env_values(true)
    });
    let help = shown.render_long_help().to_string();
    let lines: Vec<&str> = help.trim().lines().map(str::trim_end).collect();
    format!("```text\n{}\n```", lines.join("\n"))
}

/// What the README says of JSON, without the table of the commands.
fn json_section() -> String {
    let after = README.split_once("## JSON").map_or("", |(_, after)| after);
    let text = after.split_once("| command | fields |").map_or("", |(text, _)| text);
    linked(&format!("## JSON{}", text.trim_end()))
}

/// What the README's table says of a command, or else of its group.
fn json_fields(path: &str) -> Option<String> {
    let table = README.split_once("| command | fields |")?.1.split_once("\n\n")?.0;
    let fields_of = |name: &str| {
        table.lines().find_map(|line| {
            let (names, fields) = line.trim_matches('|').split_once(" | ")?;
            names.split('`').skip(1).step_by(2).any(|named| named == name).then(|| linked(fields.trim()))
        })
    };
    fields_of(path).or_else(|| fields_of(path.split_once(' ')?.0))
}

/// With links from `docs/`.
fn linked(text: &str) -> String {
    text.replace("(../docs/", "(")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_is_that_of_the_program() {
        let published = include_str!("../../../docs/CLI.md");
        assert!(published.trim_end() == page(), "run `threebot reference > docs/CLI.md`");
    }

    #[test]
    fn each_command_has_the_fields_of_its_answer() {
        let mut root = Cli::command().disable_help_subcommand(true);
        root.build();
        let mut open = visible(&root);
        while let Some(command) = open.pop() {
            let path = path_of(command);
            if command.has_subcommands() {
                open.extend(visible(command));
            } else {
                assert!(json_fields(&path).is_some(), "threebot/README.md lacks the fields of {path}");
            }
        }
    }

    #[test]
    fn help_fits_a_terminal() {
        let mut root = Cli::command().disable_help_subcommand(true);
        root.build();
        let mut open = vec![&root];
        while let Some(command) = open.pop() {
            for line in help(command, false).lines().filter(|line| line.starts_with("  ")) {
                assert!(line.chars().count() <= COLUMNS, "{}: {line}", command.get_name());
            }
            open.extend(command.get_subcommands());
        }
    }
}
