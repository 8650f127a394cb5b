# SPDX-License-Identifier: Apache-2.0
"""Reads blocks 0 to LAST with a library of its environment: every extrinsic, and whether its receipt says that it
succeeded. Prints as JSON how often each call did.

    venv/substrate-interface/bin/python read_blocks.py URL LAST
    venv/async-substrate-interface/bin/python read_blocks.py URL LAST [--async]
"""

import asyncio
import collections
import json
import sys


def name(extrinsic):
    call = extrinsic.value["call"]
    return f"{call['call_module']}.{call['call_function']}"


def read(library, url, last):
    succeeded = collections.Counter()
    with library.SubstrateInterface(url=url) as chain:
        for number in range(last + 1):
            for index, extrinsic in enumerate(chain.get_block(block_number=number)["extrinsics"]):
                receipt = library.ExtrinsicReceipt.create_from_extrinsic_identifier(chain, f"{number}-{index}")
                succeeded[name(extrinsic)] += receipt.is_success
    return succeeded


async def read_async(library, url, last):
    succeeded = collections.Counter()
    async with library.AsyncSubstrateInterface(url) as chain:
        for number in range(last + 1):
            for index, extrinsic in enumerate((await chain.get_block(block_number=number))["extrinsics"]):
                create = library.AsyncExtrinsicReceipt.create_from_extrinsic_identifier
                succeeded[name(extrinsic)] += await (await create(chain, f"{number}-{index}")).is_success
    return succeeded


def main(url, last, *options):
    try:
        import substrateinterface as library
    except ImportError:
        import async_substrate_interface as library
    if "--async" in options:
        succeeded = asyncio.run(read_async(library, url, int(last)))
    else:
        succeeded = read(library, url, int(last))
    print(json.dumps(succeeded))


main(*sys.argv[1:])
