// SPDX-License-Identifier: Apache-2.0
//! Every rule of `docs/FORMATS.md` §4, kept and broken.

use super::*;
use crate::sealing::SealKey;
use serde_json::{Value, json};
use tfgrid_primitives::{
    FailureCode::*,
    units::{GIB, MIB},
};

/// The data of the deployment's machine.
const MACHINE: &str = "/workloads/1/data";
const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// The deployment of the formats page.
fn page_from_a_disk() -> Value {
    json!({
        "version": 1,
        "description": "a page from a disk",
        "workloads": [
            { "name": "data", "type": "zmount", "data": { "size": 64 * MIB } },
            { "name": "web", "type": "zmachine", "data": {
                "image": format!("127.0.0.1:5000/web@{DIGEST}"),
                "cpu": 1, "memory": 128 * MIB, "rootfs": 64 * MIB,
                "mounts": [ { "name": "data", "path": "/data" } ],
                "env": { "GREETING": "hello" },
                "entrypoint": ["/bin/httpd"], "args": ["-f", "-p", "80"] } }
        ]
    })
}

/// A deployment with a private network that has one machine at an address of its own and one without.
fn site() -> Value {
    let interface = |ip: Value| json!([{ "network": "backend", "ip": ip }]);
    let (mut web, mut db) = (machine("web"), machine("db"));
    web["data"]["interfaces"] = json!([{ "network": "backend" }]);
    db["data"]["interfaces"] = interface(json!("10.20.1.5"));
    db["data"]["internet"] = json!(false);
    let network = json!({ "name": "backend", "type": "network",
                          "data": { "subnet": "10.20.0.0/16", "range": "10.20.1.0/24" } });
    json!({ "version": 1, "workloads": [network, web, db] })
}

fn parse(value: &Value) -> Result<Deployment, Rejection> {
    Deployment::parse(&serde_json::to_vec(value).unwrap())
}

/// The deployment of the formats page with `value` at `pointer`; `null` removes the field.
fn with(pointer: &str, value: Value) -> Value {
    changed(page_from_a_disk(), pointer, value)
}

/// The pointer to a field of the machine.
fn at(field: &str) -> String {
    format!("{MACHINE}{field}")
}

/// The document with `value` at `pointer`; `null` removes the field.
fn changed(mut document: Value, pointer: &str, value: Value) -> Value {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let parent = document.pointer_mut(parent).unwrap();
    match (parent, value) {
        (Value::Object(fields), Value::Null) => drop(fields.remove(key).unwrap()),
        (Value::Object(fields), value) => drop(fields.insert(key.replace("~1", "/"), value)),
        (Value::Array(items), value) => match key.parse::<usize>() {
            Ok(index) if index < items.len() => items[index] = value,
            _ => items.push(value),
        },
        (other, _) => panic!("{pointer} has no parent: {other}"),
    }
    document
}

fn machine(name: &str) -> Value {
    json!({ "name": name, "type": "zmachine",
            "data": { "image": "docker.io/library/web:1", "cpu": 1, "memory": 16 * MIB } })
}

#[test]
fn the_example_of_the_formats_page_survives_a_round_trip() {
    let deployment = parse(&page_from_a_disk()).unwrap();
    assert_eq!(deployment.needs(), Resources { cru: 1, mru: 128 * MIB, sru: 128 * MIB, hru: 0, gpu: 0 });
    let body = deployment.to_body().unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), page_from_a_disk());
    assert_eq!(Deployment::parse(&body).unwrap(), deployment);
}

#[test]
fn a_password_is_in_no_message_and_no_debug_output() {
    let at = "/workloads/1/data/registry";
    let good = with(at, json!({ "user": "u", "password": "sesame" }));
    assert!(!format!("{:?}", parse(&good).unwrap()).contains("sesame"));
    for password in [json!("sesame~"), json!(["sesame"]), json!({ "sesame": 1 })] {
        let rejection = parse(&with(at, json!({ "user": "u", "password": password }))).unwrap_err();
        assert!(!rejection.to_string().contains("sesame"), "{rejection}");
    }
}

#[test]
fn a_machine_that_names_no_rootfs_has_1_gib() {
    let deployment = parse(&with("/workloads/1/data/rootfs", json!(null))).unwrap();
    assert_eq!(deployment.needs().sru, (64 + 1024) * MIB);
}

#[test]
fn machines_share_cores_and_round_up_together() {
    let mut document = with("/workloads/1/data/cpu", json!(0.29));
    let workloads = document["workloads"].as_array_mut().unwrap();
    workloads.extend(["a", "b"].map(machine));
    let deployment = parse(&document).unwrap();
    assert_eq!(deployment.needs().cru, 3);
    let body: Value = serde_json::from_slice(&deployment.to_body().unwrap()).unwrap();
    assert_eq!(
        (&body["workloads"][1]["data"]["cpu"], &body["workloads"][2]["data"]["cpu"]),
        (&json!(0.29), &json!(1))
    );
    assert_eq!(Deployment::parse(&deployment.to_body().unwrap()).unwrap(), deployment);
}

#[test]
fn gpus_count_for_the_reservation() {
    let mut document = with("/workloads/1/data/gpus", json!(2));
    document["workloads"].as_array_mut().unwrap().push(machine("other"));
    document["workloads"][2]["data"]["gpus"] = json!(1);
    let deployment = parse(&document).unwrap();
    let needs = deployment.needs();
    assert_eq!(needs.gpu, 3);
    assert_eq!(Deployment::parse(&deployment.to_body().unwrap()).unwrap(), deployment);
    let rejection = deployment.check_fits(&Resources { gpu: 2, ..needs }).unwrap_err();
    assert!(rejection.message.ends_with("gpu by 1 (the contract reserves 2)"), "{rejection}");
}

