"""Asks for one enterprise's report, prints it, and checks for itself what the sources delivered."""

import os
import sys

from xinqiao import Client

uscc, purpose = sys.argv[1:]
with Client(os.environ["XINQIAO_AGENT"]) as client:
    report = client.query(uscc, purpose=purpose, user="clerk-7")

for item in report.items:
    print(f"{item.name_zh} {item.name_en}: {item.extent.name}")
    for section in item.sections:  # one a source; none is preferred
        print(f"  {section.source_name}, {section.as_of}: {section.content()}")
    for conflict in item.conflicts:  # what sources say differently
        said = ", ".join(f"{section.source_name} {value}" for section, value in conflict.values)
        print(f"  ! {conflict.field}: {said}")
for part in report.parts:  # what each source did, and why
    print(f"{part.source_name}: {part.status.name} {part.reason}")

print(f"{report.verify()} sections lead to the roots that their sources registered")
