"""Makes calls that bring nothing, and does with each what its class asks for."""

import os
import sys

from xinqiao import BadInput, Broken, Client, Error, Refused, TryLater, Unavailable

purpose, *codes = sys.argv[1:]


def ask(client: Client, uscc: str, purpose: str, user: str = "clerk-7") -> None:
    try:
        report = client.query(uscc, purpose=purpose, user=user)
    except Refused as error:  # ConsentRefused, PermissionRefused, StateRefused: not again before that has changed
        print(f"{error.class_name}: {error.reason} {error.detail.chinese}")
        tx = error.detail.facts.get("tx_id")
        where = f"on the ledger as {tx}" if tx else "recorded by the gateway"
        print(f"  {where}, explained in {error.detail.help}")
    except BadInput as error:  # a fault of ours: which fields, and by which rule
        print(f"{error.class_name}: {error.reason}")
        for wrong in error.fields:
            print(f"  {wrong.field}: {wrong.rule}")
    except TryLater as error:  # what is repeated in vain until the deadline
        print(f"{error.class_name}: {error.reason}, again after {error.after:g} s")
    except Broken as error:  # use nothing of it
        print(f"{error.class_name}: {error.reason}; tell the regulator")
    except Unavailable as error:  # the same request_id again, later
        print(f"{error.class_name}: {error.reason}")
    else:
        print(f"answered with {len(report.sections)} sections")


with Client(os.environ["XINQIAO_AGENT"]) as client:
    for code in codes:
        ask(client, code, purpose)
    ask(client, codes[0], "curiosity")
    ask(client, codes[0], purpose, user="")

with Client("http://127.0.0.1:1", patience=0.5) as nobody:  # where no agent listens
    try:
        nobody.catalogue()
    except Error as error:
        print(f"{error.class_name}: {error.reason} {error.detail.chinese}")