#[test]
fn a_wrong_field_is_told_the_nearest_one() {
    let at = |name: &str| parse(&with(&format!("/workloads/1/data/{name}"), json!(1))).unwrap_err().message;
    assert!(at("memroy").starts_with(r#"the field "memroy" is unknown (did you mean "memory"?); known"#));
    assert!(at("quux").starts_with(r#"the field "quux" is unknown; known are: image"#));
}

#[test]
fn only_a_person_writes_numbers_for_texts() {
    let read = |document: &Value| -> Json { serde_json::from_value(document.clone()).unwrap() };
    let written = with("/workloads/1/data/env", json!({ "PORT": 5432, "ON": true }));
    let texts = with("/workloads/1/data/env", json!({ "PORT": "5432", "ON": "true" }));
    let loose = Deployment::read_loosely(&read(&written), &read(&texts)).unwrap();
    assert_eq!(loose, parse(&texts).unwrap());
    assert_eq!(parse(&written).unwrap_err().path, "/workloads/1/data/env/ON");
    let number = with("/workloads/1/data/memory", json!(false));
    let texts = with("/workloads/1/data/memory", json!("134217728"));
    let rejection = Deployment::read_loosely(&read(&number), &read(&texts)).unwrap_err();
    assert_eq!(rejection.message, "must be a whole number, is a boolean");
}

#[test]
fn a_deployment_knows_its_application() {
    let document = with("/application", json!({ "name": "shop", "part": "web" }));
    let deployment = parse(&document).unwrap();
    let part = ApplicationPart { name: "shop".into(), part: "web".into() };
    assert_eq!(deployment.application, Some(part));
    assert_eq!(Deployment::parse(&deployment.to_body().unwrap()).unwrap(), deployment);
    for (field, value) in [("name", json!("My Shop")), ("part", json!("")), ("node", json!(1))] {
        let path = format!("/application/{field}");
        assert_eq!(parse(&changed(document.clone(), &path, value)).unwrap_err().path, path);
    }
}

#[test]
fn a_deployment_knows_what_it_replaces() {
    let document = with("/replaces", json!({ "contract": 7, "snapshot": { "contract": 5, "taken_at": 9 } }));
    let deployment = parse(&document).unwrap();
    let snapshot = Some(LastSnapshot { contract: 5, taken_at: 9 });
    assert_eq!(deployment.replaces, Some(Replaces { contract: 7, snapshot }));
    assert_eq!(Deployment::parse(&deployment.to_body().unwrap()).unwrap(), deployment);
    let without = parse(&with("/replaces", json!({ "contract": 7 }))).unwrap();
    assert_eq!(without.replaces, Some(Replaces { contract: 7, snapshot: None }));
    for (field, value) in [("contract", json!("7")), ("snapshot/taken_at", json!(-1)), ("node", json!(1))] {
        let path = format!("/replaces/{field}");
        assert_eq!(parse(&changed(document.clone(), &path, value)).unwrap_err().path, path);
    }
}

#[test]
fn environment_and_credentials_become_secrets() {
    let registry = json!({ "user": "u", "password": "sesame" });
    let open = parse(&with("/workloads/1/data/registry", registry)).unwrap();
    let hidden = open.with_texts_as_secrets();
    let body: Value = serde_json::from_slice(&hidden.to_body().unwrap()).unwrap();
    let secrets =
        json!({ "web.env.GREETING": "hello", "web.registry.user": "u", "web.registry.password": "sesame" });
    assert_eq!(body["secrets"], secrets);
    assert_eq!(body["workloads"][1]["data"]["env"]["GREETING"], json!({ "secret": "web.env.GREETING" }));
    assert_eq!(hidden.with_texts_as_secrets(), hidden);
    let volume = parse(&json!({ "version": 1, "workloads": [page_from_a_disk()["workloads"][0]] })).unwrap();
    assert_eq!(volume.with_texts_as_secrets().secrets, None);
}

#[test]
fn an_address_with_a_token_becomes_a_secret() {
    let hidden = |output: &str| {
        let mut body = page_from_a_disk();
        let logs = json!({ "zmachine": "web", "output": output });
        let workload = json!({ "name": "out", "type": "zlogs", "data": logs });
        body["workloads"].as_array_mut().unwrap().push(workload);
        let hidden = parse(&body).unwrap().with_texts_as_secrets().to_body().unwrap();
        let hidden: Value = serde_json::from_slice(&hidden).unwrap();
        hidden["secrets"].get("out.output") == Some(&json!(output))
    };
    assert!(hidden("https://logs.example.org/inputs/5e5a3e"));
    assert!(hidden("wss://logs.example.org/?token=5e5a3e"));
    assert!(!hidden("syslog+tls://logs.example.org:6514"));
    assert!(!hidden("https://logs.example.org/"));
}

#[test]
fn deserializing_keeps_the_rules() {
    assert!(serde_json::from_value::<Deployment>(page_from_a_disk()).is_ok());
    let error = serde_json::from_value::<Deployment>(with("/workloads/1/data/cpu", json!(0))).unwrap_err();
    assert!(error.to_string().contains("/workloads/1/data/cpu"), "{error}");
}

fn assert_refused(document: &Value, code: FailureCode, path: &str) {
    match parse(document) {
        Ok(_) => panic!("accepted, should be refused at {path:?}: {document}"),
        Err(rejection) => assert_eq!((rejection.code, rejection.path.as_str()), (code, path), "{rejection}"),
    }
}

/// Asserts that the deployment of the formats page is refused with each value at its place below `base`, and there.
fn assert_invalid<const N: usize>(base: &str, fields: [(&str, Value); N]) {
    for (field, value) in fields {
        let path = format!("{base}{field}");
        assert_refused(&with(&path, value), BodyInvalid, &path);
    }
}

/// The same for one value that nothing supports.
fn assert_unsupported(path: &str, value: Value) {
    assert_refused(&with(path, value), BodyUnsupported, path);
}

fn long(chars: usize) -> Value {
    json!("x".repeat(chars))
}

#[test]
fn a_broken_document_is_refused() {
    for document in [json!([]), json!(null), with("/version", json!(null)), with("/workloads", json!(null))] {
        assert_refused(&document, BodyNotJson, "");
    }
    let too_many = (0..33).map(|i| machine(&format!("w{i}"))).collect();
    assert_invalid(
        "",
        [
            ("/version", json!("1")),
            ("/description", long(257)),
            ("/description", json!("two\nlines")),
            ("/description", json!(1)),
            ("/workloads", json!({})),
            ("/workloads", json!([])),
            ("/workloads", Value::Array(too_many)),
        ],
    );
    assert_unsupported("/version", json!(2));
    assert_unsupported("/metadata", json!("x"));
    assert_unsupported("/a~1b", json!("x"));
}

#[test]
fn a_broken_workload_is_refused() {
    assert_invalid(
        "/workloads/0",
        [
            ("", json!("data")),
            ("/name", json!("")),
            ("/name", json!("-a")),
            ("/name", json!("a-")),
            ("/name", json!("A")),
            ("/name", json!("a_b")),
            ("/name", json!("é")),
            ("/name", long(33)),
        ],
    );
    for field in ["name", "type", "data"] {
        let without = with(&format!("/workloads/0/{field}"), json!(null));
        assert_refused(&without, BodyInvalid, "/workloads/0");
    }
    assert_refused(&with("/workloads/2", machine("web")), BodyInvalid, "/workloads/2/name");
    assert_unsupported("/workloads/0/type", json!("qsfs"));
    assert_unsupported("/workloads/0/type", json!("Zmount"));
    assert_unsupported("/workloads/0/label", json!("x"));
}

#[test]
fn a_broken_zmount_is_refused() {
    assert_refused(&with("/workloads/0/data/size", json!(null)), BodyInvalid, "/workloads/0/data");
    assert_invalid(
        "/workloads/0/data",
        [
            ("/size", json!(15 * MIB)),
            ("/size", json!(16 * MIB + 1)),
            ("/size", json!(-1)),
            ("/size", json!(67108864.5)),
            ("/disk", json!("tape")),
        ],
    );
    assert_unsupported("/workloads/0/data/fs", json!("xfs"));
}

#[test]
fn a_broken_zmachine_is_refused() {
    assert_refused(&with(&at("/image"), json!(null)), BodyInvalid, MACHINE);
    assert_invalid(
        MACHINE,
        [
            ("/image", json!("web:1")),
            ("/cpu", json!(0)),
            ("/cpu", json!(0.0)),
            ("/cpu", json!(0.125)),
            ("/cpu", json!(-0.5)),
            ("/cpu", json!(u64::MAX)),
            ("/cpu", json!("1")),
            ("/memory", json!(16 * MIB - 1)),
            ("/rootfs", json!(16 * MIB - 1)),
            ("/user", json!("")),
            ("/user", json!("a:b:c")),
            ("/user", json!("a b")),
            ("/workdir", json!("srv")),
            ("/workdir", json!("/a\u{7}")),
            ("/hostname", json!("web.")),
            ("/hostname", json!("Web")),
            ("/hostname", json!(format!("{}.a", "x".repeat(63)))),
            ("/shm", json!(0)),
            ("/shm", json!(128 * MIB + 1)),
            ("/stop_signal", json!("TERM")),
            ("/stop_seconds", json!(301)),
            ("/restart", json!("sometimes")),
            ("/gpus", json!(17)),
            ("/gpus", json!("1")),
            ("/capabilities", json!("IPC_LOCK")),
        ],
    );
    assert_refused(&with(&at("/capabilities"), json!(["SYS_ADMIN"])), BodyInvalid, &at("/capabilities/0"));
    for (limit, value) in [("nofile", 63), ("memlock", u64::MAX)] {
        let limits = with(&at("/ulimits"), json!({ limit: value }));
        assert_refused(&limits, BodyInvalid, &at(&format!("/ulimits/{limit}")));
    }
    assert_refused(&with(&at("/ulimits"), json!({"nproc": 9})), BodyUnsupported, &at("/ulimits/nproc"));
    assert_unsupported(&at("/label"), json!("x"));
}

#[test]
fn broken_arguments_and_environment_are_refused() {
    assert_invalid(
        MACHINE,
        [
            ("/env/", json!("x")),
            ("/env/A=B", json!("x")),
            ("/env/A\u{0}", json!("x")),
            ("/env/A", json!(1)),
            ("/env/A", json!("a\u{0}b")),
            ("/entrypoint", json!("/bin/httpd")),
            ("/entrypoint", json!(vec!["x"; 65])),
            ("/args/0", long(1025)),
            ("/args/0", json!("a\u{0}")),
            ("/args/0", json!(80)),
        ],
    );
}

#[test]
fn broken_credentials_of_a_registry_are_refused() {
    let refused = |registry: Value, code, path: &str| {
        assert_refused(&with(&at("/registry"), registry), code, &at(path));
    };
    refused(json!({ "user": "u" }), BodyInvalid, "/registry");
    refused(json!({ "user": "u", "password": "p", "token": "t" }), BodyUnsupported, "/registry/token");
    refused(json!({ "user": "u:v", "password": "p" }), BodyInvalid, "/registry/user");
    refused(json!({ "user": "u", "password": "" }), BodyInvalid, "/registry/password");
    refused(json!({ "user": "u", "password": "open~sesame" }), BodyInvalid, "/registry/password");
}

#[test]
fn a_broken_health_check_is_refused() {
    let refused = |check: Value, path: &str| {
        assert_refused(&with(&at("/health"), check), BodyInvalid, &at(path));
    };
    refused(json!({}), "/health");
    refused(json!({"tcp": {"port": 1}, "exec": ["x"]}), "/health");
    refused(json!({"tcp": {"port": 0}}), "/health/tcp/port");
    refused(json!({"http": {"port": 65536}}), "/health/http/port");
    refused(json!({"http": {"port": 1, "path": "/ x"}}), "/health/http/path");
    refused(json!({"exec": []}), "/health/exec");
    refused(json!({"exec": ["x"], "start_seconds": 301}), "/health/start_seconds");
    let without_internet = with(&at("/internet"), json!(false));
    let checked = changed(without_internet, &at("/health"), json!({"tcp": {"port": 1}}));
    assert_refused(&checked, BodyInvalid, &at("/health"));
}

#[test]
fn broken_public_addresses_and_ports_are_refused() {
    assert_invalid(
        MACHINE,
        [("/public_ip", json!("yes")), ("/internet", json!("no")), ("/ports", json!(["80/tcp"]))],
    );
    for field in ["/public_ip", "/ipv6"] {
        let without_internet = with(&at("/internet"), json!(false));
        assert_refused(&changed(without_internet, &at(field), json!(true)), BodyInvalid, &at(field));
    }
    assert_refused(&with(&at("/ports"), json!([80])), BodyInvalid, &at("/ports/0"));
    for (ports, path) in [
        (json!(["80"]), "/ports/0"),
        (json!(["80/tcp", "79-81/tcp"]), "/ports/1"),
        (json!(["80/tcp from 203.0.113.7/24"]), "/ports/0"),
        (json!(["80/tcp", "80/tcp from 203.0.113.7"]), "/ports/1"),
        (json!(vec!["80/tcp"; MAX_PORTS + 1]), "/ports"),
    ] {
        assert_refused(&public(ports), BodyInvalid, &at(path));
    }
}

#[test]
fn a_broken_network_is_refused() {
    for name in ["data", "other"] {
        let interfaces = with(&at("/interfaces"), json!([{ "network": name }]));
        assert_refused(&interfaces, BodyInvalid, &at("/interfaces/0/network"));
    }
    for (pointer, value, path) in [
        ("/0/name", long(21), "/0/name"),
        ("/0/data/subnet", json!(null), "/0/data"),
        ("/0/data/range", json!("10.21.1.0/24"), "/0/data/range"),
        ("/0/data/range", json!("10.20.1.0/31"), "/0/data/range"),
        ("/0/data/range", json!("10.20.1.4/30"), "/2/data/interfaces/0/ip"),
        ("/1/data/interfaces/1", json!({}), "/1/data/interfaces/1"),
        ("/1/data/interfaces/1", json!({ "network": "backend" }), "/1/data/interfaces/1/network"),
        ("/1/data/interfaces", json!([{ "network": "web" }]), "/1/data/interfaces/0/network"),
        ("/1/data/mounts", json!([{ "name": "backend", "path": "/x" }]), "/1/data/mounts/0/name"),
        ("/3", network("other", "10.20.128.0/17"), "/3/data/subnet"),
    ] {
        assert_refused(&site_with(pointer, value), BodyInvalid, &format!("/workloads{path}"));
    }
    let mtu = site_with("/0/data/mtu", json!(1280));
    assert_refused(&mtu, BodyUnsupported, "/workloads/0/data/mtu");
}

#[test]
fn broken_peers_of_a_network_are_refused() {
    let at_ip = |ip: &str| json!([changed(peer("a", 1), "/ip", json!(ip))]);
    for (peers, path) in [
        (json!([{ "name": "laptop" }]), "/0"),
        (json!([peer("Laptop", 1)]), "/0/name"),
        (json!([peer("web", 1)]), "/0/name"),
        (json!([peer("a", 1), peer("a", 2)]), "/1/name"),
        (json!([peer("a", 1), peer("b", 1)]), "/1/public_key"),
        (json!([peer("a", 0)]), "/0/public_key"),
        (json!([{ "name": "a", "public_key": "AQ==" }]), "/0/public_key"),
        (at_ip("10.20.1.5"), "/0/ip"),
        (at_ip("10.20.1.1"), "/0/ip"),
        ((0..=16).map(|n| peer(&format!("p{n}"), n + 1)).collect(), ""),
    ] {
        assert_refused(&with_peers(peers), BodyInvalid, &format!("/workloads/0/data/peers{path}"));
    }
}

#[test]
fn broken_mounts_are_refused() {
    assert_invalid(
        &at("/mounts"),
        [
            ("", json!(mounts_of_data(9))),
            ("/0/name", json!("other")),
            ("/0/name", json!("web")),
            ("/0/path", json!("data")),
            ("/0/path", json!("/")),
            ("/0/path", json!("/data/")),
            ("/0/path", json!("//data")),
            ("/0/path", json!("/a/../b")),
            ("/0/path", json!("/a/./b")),
            ("/0/path", json!("/proc")),
            ("/0/path", json!("/sys/fs")),
            ("/0/path", json!("/dev/shm")),
            ("/0/path", json!("/a\u{7}")),
        ],
    );
    assert_unsupported(&at("/mounts/0/mode"), json!("ro"));
    let twice = with(&at("/mounts/1"), json!({ "name": "data", "path": "/data" }));
    assert_refused(&twice, BodyInvalid, &at("/mounts/1/path"));
}

/// [`site`] with `value` at `pointer` below its workloads.
fn site_with(pointer: &str, value: Value) -> Value {
    changed(site(), &format!("/workloads{pointer}"), value)
}

/// [`site`] with these peers of its network.
fn with_peers(peers: Value) -> Value {
    site_with("/0/data/peers", peers)
}

fn peer(name: &str, key: u8) -> Value {
    json!({ "name": name, "public_key": key_text(&[key; 32]) })
}

fn network(name: &str, subnet: &str) -> Value {
    json!({ "name": name, "type": "network", "data": { "subnet": subnet } })
}

fn mounts_of_data(count: usize) -> Vec<Value> {
    (0..count).map(|i| json!({ "name": "data", "path": format!("/m{i}") })).collect()
}

#[test]
fn the_edges_of_every_rule_are_accepted() {
    let cases = vec![
        with("/description", json!(null)),
        with("/description", json!("é".repeat(128))),
        with("/workloads", Value::Array((0..32).map(|i| machine(&format!("w{i}"))).collect())),
        with("/workloads/1/name", json!("x".repeat(32))),
        with("/workloads/1/name", json!("0")),
        with("/workloads/0/data/size", json!(16 * MIB)),
        with(&at("/memory"), json!(16 * MIB)),
        with(&at("/rootfs"), json!(16 * MIB)),
        with(&at("/cpu"), json!(0.01)),
        with(&at("/cpu"), json!(1.5)),
        with(&at("/user"), json!("app.x_y-z:1000")),
        with(&at("/workdir"), json!("/")),
        with(&at("/hostname"), json!("db-1.example.org")),
        with(&at("/hostname"), json!(format!("{}.b", "x".repeat(62)))),
        with(&at("/registry"), json!({ "user": "robot$web", "password": "a b+/=_-:}" })),
        with(&at("/shm"), json!(128 * MIB)),
        with(&at("/stop_signal"), json!("SIGQUIT")),
        with(&at("/stop_seconds"), json!(0)),
        with(&at("/stop_seconds"), json!(300)),
        with(&at("/restart"), json!("never")),
        with(&at("/restart"), json!("on-failure")),
        with(&at("/health"), json!({"tcp": {"port": 65535}})),
        with(&at("/health"), json!({"http": {"port": 80, "path": "/up?x=1"}, "start_seconds": 0})),
        with(&at("/health"), json!({"exec": ["/bin/true"], "start_seconds": 300})),
        changed(with(&at("/internet"), json!(false)), &at("/health"), json!({"exec": ["x"]})),
        with(&at("/ulimits"), json!({"nofile": 1048576, "core": 0, "memlock": 4096, "stack": 4096})),
        with(&at("/gpus"), json!(16)),
        with(&at("/capabilities"), json!(["SYS_PTRACE", "IPC_LOCK", "SYS_NICE"])),
        with(&at("/mounts"), json!(mounts_of_data(8))),
        with(&at("/mounts/0/path"), json!("/process")),
        with(&at("/mounts/0/path"), json!("/srv/a.b/..c")),
        with(&at("/env"), json!(null)),
        with(&at("/env"), Value::Object((0..65).map(|i| (format!("_{i}"), json!(""))).collect())),
        with(&at("/env"), json!({"1.a-b c/é": "x".repeat(2000)})),
        with(&at("/entrypoint"), json!([])),
        with(&at("/args/0"), json!("x".repeat(1024))),
    ];
    for document in cases {
        parse(&document).unwrap_or_else(|rejection| panic!("{rejection}: {document}"));
    }
}

/// The deployment of the formats page with a public address and these ports.
fn public(ports: Value) -> Value {
    changed(with("/workloads/1/data/public_ip", json!(true)), "/workloads/1/data/ports", ports)
}

#[test]
fn public_addresses_survive_a_round_trip_and_count() {
    let document = public(json!(["80/tcp", "53/udp", "8000-8010/tcp", "22/tcp from 203.0.113.0/24"]));
    let deployment = parse(&document).unwrap();
    assert!(deployment.features().contains(Features::PUBLIC_IPS));
    assert_eq!(deployment.public_ips(), 1);
    let body = deployment.to_body().unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), document);
    assert_eq!(Deployment::parse(&body).unwrap(), deployment);

    let ipv6 = parse(&with("/workloads/1/data/ipv6", json!(true))).unwrap();
    assert_eq!((ipv6.public_ips(), ipv6.features().contains(Features::PUBLIC_IPS)), (0, true));
    assert!(!parse(&page_from_a_disk()).unwrap().features().contains(Features::PUBLIC_IPS));
}

#[test]
fn a_private_network_survives_a_round_trip() {
    let deployment = parse(&site()).unwrap();
    assert!(deployment.features().contains(Features::NETWORKS));
    let body = deployment.to_body().unwrap();
    let read: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(read["workloads"][0], site()["workloads"][0]);
    assert_eq!(read["workloads"][2]["data"]["internet"], json!(false));
    assert_eq!(Deployment::parse(&body).unwrap(), deployment);
    let range = Subnet { address: [10, 20, 1, 0], prefix: 24 };
    assert_eq!(deployment.listed_networks(), [("backend".to_owned(), range)]);
}

#[test]
fn a_network_has_a_private_subnet_without_host_bits() {
    for subnet in ["10.0.0.0/16", "172.31.255.252/30", "192.168.0.0/24"] {
        parse(&site_with("", json!([network("a", subnet)]))).unwrap();
    }
    for subnet in ["10.0.0.0/15", "10.0.0.1/24", "8.8.8.0/24", "100.64.0.0/16", "fd00::/64", "10.0.0.0"] {
        let rejection = parse(&site_with("", json!([network("a", subnet)]))).unwrap_err();
        assert_eq!((rejection.code, rejection.path.as_str()), (BodyInvalid, "/workloads/0/data/subnet"));
    }
}

#[test]
fn a_deployment_has_at_most_4_networks() {
    let networks = |count: u8| (0..count).map(|i| network(&format!("n{i}"), &format!("10.{i}.0.0/16")));
    parse(&site_with("", networks(4).collect())).unwrap();
    let rejection = parse(&site_with("", networks(5).collect())).unwrap_err();
    assert_eq!((rejection.code, rejection.path.as_str()), (BodyInvalid, "/workloads/4"));
}

#[test]
fn an_address_is_of_the_range_and_free() {
    let named = |ip: &str| parse(&site_with("/1/data/interfaces/0/ip", json!(ip)));
    named("10.20.1.2").unwrap();
    for ip in ["10.20.1.0", "10.20.1.1", "10.20.1.5", "10.20.1.255", "10.20.2.2", "::1", "web"] {
        let rejection = named(ip).unwrap_err();
        let at = if ip == "10.20.1.5" { "/workloads/2" } else { "/workloads/1" };
        assert_eq!(rejection.path, format!("{at}/data/interfaces/0/ip"), "{ip}: {rejection}");
    }
}

#[test]
fn peers_of_a_network_have_addresses_beside_those_of_machines() {
    let before = parse(&site()).unwrap().addresses();
    let document = with_peers(json!([changed(peer("a", 1), "/ip", json!("10.20.1.77")), peer("b", 2)]));
    let deployment = parse(&document).unwrap();
    let body = deployment.to_body().unwrap();
    assert_eq!(Deployment::parse(&body).unwrap(), deployment);
    let read: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(read["workloads"][0], document["workloads"][0]);
    let addresses = deployment.addresses();
    assert!(before.iter().all(|(names, ip)| addresses[names] == *ip), "a machine has another address");
    let of_peer = |name: &str| addresses[&(name.to_owned(), "backend".to_owned())];
    assert_eq!(of_peer("a"), Ipv4Addr::new(10, 20, 1, 77));
    let range: ipnet::Ipv4Net = "10.20.1.0/24".parse().unwrap();
    assert!(range.contains(&of_peer("b")) && !before.values().any(|ip| *ip == of_peer("b")));
}

#[test]
fn a_range_holds_no_more_machines_than_addresses() {
    let site = site_with("/0/data/range", json!("10.20.1.0/29"));
    parse(&site).unwrap();
    let names: Vec<String> = (3..8).map(|i| format!("m{i}")).collect();
    let full = names.iter().enumerate().fold(site, |site, (i, name)| {
        let mut machine = machine(name);
        machine["data"]["interfaces"] = json!([{ "network": "backend" }]);
        changed(site, &format!("/workloads/{}", i + 3), machine)
    });
    let rejection = parse(&full).unwrap_err();
    assert_eq!(rejection.path, "/workloads/6/data/interfaces/0/network", "{rejection}");
}

#[test]
fn a_machine_keeps_its_address_when_others_come_and_go() {
    let address =
        |site: &Value, name: &str| parse(site).unwrap().addresses()[&(name.to_owned(), "backend".to_owned())];
    let before = address(&site(), "web");
    assert_eq!(address(&site(), "db"), Ipv4Addr::new(10, 20, 1, 5));
    let mut first = machine("cache");
    first["data"]["interfaces"] = json!([{ "network": "backend" }]);
    let mut more = site();
    more["workloads"].as_array_mut().unwrap().insert(1, first);
    assert_eq!(address(&more, "web"), before);
    assert_ne!(address(&more, "cache"), before);
    assert_eq!(address(&site_with("/2", machine("db")), "web"), before);
}

#[test]
fn machines_share_a_volume() {
    let mut document = with("/workloads/0/type", json!("volume"));
    let mut other = machine("other");
    other["data"]["mounts"] = json!([{ "name": "data", "path": "/data" }]);
    document["workloads"].as_array_mut().unwrap().push(other);
    let deployment = parse(&document).unwrap();
    assert!(deployment.features().contains(Features::VOLUME));
    assert_eq!(deployment.needs().sru, parse(&page_from_a_disk()).unwrap().needs().sru + GIB);
}

#[test]
fn a_zmount_belongs_to_one_machine() {
    let mut other = machine("other");
    other["data"]["mounts"] = json!([{ "name": "data", "path": "/data" }]);
    let rejection = parse(&with("/workloads/2", other)).unwrap_err();
    assert_eq!((rejection.code, rejection.path.as_str()), (BodyInvalid, "/workloads/2/data/mounts/0/name"));
    let message = "\"data\" is mounted by /workloads/1 already; a zmount belongs to one machine, a volume can be \
                   shared";
    assert_eq!(rejection.message, message);
}

#[test]
fn a_duplicate_key_is_refused_where_it_stands() {
    let cases = [
        (r#"{"version":1,"version":1,"workloads":[]}"#, "/version"),
        (
            r#"{"version":1,"workloads":[{"name":"a","name":"b","type":"zmount","data":{"size":16777216}}]}"#,
            "/workloads/0/name",
        ),
        (
            r#"{"version":1,"workloads":[{"name":"a","type":"zmachine","data":{"image":"docker.io/a:1","cpu":1,
                "memory":16777216,"env":{"A":"1","A":"2"}}}]}"#,
            "/workloads/0/data/env/A",
        ),
    ];
    for (body, path) in cases {
        let rejection = Deployment::parse(body.as_bytes()).unwrap_err();
        assert_eq!((rejection.code, rejection.path.as_str()), (BodyInvalid, path), "{rejection}");
    }
}

