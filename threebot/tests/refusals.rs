// SPDX-License-Identifier: Apache-2.0
//! Refusals as scripts see them: exit code, stdout, stderr.

use serde_json::Value;
use std::{
    fs,
    net::TcpListener,
    os::unix::{fs::PermissionsExt, process::ExitStatusExt},
    path::Path,
    process::{Command, Output},
};

const VARIABLES: [&str; 7] = [
    "TFGRID_CHAIN",
    "TFGRID_KEY",
    "TFGRID_KEY_FILE",
    "TFGRID_TEAM",
    "NO_COLOR",
    "CLICOLOR_FORCE",
    "CLICOLOR",
];

fn command(line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_threebot"));
    for name in VARIABLES {
        command.env_remove(name);
    }
    // Not the keys of whoever runs the tests.
    command.env("XDG_CONFIG_HOME", "/nonexistent");
    command.args(line.split(' '));
    command
}

fn threebot(line: &str) -> Output {
    command(line).output().unwrap()
}

/// The exit code and the error on stderr, which is all that is printed.
fn error_of(line: &str) -> (Option<i32>, String) {
    let (exit, value) = refusal(&mut command(line));
    (exit, value["error"].as_str().unwrap().to_owned())
}

/// The exit code and the JSON on stderr, which is all that is printed.
fn refusal(command: &mut Command) -> (Option<i32>, Value) {
    let output = command.output().unwrap();
    let line = format!("{command:?}");
    assert!(output.stdout.is_empty(), "{line}: {output:?}");
    let printed = String::from_utf8(output.stderr).unwrap();
    assert_eq!(printed.lines().count(), 1, "{line}: {printed}");
    let value: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(value.as_object().unwrap().len(), 2, "{line}: {printed}");
    assert!(value["error"].is_string() && value["code"].is_string(), "{line}: {printed}");
    (output.status.code(), value)
}

/// The address of a chain that isn't there.
fn nowhere() -> String {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    format!("ws://127.0.0.1:{port}")
}

#[test]
fn scripts_get_wrong_usage_as_one_line_of_json() {
    for (line, why) in [
        ("calc cost --json", "not provided: --tft-price <USD>"),
        ("--json calc", "isn't complete"),
        ("calc cost --cru -1 --tft-price 1 --json", "below zero"),
        ("collect --json", "not provided"),
        ("collect 7 --farm 1 --json", "cannot be used with"),
        ("cancel --json", "not provided"),
        ("deposit 0 --json", "an amount above 0 is needed"),
        ("withdraw 0 --json", "an amount above 0 is needed"),
        ("plan --json", "not provided: --file <FILE>"),
        ("wait --json", "not provided"),
        ("cancel 1 --all --json", "cannot be used with"),
        ("deploy -f a.yaml --node 1 --auto --json", "cannot be used with"),
        ("deploy -f a.yaml --country Belgium --json", "Belgium"),
        ("plan -f a.yaml --max-price cheap --json", "isn't an amount of USD"),
        ("name reserve My_Shop --json", "isn't a name"),
        ("limits --rate all --json", "isn't an amount of USD"),
        ("--key //Bob --key-file x ps --json", "cannot be used with"),
        ("send nobody 1 --json", "is neither an account"),
        ("balance //Alice --json", "`threebot balance` with --key shows that of a key"),
        ("bot add 7 --json", "`threebot twin show 7` shows that of a twin"),
        ("send 7 0 --json", "an amount above 0 is needed"),
        ("tx 0xab --json", "isn't a hash"),
        ("approve sign 0xab --json", "isn't a hash"),
        ("team new me --threshold 2 --json", "not provided"),
        ("twin update --json", "not provided"),
        ("twin update --devices abc --json", "has 64 hex digits"),
        ("twin publish example.org --json", "is neither an IP address"),
        ("twin publish 0.0.0.0:9618 --json", "is no place"),
        ("msg listen --publish 192.0.2.9:9618 --as 7 --json", "cannot be used with"),
        ("bill 7 --csv --html --json", "cannot be used with"),
        ("bill 7 --closed --json", "cannot be used with"),
        ("bill 7 --to me --json", "not provided: --html"),
        ("node find --isolation jail --json", "isn't an isolation"),
        ("node find --mem 2 --json", "has no unit"),
        ("node power 1 off --json", "invalid value 'off'"),
        (
            "node location 1 --country BE --city Gent --latitude x --longitude 1 --json",
            "isn't a number of degrees",
        ),
        ("node public-config 1 --ipv4 1.2.3.4/24 --json", "not provided: --gateway"),
        ("farm add-ip 1 --ipv4 1.2.3.4 --json", "isn't an address"),
        ("farm add-ip 1 --ipv4 10.0.0.4/24 --gateway 10.0.0.1 --json", "can't be used: the internet"),
        ("farm add-ip 1 --ipv6 2a02:1802:5e::10/64 --gateway6 fe80::1 --json", "needs --ipv4 and --gateway"),
        ("farm image --farm 1 --out stick.img --json", "name an address of it with --node-chain"),
        ("--key //Bob --team nobody deposit 1 --json", "you have no team named \"nobody\""),
        ("cp 7 web:srv . --json", "the path in a machine must be absolute"),
        ("cp 7 a b --json", "one place must be of a machine"),
        ("exec -it 7 web --json -- sh", "leave out -t"),
        ("net join site --private-key nowhere --json", "--new-key makes one"),
        ("status 7 --device nowhere --json", "`threebot device add` makes one"),
        ("snapshot verify 7/data/20261128T065500123Z --place x --json", "name its file with --identity"),
        (
            "team new me 5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY \
             5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty --threshold 3 --json",
            "can require 2 to 2 signatures, not 3",
        ),
        ("node public-config 1 --json", "nothing is given"),
    ] {
        let (code, error) = error_of(line);
        assert_eq!(code, Some(2), "{line}");
        assert!(error.contains(why), "{line}: {error}");
    }
}

