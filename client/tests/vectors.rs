// SPDX-License-Identifier: Apache-2.0
//! The byte formats against the vectors of another implementation.

use codec::Encode;
use serde_json::Value;
use sp_core::H256;
use tfgrid_client::{
    MachineKey,
    primitives::{
        Body, FailureCode, Features, Isolation, Refusal, Registration, ReportKind, Resources, UsageItem,
        UsageTotals,
        report::{
            DeployedPayload, DetailsPayload, FailedPayload, Failure, Gpu, HeartbeatPayload, PowerPayload,
            PowerState, ProgressPayload, ReleasedPayload, report_bytes,
        },
        units::GIB,
    },
    sealing::{Recipient, SealKey},
};

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../docs/vectors/formats.json")).unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

fn array(value: &Value) -> [u8; 32] {
    bytes(value).try_into().unwrap()
}

#[test]
fn a_ticket_and_a_registration_are_signed_as_the_vectors_say() {
    let v = vectors();
    let ticket = MachineKey::from_ticket(v["ticket"]["text"].as_str().unwrap()).unwrap();
    let node = MachineKey::from_seed(&array(&v["node_key"]["seed"]));
    assert_eq!(ticket.public(), array(&v["ticket"]["public"]));
    assert_eq!(node.public(), array(&v["node_key"]["public"]));
    let expected = &v["registration"];
    let registration = Registration {
        ticket: ticket.public(),
        node_key: node.public(),
        peer_key: array(&expected["peer_key"]),
        encryption_key: array(&expected["encryption_key"]),
        resources: serde_json::from_value(expected["resources"].clone()).unwrap(),
        isolation: Default::default(),
        valid_until: expected["valid_until"].as_u64().unwrap(),
    };
    let genesis = H256(array(&v["genesis"]));
    assert_eq!(registration.signing_bytes(genesis), bytes(&expected["bytes"]));
    let signature = |key: &MachineKey| key.sign_registration(genesis, &registration).0.to_vec();
    assert_eq!(signature(&ticket), bytes(&expected["ticket_signature"]));
    assert_eq!(signature(&node), bytes(&expected["node_signature"]));
}

#[test]
fn a_body_is_hashed_as_the_vectors_say() {
    let v = &vectors()["body"];
    let body = Body::Plain(v["plain"].as_str().unwrap().as_bytes().to_vec());
    assert_eq!(body.encode(), bytes(&v["encoded"]));
    assert_eq!(body.hash(), H256(array(&v["hash"])));
}

#[test]
fn keys_are_those_of_age_as_the_vectors_say() {
    for name in ["node", "owner"] {
        let v = &vectors()["sealed_body"][name];
        let secret = SealKey::new(&array(&v["secret"])).unwrap();
        let recipient = Recipient::new(&array(&v["key"])).unwrap();
        assert_eq!(secret.recipient(), recipient);
        assert_eq!(recipient.to_string(), v["recipient"].as_str().unwrap());
        assert_eq!(recipient.key(), Ok(array(&v["key"])));
        assert_eq!(v["identity"].as_str().unwrap().parse::<SealKey>().unwrap().recipient(), recipient);
    }
}

#[test]
fn a_sealed_body_is_opened_as_the_vectors_say() {
    let v = &vectors()["sealed_body"];
    for name in ["node", "owner"] {
        let secret = SealKey::new(&array(&v[name]["secret"])).unwrap();
        let plain = secret.open(&bytes(&v["sealed"])).unwrap();
        assert_eq!(plain, v["plain"].as_str().unwrap().as_bytes());
    }
}