#[test]
fn text_that_is_not_json_is_refused_with_line_and_column() {
    for body in ["", "version: 1", "{\n  \"version\": 1,\n}", "{} {}", "\u{feff}{}"] {
        let rejection = Deployment::parse(body.as_bytes()).unwrap_err();
        assert_eq!((rejection.code, rejection.path.as_str()), (BodyNotJson, ""), "{body:?}");
        assert!(rejection.message.contains("line "), "{rejection}");
    }
    let rejection = Deployment::parse(b"{\n  \"version\": 1,\n}").unwrap_err();
    assert!(rejection.message.contains("line 3 column 1"), "{rejection}");
    assert_eq!(Deployment::parse(&[b'"', 0xff, b'"']).unwrap_err().code, BodyNotJson);
}

#[test]
fn nesting_without_end_is_refused_and_not_followed() {
    let rejection = Deployment::parse("[".repeat(8_000).as_bytes()).unwrap_err();
    assert_eq!(rejection.code, BodyNotJson);
}

#[test]
fn a_body_of_more_than_8192_bytes_is_refused() {
    let mut body = serde_json::to_vec(&page_from_a_disk()).unwrap();
    body.resize(MAX_BODY_BYTES, b' ');
    assert!(Deployment::parse(&body).is_ok());
    body.push(b' ');
    let rejection = Deployment::parse(&body).unwrap_err();
    assert_eq!((rejection.code, rejection.path.as_str()), (BodyInvalid, ""));
}