#[test]
fn scripts_get_failures_in_the_same_form() {
    let (code, error) = error_of("calc cost --tft-price 1 --prices nowhere.json --json");
    assert_eq!(code, Some(1));
    assert!(error.contains("can't read the prices nowhere.json"), "{error}");
}

/// A file of the test's own folder.
fn file(folder: &tempfile::TempDir, name: &str, text: &str) -> String {
    let path = folder.path().join(name);
    fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[test]
fn a_wrong_file_is_told_before_anything_is_asked() {
    const PART: &str = "{ name: data, type: zmount, data: { size: 16777216 } }";
    let folder = tempfile::tempdir().unwrap();
    let deployment =
        |name: &str, part: &str| file(&folder, name, &format!("version: 1\nworkloads:\n  - {part}\n"));
    let application =
        |name: &str, text: &str| file(&folder, name, &format!("version: 1\nname: shop\nparts:\n  {text}\n"));
    let good = deployment("good.yaml", PART);
    let typo = deployment("typo.yaml", &PART.replace("zmount", "zmuont"));
    let shop = application("shop.yaml", &format!("db: {{ workloads: [{PART}] }}"));
    let place = application("place.yaml", &format!("db: {{ contry: BE, workloads: [{PART}] }}"));
    let apart = application("apart.yaml", &format!("db: {{ apart: [web], workloads: [{PART}] }}"));
    for (exit, line, why) in [
        (2, format!("deploy -f {good}"), "say where it is to run: --node, --farm, --country, or --auto"),
        (2, format!("plan -f {good}"), "say where it is to run"),
        (
            1,
            format!("deploy -f {typo} --auto"),
            "line 3, column 19: /workloads/0/type: the type \"zmuont\" is unknown",
        ),
        (
            1,
            format!("plan -f {place}"),
            "line 4, column 9: /parts/db/contry: the field \"contry\" is unknown (did you mean \"country\"?)",
        ),
        (1, format!("deploy -f {apart}"), "line 4, column 9: /parts/db/apart: \"web\" isn't another part"),
        (2, format!("deploy -f {shop} --ips 1"), "are for a single deployment"),
        (2, format!("update 7 -f {shop}"), "is an application, not a deployment"),
        (2, format!("diff 7 -f {shop}"), "is an application: compare it without contract 7"),
        (2, format!("diff -f {good}"), "name the contract to compare the deployment with"),
        (1, format!("diff -f {}/none.yaml", folder.path().display()), "can't read"),
    ] {
        let (code, error) = error_of(&format!("{line} --json"));
        assert_eq!(code, Some(exit), "{line}: {error}");
        assert!(error.contains(why), "{line}: {error}");
    }
}

#[test]
fn a_snapshot_that_is_not_there_is_not_removed() {
    let folder = tempfile::tempdir().unwrap();
    let (code, error) = error_of(&removal(&folder));
    assert_eq!(code, Some(1), "{error}");
    assert!(error.contains(&format!("has no snapshot {SNAPSHOT}")), "{error}");
}

#[test]
fn a_removal_that_was_interrupted_is_finished() {
    let folder = tempfile::tempdir().unwrap();
    // The manifest goes first.
    let packs = folder.path().join(SNAPSHOT);
    fs::create_dir_all(&packs).unwrap();
    fs::write(packs.join("1"), "a pack").unwrap();
    let output = threebot(&removal(&folder));
    assert!(output.status.success() && !packs.exists(), "{output:?}");
}

const SNAPSHOT: &str = "7/data/20261128T065500123Z";

/// The command that removes a snapshot from this place.
fn removal(place: &tempfile::TempDir) -> String {
    let identity =
        file(place, "key.txt", "AGE-SECRET-KEY-1QQQSYQCYQ5RQWZQFPG9SCRGWPUGPZYSNZS23V9CCRYDPK8QARC0SWRYDWG");
    fs::set_permissions(&identity, fs::Permissions::from_mode(0o600)).unwrap();
    format!("snapshot remove {SNAPSHOT} --place {} --identity {identity} --json", place.path().display())
}

#[test]
fn people_get_the_usage_with_the_error() {
    let output = threebot("calc cost --tft-price 0");
    let printed = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        printed.contains("the price of TFT must be above zero") && printed.contains("--help"),
        "{printed}"
    );
}