/// Checks a report against the vector at `index`.
fn check(index: usize, kind: ReportKind, payload: &impl Encode) {
    let v = vectors();
    let report = &v["reports"][index];
    let genesis = H256(array(&v["genesis"]));
    let key = MachineKey::from_seed(&array(&v["node_key"]["seed"]));
    let sequence = report["sequence"].as_u64().unwrap();
    assert_eq!(report["kind"], kind as u8);
    assert_eq!(payload.encode(), bytes(&report["payload"]), "{}", report["name"]);
    assert_eq!(report_bytes(genesis, 42, kind, sequence, payload), bytes(&report["bytes"]));
    let signature = key.sign_report(genesis, 42, kind, sequence, payload);
    assert_eq!(signature.0.to_vec(), bytes(&report["signature"]), "{}", report["name"]);
}

#[test]
fn a_heartbeat_is_signed_as_the_vectors_say() {
    check(0, ReportKind::Heartbeat, &HeartbeatPayload { boot_nonce: 0xfeed_face_cafe_beef });
}

#[test]
fn a_deployment_is_reported_as_the_vectors_say() {
    let payload = DeployedPayload {
        contract: 7,
        version: 1,
        body_hash: H256(array(&vectors()["body"]["hash"])),
        result: br#"{"web":{"ip":"172.30.0.2"}}"#.to_vec().try_into().unwrap(),
    };
    check(1, ReportKind::Deployed, &payload);
}

#[test]
fn a_failure_is_reported_as_the_vectors_say() {
    let failure = Failure {
        version: 1,
        code: FailureCode::ImageNotFound,
        path: b"/workloads/1/data/image".to_vec().try_into().unwrap(),
        text: "manifest unknown – not found".as_bytes().to_vec().try_into().unwrap(),
    };
    check(2, ReportKind::Failed, &FailedPayload { contract: 7, failure });
}

#[test]
fn usage_is_reported_as_the_vectors_say() {
    let item =
        |contract, [cpu_ms, memory_bytes, disk_bytes, received_bytes, sent_bytes]: [u64; 5]| UsageItem {
            contract,
            totals: UsageTotals { cpu_ms, memory_bytes, disk_bytes, received_bytes, sent_bytes },
        };
    check(3, ReportKind::Usage, &vec![item(7, [1000, 2, 3, 4, 5]), item(8, [6, 7, 8, 9, 10])]);
}

#[test]
fn progress_and_a_release_are_reported_as_the_vectors_say() {
    check(4, ReportKind::Progress, &ProgressPayload { contract: 7, version: 2 });
    check(5, ReportKind::Released, &ReleasedPayload { contract: 7 });
}

#[test]
fn a_machines_details_are_reported_as_the_vectors_say() {
    let gpus = vec![
        Gpu { vendor: 0x10de, device: 0x1db4, memory: 16 * GIB },
        Gpu { vendor: 0x1002, device: 0x73bf, memory: 0 },
    ];
    let payload = DetailsPayload {
        resources: Resources { cru: 8, mru: 16 * GIB, sru: 512 * GIB, hru: 1024 * GIB, gpu: 2 },
        isolation: Isolation::Container,
        serial: b"PF2X 42-1d C".to_vec().try_into().unwrap(),
        virtualized: true,
        secure_boot: false,
        gpus: gpus.try_into().unwrap(),
        bytes_per_second: 125_000_000,
        features: Features::ZMACHINE.and(Features::NETWORKS),
        peer_addresses: b"192.0.2.7:9617 https://relay.example.org".to_vec().try_into().unwrap(),
        version: b"0.1.0 (1a2b3c4)".to_vec().try_into().unwrap(),
    };
    check(6, ReportKind::Details, &payload);
}

#[test]
fn sleep_and_waking_are_reported_as_the_vectors_say() {
    check(7, ReportKind::Power, &PowerPayload { state: PowerState::Standby });
    check(8, ReportKind::Power, &PowerPayload { state: PowerState::Up });
}

#[test]
fn every_refusal_is_on_the_formats_page() {
    let page = include_str!("../../docs/FORMATS.md");
    for refusal in Refusal::ALL {
        let row = format!("| {} | `{refusal:?}` |", *refusal as u8);
        assert!(page.contains(&row), "{row} is missing");
    }
}