#[test]
fn needs_beyond_the_reservation_are_refused_by_name() {
    let mut document = page_from_a_disk();
    let archive = json!({ "name": "old", "type": "volume", "data": { "size": 16 * MIB, "disk": "hdd" } });
    document["workloads"].as_array_mut().unwrap().push(archive);
    let deployment = parse(&document).unwrap();
    let needs = deployment.needs();
    deployment.check_fits(&needs).unwrap();
    for (reserved, name) in [
        (Resources { cru: needs.cru - 1, ..needs }, "cru by 1 "),
        (Resources { mru: needs.mru - 1, ..needs }, "mru by 1 "),
        (Resources { sru: needs.sru - 1, ..needs }, "sru by 1 "),
        (Resources { hru: needs.hru - 1, ..needs }, "hru by 1 "),
    ] {
        let rejection = deployment.check_fits(&reserved).unwrap_err();
        assert_eq!((rejection.code, rejection.path.as_str()), (OverReserved, "/workloads"));
        assert!(rejection.message.contains(name), "{rejection}");
    }
}

#[test]
fn a_contract_of_networks_alone_reserves_something() {
    let mut document = site();
    let machines = parse(&document).unwrap();
    assert_eq!(machines.least_reservation(), machines.needs());
    document["workloads"].as_array_mut().unwrap().truncate(1);
    let alone = parse(&document).unwrap();
    assert_eq!(alone.needs(), Resources::ZERO);
    assert_eq!(alone.least_reservation(), Resources { mru: 16 * MIB, ..Resources::ZERO });
    alone.check_fits(&alone.least_reservation()).unwrap();
}

