"""Checks the proofs of a report without believing the agent: each item's leaf, its path, and that a single changed
character is noticed."""

import os
import sys

from xinqiao import Broken, Client

uscc, purpose = sys.argv[1:]
with Client(os.environ["XINQIAO_AGENT"]) as client:
    report = client.query(uscc, purpose=purpose, user="clerk-7")

print(f"order {report.order.hex()} placed at height {report.placed_at_height}")
for section in report.sections:
    proof = section.proof
    section.verify()  # raises Broken if the item is not what the source registered
    print(f"{section.item} of {section.source}: leaf {proof.index + 1} of {proof.size}, {len(proof.siblings)} siblings,")
    print(f"  leads to root {proof.root.hex()}, registered at height {proof.registered_at_height}")

section = report.sections[0]
forged = section.json.replace(section.json[-3], "?", 1)
try:
    section.proof.check(section.item, forged)
except Broken as error:
    print(f"changed by one character: {error.reason}")
