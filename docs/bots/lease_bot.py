#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Answers what other bots ask, as docs/MESSAGES.md says: python3 lease_bot.py --allow 7

Arguments go to `threebot msg listen`; chain, key and device come from its variables.
"""

import json
import subprocess
import sys

USD_PER_CORE_HOUR = 0.01


def answer(question):
    """What a request gets. Others may write what is wrong: what ends this bot ends it again after its next start."""
    try:
        lease = json.loads(question)["lease"]
        cores, hours = int(lease["cores"]), int(lease["hours"])
    except (ArithmeticError, KeyError, RecursionError, TypeError, ValueError):
        return {"error": 'ask as {"lease": {"cores": 2, "hours": 24}}'}
    if not (0 < cores <= 8 and 0 < hours <= 720):
        return {"error": "at most 8 cores for 720 hours"}
    return {"offer": {"cores": cores, "hours": hours, "usd": round(cores * hours * USD_PER_CORE_HOUR, 2)}}


def main():
    command = ["threebot", "--json", "msg", "listen", "--ack", *sys.argv[1:]]
    bot = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8")

    def say(line):
        print(json.dumps(line), file=bot.stdin, flush=True)

    for line in bot.stdout:
        message = json.loads(line).get("message")
        if message is None:
            continue
        if message["request"]:
            text = json.dumps(answer(message["text"]))
            say({"answer": {"id": message["id"], "text": text}})
        else:
            # Done only once it is noted: a bot that is killed before gets it again.
            print(json.dumps({"noted": message["text"], "from": message["from"]}), flush=True)
            say({"done": message["id"]})
    return bot.wait()


if __name__ == "__main__":
    sys.exit(main())