#[test]
fn a_script_without_json_is_refused() {
    let output = threebot("msg listen --ack");
    let printed = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(2) && printed.contains("it needs --json"), "{printed}");
}

#[test]
fn help_is_help_for_scripts_too() {
    let output = threebot("calc cost --help --json");
    let printed = String::from_utf8(output.stdout).unwrap();
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0));
    assert!(printed.starts_with("What capacity, addresses and traffic cost"), "{printed}");
}

#[test]
fn colours_are_left_out_where_they_are_not_wanted() {
    for line in ["deposit --help", "deposit"] {
        let printed = |variables: &[(&str, &str)]| {
            let output = command(line).envs(variables.iter().copied()).output().unwrap();
            [output.stdout, output.stderr].concat()
        };
        assert!(printed(&[("CLICOLOR_FORCE", "1")]).contains(&0x1b), "{line} has no colours at all");
        assert!(!printed(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]).contains(&0x1b), "{line}");
        assert!(!printed(&[]).contains(&0x1b), "{line}");
    }
}

#[test]
fn completions_are_printed_as_they_are() {
    let output = threebot("completions bash");
    let script = String::from_utf8(output.stdout).unwrap();
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0));
    assert!(script.contains("_threebot()") && script.contains("complete -F _threebot"), "{script}");
    let (exit, error) = error_of("completions powershell --json");
    assert_eq!(exit, Some(2));
    assert!(error.contains("invalid value 'powershell'"), "{error}");
}

#[test]
fn commands_that_act_need_a_key() {
    let lines = [
        "funds",
        "ps",
        "cancel 1",
        "cancel --all",
        "wait shop",
        "limits",
        "oracle feed --file a",
        "collect --farm 1",
        "twin show",
        "twin publish 192.0.2.9:9618",
        "balance",
        "send 7 1",
        "history",
        "farm list",
        "farm claim 1",
        "node list",
        "node power 1 up",
        "node clear-clone 1",
        "node withdraw-bond 1",
        "bill",
    ];
    for line in lines {
        let (exit, value) = refusal(&mut command(&format!("{line} --json")));
        assert_eq!((exit, value["code"].as_str()), (Some(2), Some("Usage")), "{line}");
        assert!(value["error"].as_str().unwrap().starts_with("no key: "), "{line}: {value}");
    }
}

#[test]
fn commands_that_only_read_need_no_key() {
    let chain = nowhere();
    for line in [
        "node find --all",
        "bill 1",
        "show 1",
        "funds --twin 1",
        "oracle show",
        "farm earnings 1",
        "farm show 1",
        "farm rewards 1",
        "node show 1",
        "twin show 7",
        "history --account 5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY",
        "tx 0x0101010101010101010101010101010101010101010101010101010101010101",
    ] {
        let (exit, value) = refusal(&mut command(&format!("{line} --json --chain {chain}")));
        assert_eq!((exit, value["code"].as_str()), (Some(3), Some("NoChain")), "{line}: {value}");
    }
}

#[test]
fn an_empty_key_is_refused_wherever_it_comes_from() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    fs::write(&file, "\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let mut option = command("ps --json");
    option.args(["--key", ""]);
    let mut from_file = command("ps --json");
    from_file.arg("--key-file").arg(&file);
    let mut variable = command("ps --json");
    variable.env("TFGRID_KEY", "");
    for mut command in [option, from_file, variable] {
        let (exit, value) = refusal(&mut command);
        assert_eq!(exit, Some(2), "{command:?}");
        assert!(value["error"].as_str().unwrap().contains("the key is empty"), "{command:?}: {value}");
    }
}