#[test]
fn a_volume_counts_for_the_kind_of_its_disk() {
    let needs = |disk| parse(&with("/workloads/0/data/disk", json!(disk))).unwrap().needs();
    let (ssd, hdd) = (needs("ssd"), needs("hdd"));
    assert_eq!(ssd, parse(&page_from_a_disk()).unwrap().needs());
    assert_eq!((hdd.sru, hdd.hru), (64 * MIB, 64 * MIB));
}

#[test]
fn needs_beyond_64_bits_never_fit() {
    let mut document = with("/workloads/1/data/memory", json!(u64::MAX));
    document["workloads"].as_array_mut().unwrap().push(machine("two"));
    let deployment = parse(&document).unwrap();
    assert_eq!(deployment.needs().mru, u64::MAX);
    assert!(deployment.check_fits(&Resources { cru: 9, mru: u64::MAX - 1, ..deployment.needs() }).is_err());
}

#[test]
fn image_references_name_registry_and_version() {
    let long_path = format!("registry.io/{}:1", "a".repeat(242));
    let accepted = [
        "docker.io/library/busybox:1.36",
        "localhost/web:latest",
        "localhost:5000/web:A_b.C-d",
        "ghcr.io/owner/a.b/c_d/e__f/g---h:1",
        "Registry.Example.com:443/web:1",
        &format!("127.0.0.1:5000/web@{DIGEST}"),
        &format!("127.0.0.1:5000/web:1@{DIGEST}"),
        &format!("127.0.0.1:5000/web@sha512:{}", "a".repeat(128)),
        &long_path,
    ];
    for text in accepted {
        let image: ImageReference = text.parse().unwrap_or_else(|rule| panic!("{text}: {rule}"));
        assert_eq!(image.to_string(), text);
    }
    let refused = [
        "",
        "web",
        "web:1",
        "library/web:1",
        "docker.io/web",
        "docker.io/:1",
        "docker.io//web:1",
        "docker.io/web/:1",
        "docker.io/Web:1",
        "docker.io/web..x:1",
        "docker.io/web_-x:1",
        "docker.io/-web:1",
        "docker.io/web-:1",
        "docker.io/wéb:1",
        "docker.io/web:",
        "docker.io/web:-1",
        "docker.io/web: 1",
        "docker.io/web:1:2",
        "docker.io/web:é",
        "foo_bar.io/web:1",
        "docker..io/web:1",
        "-docker.io/web:1",
        "localhost:/web:1",
        "localhost:0/web:1",
        "localhost:65536/web:1",
        "localhost:x/web:1",
        "https://docker.io/web:1",
        "docker.io/web@",
        "docker.io/web@sha256:abc",
        "docker.io/web@md5:0123456789abcdef0123456789abcdef",
        &format!("docker.io/web@{}", DIGEST.to_uppercase()),
        &format!("docker.io/web@{DIGEST}@{DIGEST}"),
        &format!("docker.io/web@sha256:{}", "A".repeat(64)),
        &format!("docker.io/web@sha384:{}", "a".repeat(96)),
        &format!("docker.io/web:{}", "a".repeat(129)),
        &format!("a{long_path}a"),
    ];
    for text in refused {
        assert!(text.parse::<ImageReference>().is_err(), "{text} should be refused");
    }
}

