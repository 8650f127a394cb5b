# SPDX-License-Identifier: Apache-2.0
"""Finds a node, deploys a web server on it, waits until it runs, shows what it costs, and cancels it.

    pip install async-substrate-interface bittensor-wallet
    python deploy.py --key //Bob --image docker.io/library/nginx:1.27-alpine
"""

import argparse
import json
import time

from async_substrate_interface import SubstrateInterface
from bittensor_wallet import Keypair

MIB = 2**20
PAGE = 100
PROBE_SECONDS = 1


def deployment(image):
    machine = {"image": image, "cpu": 0.5, "memory": 128 * MIB, "rootfs": 64 * MIB}
    machine["mounts"] = [{"name": "data", "path": "/data"}]
    return {
        "version": 1,
        "description": "a web server, from Python",
        "workloads": [
            {"name": "data", "type": "zmount", "data": {"size": 16 * MIB}},
            {"name": "web", "type": "zmachine", "data": machine},
        ],
    }


def needs(body):
    """What the workloads need, as docs/FORMATS.md §4 sums it up."""
    of = [workload["data"] for workload in body["workloads"]]
    cpu_hundredths = sum(round(data.get("cpu", 0) * 100) for data in of)
    return {
        "cru": -(-cpu_hundredths // 100),
        "mru": sum(data.get("memory", 0) for data in of),
        "sru": sum(data.get("rootfs", 0) + data.get("size", 0) for data in of),
        "hru": 0,
        "gpu": 0,
    }


class Grid:
    def __init__(self, chain, key):
        self.chain = chain
        self.key = key
        self.twin = self.read("Twins", "TwinByAccount", key.ss58_address)
        if self.twin is None:
            raise SystemExit(f"{key.ss58_address} has no twin: create one with `threebot twin create`")

    def finalized(self):
        return self.chain.get_chain_finalised_head()

    def read(self, pallet, item, *keys):
        return plain(self.chain.query(pallet, item, list(keys), block_hash=self.finalized()))

    def ask(self, method, *arguments):
        return plain(self.chain.runtime_call("GridApi", method, list(arguments), block_hash=self.finalized()))

    def submit(self, pallet, call, arguments):
        """Signs and submits a call; returns its events once its block is final."""
        composed = self.chain.compose_call(pallet, call, arguments)
        signed = self.chain.create_signed_extrinsic(composed, self.key)
        receipt = self.chain.submit_extrinsic(signed, wait_for_inclusion=True, wait_for_finalization=True)
        if not receipt.is_success:
            raise SystemExit(f"the chain refused {pallet}.{call}: {receipt.error_message}")
        return [plain(event)["event"] for event in receipt.triggered_events]

    def find_node(self, resources, chosen):
        """The chosen node, or else the cheapest with room for so much, and its rate in 1e-10 USD per hour."""
        wanted = {"free": resources, "farm": None, "country": None}
        wanted |= {"certified": False, "rentable": False, "unavailable": False}
        found, after = [], None
        while True:
            page = self.ask("find_nodes", wanted, after, PAGE)
            found += [offer["node"] for offer in page["items"] if chosen in (None, offer["node"])]
            after = page["next"]
            if after is None:
                break
        rates = [(self.ask("quote", node, resources, 0), node) for node in found]
        if not rates:
            raise SystemExit("no such node is online with so much free: see `threebot node find`")
        rate, node = min(rates)
        return node, rate

    def deploy(self, node, resources, body, rate):
        """Creates a contract, for no more than it costs now; returns its id."""
        arguments = {
            "node": node,
            "resources": resources,
            "body": {"Plain": json.dumps(body)},
            "public_ips": 0,
            # The one field of the chain's BoundedVec.
            "networks": [[]],
            "traffic_gb": 0,
            "max_usd_rate": rate,
        }
        for event in self.submit("Contracts", "create_node_contract", arguments):
            if event["event_id"] == "NodeContractCreated":
                return event["attributes"]["contract"]
        raise SystemExit("the call created no contract")

    def until_deployed(self, contract, seconds):
        """Waits until the node has deployed it; returns what the node says about it."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            closed = self.read("Contracts", "ClosedContracts", contract)
            if closed is not None:
                raise SystemExit(f"contract {contract} is closed: {closed['reason']}")
            if self.read("Contracts", "Contracts", contract)["state"] == "Deployed":
                return json.loads(text(self.read("Contracts", "Results", contract)))
            time.sleep(PROBE_SECONDS)
        raise SystemExit(f"contract {contract} isn't deployed after {seconds} s: `threebot show {contract}` tells why")

    def charged(self, contract):
        """What a contract was charged, in 1e-7 TFT."""
        status = self.ask("contract_status", contract)
        return next(iter(status.values()))["tft"] if isinstance(status, dict) else 0


def plain(answer):
    return getattr(answer, "value", answer)


def text(value):
    """A text of the chain: the library gives what isn't printable as hex."""
    return bytes.fromhex(value[2:]).decode() if value.startswith("0x") else value


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--chain", default="ws://127.0.0.1:9944", help="RPC address of a node of the chain")
    parser.add_argument("--key", required=True, help="your secret URI, such as //Bob")
    parser.add_argument("--image", required=True, help="the image of a web server")
    parser.add_argument("--node", type=int, help="the node to take [default: the cheapest with room]")
    parser.add_argument("--seconds", type=int, default=120, help="how long to wait until it runs")
    options = parser.parse_args()
    with SubstrateInterface(url=options.chain) as chain:
        grid = Grid(chain, Keypair.create_from_uri(options.key))
        body = deployment(options.image)
        resources = needs(body)
        node, rate = grid.find_node(resources, options.node)
        contract = grid.deploy(node, resources, body, rate)
        try:
            result = grid.until_deployed(contract, options.seconds)
            billed = grid.charged(contract)
        finally:
            if grid.read("Contracts", "Contracts", contract) is not None:
                grid.submit("Contracts", "cancel", {"contract": contract, "reason": "Cancelled"})
        total = grid.read("Contracts", "ClosedContracts", contract)["tft"]
    answer = {"node": node, "contract": contract, "rate_usd_1e10": str(rate), "result": result}
    print(json.dumps(answer | {"billed_tft_1e7": str(billed), "total_tft_1e7": str(total)}))


if __name__ == "__main__":
    main()