#[test]
fn a_file_without_a_key_is_named_and_not_quoted() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    for text in ["0123456789abcdef0123456789abcdef", "sesame"] {
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        let (exit, value) = refusal(command("ps --json").arg("--key-file").arg(&file));
        let error = value["error"].as_str().unwrap();
        assert_eq!(exit, Some(2), "{value}");
        assert!(error.starts_with(&format!("can't use the key file {}", file.display())), "{value}");
        assert!(!value.to_string().contains(text), "{value}");
    }
}

#[test]
fn a_key_option_wins_over_the_environment() {
    let mut command = command("ps --json --key-file nowhere");
    let (exit, value) = refusal(command.env("TFGRID_KEY", "//Bob"));
    assert_eq!((exit, value["code"].as_str()), (Some(2), Some("Usage")));
    assert!(value["error"].as_str().unwrap().starts_with("can't read the key file nowhere"), "{value}");
}

#[test]
fn a_key_file_that_others_can_read_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    fs::write(&file, "//Bob\n").unwrap();
    for (mode, refused) in [(0o644, true), (0o640, true), (0o600, false)] {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        let mut command = command(&format!("ps --json --chain {}", nowhere()));
        let (exit, value) = refusal(command.arg("--key-file").arg(&file));
        let error = value["error"].as_str().unwrap();
        let advice = format!("others can read the key file {0}: `chmod 600 {0}`", file.display());
        assert_eq!(
            (exit, error.starts_with(&advice)),
            (Some(if refused { 2 } else { 3 }), refused),
            "{value}"
        );
    }
}

/// A command with a configuration folder of its own and this passphrase.
fn with_keys(folder: &Path, line: &str, passphrase: &str) -> Command {
    let file = folder.join("passphrase");
    fs::write(&file, passphrase).unwrap();
    let mut command = command(&format!("{line} --json --passphrase-fd 0"));
    command.env("XDG_CONFIG_HOME", folder).stdin(fs::File::open(file).unwrap());
    command
}

#[test]
fn a_stored_key_signs_and_stands_nowhere_in_clear() {
    let folder = tempfile::tempdir().unwrap();
    let run = |line: &str, passphrase: &str| {
        let output = with_keys(folder.path(), line, passphrase).output().unwrap();
        assert!(output.status.success(), "{line}: {output:?}");
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let made = run("key new main", "secret\n");
    assert_eq!((&made["default"], &made["secret_uri"]), (&Value::Bool(true), &Value::Null));
    run("key new other --scheme ed25519", "secret\n");
    assert_eq!(run("key use other", "")["scheme"], "ed25519");
    assert_eq!(run("key list", "")["keys"].as_array().unwrap().len(), 2);
    assert_eq!(run("key show main", "")["account"], made["account"]);
    let shown = run("key show main --secret", "secret\n");
    let phrase = shown["secret_uri"].as_str().unwrap();
    assert_eq!(phrase.split(' ').count(), 12);
    for entry in fs::read_dir(folder.path().join("threebot/keys")).unwrap() {
        let content = fs::read(entry.unwrap().path()).unwrap();
        assert!(!String::from_utf8_lossy(&content).contains(phrase));
    }

    let chain = nowhere();
    let mut by_name = with_keys(folder.path(), &format!("ps --key main --chain {chain}"), "secret");
    assert_eq!(refusal(&mut by_name).0, Some(3));
    let mut by_default = with_keys(folder.path(), &format!("ps --chain {chain}"), "secret");
    assert_eq!(refusal(&mut by_default).0, Some(3));
    run("key remove main", "");
    assert_eq!(run("key list", "")["keys"].as_array().unwrap().len(), 1);
}

#[test]
fn what_is_wrong_with_a_stored_key_is_told_without_it() {
    let folder = tempfile::tempdir().unwrap();
    let made = with_keys(folder.path(), "key new main", "secret").output().unwrap();
    assert!(made.status.success(), "{made:?}");
    for (line, passphrase, why) in [
        ("ps --key main", "Secret", "the passphrase is wrong"),
        ("ps --key nobody", "secret", "you have no key named \"nobody\""),
        ("key new main", "secret", "you have a key named \"main\" already"),
        ("key new second", "", "the passphrase is empty"),
        ("key show nobody", "", "you have no key named"),
        ("key use nobody", "", "you have no key named"),
        ("key remove nobody", "", "you have no key named"),
        ("key new //Bob", "secret", "a key's name has 1 to 32 letters"),
    ] {
        let (exit, value) = refusal(&mut with_keys(folder.path(), line, passphrase));
        let error = value["error"].as_str().unwrap();
        assert_eq!((exit, error.contains(why)), (Some(2), true), "{line}: {error}");
    }
    let mut unasked = command("ps --json --key main");
    let (exit, value) = refusal(unasked.env("XDG_CONFIG_HOME", folder.path()));
    assert_eq!(exit, Some(2));
    assert!(value["error"].as_str().unwrap().contains("--passphrase-fd"), "{value}");
    let mut closed = command("ps --json --key main --passphrase-fd 99");
    let (exit, value) = refusal(closed.env("XDG_CONFIG_HOME", folder.path()));
    assert_eq!(exit, Some(2));
    assert!(value["error"].as_str().unwrap().starts_with("can't read the passphrase"), "{value}");
}

#[test]
fn a_file_that_is_no_key_is_not_shown_as_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("threebot/keys/main.age");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, "//Alice").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    for line in ["key show main", "key show main --secret", "ps --key main"] {
        let (exit, value) = refusal(&mut with_keys(folder.path(), line, "secret"));
        let error = value["error"].as_str().unwrap();
        assert_eq!(exit, Some(2), "{line}: {error}");
        assert!(error.contains("its 7 bytes aren't an age file with a passphrase"), "{line}: {error}");
        assert!(error.contains("`threebot key remove main`") && !error.contains("Alice"), "{line}: {error}");
    }
}