#[test]
fn a_wrong_image_reference_is_told_its_rule() {
    for (text, rule) in [
        ("web:1", ImageError::NoRegistry),
        ("docker.io/web", ImageError::NoVersion),
        ("localhost:65536/web:1", ImageError::Port),
        ("docker.io/web@sha256:abc", ImageError::Malformed("invalid reference format".into())),
        ("docker.io/web@md5:0123456789abcdef0123456789abcdef", ImageError::Digest),
        (&"a".repeat(257), ImageError::TooLong),
    ] {
        assert_eq!(text.parse::<ImageReference>(), Err(rule), "{text}");
    }
}

#[test]
fn an_image_of_docker_hub_may_leave_out_its_folder() {
    let image: ImageReference = "docker.io/nginx:1.27".parse().unwrap();
    assert_eq!((image.repository().as_str(), image.tag()), ("docker.io/library/nginx", Some("1.27")));
}

#[test]
fn a_number_that_is_not_whole_is_named() {
    for number in ["0.5", "-1", "1.0", "1e3", "1180591620717411303424"] {
        let body = format!(
            r#"{{"version":1,"workloads":[{{"name":"a","type":"zmount","data":{{"size":{number}}}}}]}}"#
        );
        let rejection = Deployment::parse(body.as_bytes()).unwrap_err();
        assert_eq!((rejection.code, rejection.path.as_str()), (BodyInvalid, "/workloads/0/data/size"));
        let expected = "must be a whole number from 0 to 2^64-1; this is ";
        assert!(rejection.message.starts_with(expected), "{rejection}");
    }
    let half = Deployment::parse(br#"{"version":0.5,"workloads":[]}"#).unwrap_err();
    assert_eq!(half.message, "must be a whole number from 0 to 2^64-1; this is 0.5");
}

#[test]
fn a_path_too_long_for_a_report_is_cut_at_a_segment() {
    let path = |path: String| Rejection::new(BodyInvalid, path, "x").failure(1).path.into_inner();
    assert_eq!(path("/workloads/1/data/env/A".into()), b"/workloads/1/data/env/A");
    assert_eq!(path(format!("/workloads/1/data/env/{}", "A".repeat(200))), b"/workloads/1/data/env");
}

#[test]
fn a_rejection_is_printable_in_its_report() {
    let rejection = Rejection::new(BodyInvalid, "/\u{202e}a\n", format!("\x1b[2Jno{}", "é".repeat(100)));
    let failure = rejection.failure(3);
    assert!(failure.is_printable());
    assert_eq!((failure.version, failure.code, &failure.path[..]), (3, BodyInvalid, &b"/ a"[..]));
    assert_eq!(failure.text[..], format!("[2Jno{}", "é".repeat(61)).into_bytes()[..]);
}

/// The formats page's deployment with a variable, credentials and a receiver of output that are secret.
fn with_secrets(secrets: Value) -> Value {
    let mut document = with("/secrets", secrets);
    let machine = &mut document["workloads"][1]["data"];
    machine["env"]["DB/PASSWORD"] = json!({ "secret": "db" });
    machine["registry"] = json!({ "user": "bot", "password": { "secret": "token" } });
    let logs = json!({ "zmachine": "web", "output": { "secret": "logs" } });
    let workloads = document["workloads"].as_array_mut().unwrap();
    workloads.push(json!({ "name": "out", "type": "zlogs", "data": logs }));
    document
}

fn secrets() -> Value {
    json!({ "db": "open sesame", "token": "t0ken", "logs": "https://logs.example/in?key=s3cret" })
}

#[test]
fn sealed_secrets_are_read_by_whom_they_are_sealed_to() {
    let (node, stranger) = (SealKey::new(&[1; 32]).unwrap(), SealKey::new(&[2; 32]).unwrap());
    let written = parse(&with_secrets(secrets())).unwrap();
    let sealed = written.with_sealed_secrets(&[node.recipient()]).unwrap();
    let body = String::from_utf8(sealed.to_body().unwrap()).unwrap();
    assert!(body.contains("GREETING"), "the rest stays readable");
    for secret in ["open sesame", "t0ken", "s3cret"] {
        assert!(!body.contains(secret) && !format!("{written:?}").contains(secret), "{secret}");
    }
    let read = Deployment::parse(body.as_bytes()).unwrap();
    let open = read.open_secrets(&node).unwrap();
    let name = |secret: &str| Text::Secret { secret: secret.into() };
    assert_eq!(open.reveal(name("db")), "open sesame");
    assert_eq!(open.reveal(Text::Plain("hello".into())), "hello");
    assert!(!format!("{open:?}").contains("sesame"));
    let refused = read.open_secrets(&stranger).unwrap_err();
    assert_eq!((refused.code, refused.path.as_str()), (BodyUnsupported, "/secrets"));
}

#[test]
fn secrets_obey_the_rules_of_their_places() {
    let key = SealKey::new(&[1; 32]).unwrap();
    for (name, value, path) in [
        ("db", json!("a\0b"), "/workloads/1/data/env/DB~1PASSWORD"),
        ("token", json!("t0ken?"), "/workloads/1/data/registry/password"),
        ("logs", json!("http://logs.example"), "/workloads/2/data/output"),
        ("db", Value::Null, "/workloads/1/data/env/DB~1PASSWORD"),
    ] {
        let mut broken = secrets();
        match &value {
            Value::Null => drop(broken.as_object_mut().unwrap().remove(name)),
            value => broken[name] = value.clone(),
        }
        let refused = parse(&with_secrets(broken.clone())).unwrap_err();
        assert_eq!((refused.code, refused.path.as_str()), (BodyInvalid, path), "{refused}");
        let texts = serde_json::from_value(broken).unwrap();
        let sealed = Secrets::Open(texts).sealed(&[key.recipient()]).unwrap();
        let sealed = parse(&with_secrets(serde_json::to_value(sealed).unwrap())).unwrap();
        let opened = sealed.open_secrets(&key).unwrap_err();
        assert_eq!((opened.code, opened.path.as_str()), (BodyInvalid, path));
        assert!(value.as_str().is_none_or(|value| !opened.message.contains(value)), "{opened}");
    }
}

#[test]
fn damaged_and_missing_secrets_are_refused() {
    let key = SealKey::new(&[1; 32]).unwrap();
    for damaged in ["", "not base64!", "aGVsbG8="] {
        let deployment = parse(&with_secrets(json!(damaged))).unwrap();
        let refused = deployment.open_secrets(&key).unwrap_err();
        assert_eq!((refused.code, refused.path.as_str()), (BodyInvalid, "/secrets"), "{damaged}");
    }
    let mut without = with_secrets(secrets());
    without.as_object_mut().unwrap().remove("secrets");
    assert_eq!(parse(&without).unwrap_err().code, BodyInvalid);
    let refused = parse(&with("/workloads/1/data/env/A", json!({ "secret": "a", "b": 1 }))).unwrap_err();
    assert_eq!(refused.code, BodyInvalid);
}

#[test]
fn output_is_that_of_a_machine() {
    let logs = |zmachine: &str, output: &str| {
        let data = json!({ "zmachine": zmachine, "output": output });
        with("/workloads/-", json!({ "name": "out", "type": "zlogs", "data": data }))
    };
    let deployment = parse(&logs("web", "syslog+tls://logs.example")).unwrap();
    assert!(deployment.features().contains(Features::ZLOGS));
    assert_eq!(deployment.needs(), parse(&page_from_a_disk()).unwrap().needs());
    for (zmachine, output, path) in [
        ("data", "https://logs.example", "/workloads/2/data/zmachine"),
        ("absent", "https://logs.example", "/workloads/2/data/zmachine"),
        ("web", "http://logs.example", "/workloads/2/data/output"),
    ] {
        assert_eq!(parse(&logs(zmachine, output)).unwrap_err().path, path);
    }
    let mut twice = logs("web", "https://logs.example");
    let workloads = twice["workloads"].as_array_mut().unwrap();
    let mut second = workloads[2].clone();
    second["name"] = json!("again");
    workloads.push(second);
    assert_eq!(parse(&twice).unwrap_err().path, "/workloads/3/data/zmachine");
}

#[test]
fn a_volume_of_the_next_version_neither_shrinks_nor_moves() {
    let active = parse(&page_from_a_disk()).unwrap();
    let check = |pointer: &str, value: Value| parse(&with(pointer, value)).unwrap().check_follows(&active);
    assert_eq!(check("/description", json!("the same volumes")), Ok(()));
    assert_eq!(check("/workloads/0/data/size", json!(80 * MIB)), Ok(()));
    assert_eq!(check("/workloads/0/data/disk", json!("ssd")), Ok(()));
    let other = json!({ "version": 1, "workloads": [
        { "name": "other", "type": "volume", "data": { "size": 16 * MIB, "disk": "hdd" } } ] });
    assert_eq!(parse(&other).unwrap().check_follows(&active), Ok(()));
    for (field, value, has) in
        [("size", json!(48 * MIB), "67108864 bytes"), ("disk", json!("hdd"), "is on ssd")]
    {
        let pointer = format!("/workloads/0/data/{field}");
        let refused = check(&pointer, value).unwrap_err();
        assert_eq!((refused.code, refused.path.as_str()), (BodyInvalid, pointer.as_str()));
        assert!(refused.message.contains(has), "{refused}");
    }
}
