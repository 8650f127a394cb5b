// SPDX-License-Identifier: Apache-2.0

//! Code in documentation is quoted from code that runs: a fenced block below `<!-- from: path#region -->`
//! equals the lines between `// region: name` and `// endregion` in that file.

use anyhow::{Context, Result, bail, ensure};
use std::{fs, path::Path};
use tfgrid_tests::repository;

const PAGES: [&str; 3] = ["README.md", "client/README.md", "docs/TEAMS.md"];

/// A fenced block with the place that it quotes.
#[derive(Debug, PartialEq)]
struct Quote<'a> {
    path: &'a str,
    region: &'a str,
    code: String,
}

fn quotes(page: &str) -> Result<Vec<Quote<'_>>> {
    let mut lines = page.lines();
    let mut quotes = Vec::new();
    while let Some(line) = lines.next() {
        let Some(source) = line.strip_prefix("<!-- from: ") else { continue };
        let source = source.strip_suffix(" -->").with_context(|| format!("{line:?} has no end"))?;
        let (path, region) = source.split_once('#').with_context(|| format!("{source:?} names no region"))?;
        ensure!(
            lines.next().is_some_and(|line| line.starts_with("```")),
            "no block of code follows on {line:?}"
        );
        let code = lines.by_ref().take_while(|line| *line != "```").collect::<Vec<_>>().join("\n");
        quotes.push(Quote { path, region, code });
    }
    Ok(quotes)
}

fn region(source: &str, name: &str) -> Result<String> {
    let begin = format!("// region: {name}");
    let mut lines = source.lines().skip_while(|line| line.trim() != begin).skip(1);
    let mut found = Vec::new();
    loop {
        match lines.next() {
            Some(line) if line.trim() == "// endregion" => break,
            Some(line) => found.push(line),
            None => bail!("there is no {begin:?} with an end"),
        }
    }
    Ok(unindented(&found))
}

fn unindented(lines: &[&str]) -> String {
    let indent = |line: &&&str| line.len() - line.trim_start().len();
    let common = lines.iter().filter(|line| !line.trim().is_empty()).map(|l| indent(&l)).min();
    let cut = |line: &&str| line.get(common.unwrap_or(0)..).unwrap_or_default().to_owned();
    lines.iter().map(cut).collect::<Vec<_>>().join("\n").trim_matches('\n').to_owned()
}

#[test]
fn quoted_code_is_the_code_that_runs() -> Result<()> {
    for page in PAGES {
        let text = fs::read_to_string(repository().join(page)).with_context(|| page.to_owned())?;
        for Quote { path, region: name, code } in quotes(&text)? {
            let source = fs::read_to_string(repository().join(Path::new(path)))
                .with_context(|| format!("{page} quotes {path}"))?;
            let real = region(&source, name).with_context(|| format!("{page} quotes {path}#{name}"))?;
            ensure!(code == real, "{page} quotes {path}#{name} wrongly; it is:\n{real}");
        }
    }
    Ok(())
}

#[test]
fn a_quote_is_a_block_with_a_source() -> Result<()> {
    let page = "text\n<!-- from: a/b.mjs#all -->\n```js\none\ntwo\n```\nmore\n";
    let quote = Quote { path: "a/b.mjs", region: "all", code: "one\ntwo".into() };
    assert_eq!(quotes(page)?, [quote]);
    assert!(quotes("<!-- from: a#b -->\ntext").is_err());
    assert!(quotes("<!-- from: a -->\n```\n```").is_err());
    Ok(())
}

#[test]
fn a_region_loses_its_common_indent() -> Result<()> {
    let source = "x\n  // region: a\n  one\n\n    two\n  // endregion\ny";
    assert_eq!(region(source, "a")?, "one\n\n  two");
    assert!(region(source, "b").is_err());
    assert!(region("// region: a\nopen", "a").is_err());
    Ok(())
}