#[test]
fn a_crash_while_a_team_is_written_leaves_none() {
    let folder = tempfile::tempdir().unwrap();
    let accounts =
        "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY 5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty";
    let shell = |script: &str| {
        let line = format!(
            "{script} exec '{}' team new me {accounts} --threshold 2",
            env!("CARGO_BIN_EXE_threebot")
        );
        Command::new("sh").args(["-c", &line]).env("XDG_CONFIG_HOME", folder.path()).output().unwrap()
    };
    // The first byte that goes to a file ends the program.
    let crashed = shell("ulimit -f 0;");
    assert!(crashed.status.signal().is_some(), "{crashed:?}");
    let listed = command("team list").env("XDG_CONFIG_HOME", folder.path()).output().unwrap();
    assert!(String::from_utf8(listed.stdout).unwrap().starts_with("no teams"));
    let made = shell("");
    assert!(made.status.success(), "{made:?}");
}

#[test]
fn nothing_is_done_where_nobody_can_be_asked() {
    let folder = tempfile::tempdir().unwrap();
    assert!(with_keys(folder.path(), "key new main", "secret").output().unwrap().status.success());
    let remove = |line: &str| command(line).env("XDG_CONFIG_HOME", folder.path()).output().unwrap();
    let refused = remove("key remove main");
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("goes from this computer") && said.contains("--yes goes ahead"), "{said}");
    assert!(remove("key show main").status.success(), "the key is gone");
    assert!(remove("key remove main --yes").status.success());
    assert!(!remove("key show main").status.success(), "the key is still there");
}

#[test]
fn an_imported_key_comes_from_stdin() {
    let folder = tempfile::tempdir().unwrap();
    let (key, passphrase) = (folder.path().join("key"), folder.path().join("passphrase"));
    fs::write(&key, "//Alice\n").unwrap();
    fs::write(&passphrase, "secret\n").unwrap();
    let line = format!(
        "exec '{}' key import alice --json --passphrase-fd 3 < '{}' 3< '{}'",
        env!("CARGO_BIN_EXE_threebot"),
        key.display(),
        passphrase.display()
    );
    let mut shell = Command::new("sh");
    let output = shell.args(["-c", &line]).env("XDG_CONFIG_HOME", folder.path()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value["account"], "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY");
}

#[test]
fn a_connection_error_is_told_once() {
    for (chain, why) in
        [(nowhere(), "is the node running"), ("http://x".into(), "begins with ws:// or wss://")]
    {
        let (exit, error) = error_of(&format!("node find --json --chain {chain}"));
        assert_eq!(exit, Some(3), "{error}");
        assert_eq!(error.matches(why).count(), 1, "{error}");
        assert!(!error.contains("RPC error"), "{error}");
    }
}

#[test]
fn an_answer_that_can_not_be_printed_is_an_error() {
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = command("calc units").stdout(full).output().unwrap();
    let printed = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(printed.starts_with("threebot: can't print the answer: "), "{printed}");
}
