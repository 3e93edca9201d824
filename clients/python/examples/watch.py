"""Watches a portfolio: ``watch.py HEIGHT USCC...`` tells of what sources change above that height (0: from now on), and
ends with the first change."""

import os
import sys

from xinqiao import Client

height, *codes = sys.argv[1:]
with Client(os.environ["XINQIAO_AGENT"]) as client:
    for message in client.watch(codes, user="clerk-7", after_height=int(height)):
        for place in message.without_grant:
            print(f"{codes[place]}: no live grant now")
        for change in message.changes:
            print(f"{change.uscc}: {change.source_name} {change.what.name} version {change.version}, {change.as_of}")
        if message.through_height:  # keep it: what to go on after
            print(f"told through height {message.through_height}", flush=True)
        if message.changes:
            break
