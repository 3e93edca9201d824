"""Asks for many enterprises as one job, takes the results as they come, and goes on where it was if it is started
again: ``batch.py JOB PURPOSE USCC...``"""

import os
import sys

from xinqiao import Client, Job, JobOutcome

job_id, purpose, *codes = sys.argv[1:]
with Client(os.environ["XINQIAO_AGENT"]) as client:
    # The same id and content again is the same job: nothing is ordered twice.
    job = client.start_job(codes, purpose=purpose, user="clerk-7", job_id=job_id)
    for event in client.follow_job(job_id, after=job.acknowledged):
        if isinstance(event, Job):
            print(f"{event.done} of {event.entries}: {event.state.name}")
            continue
        if event.outcome is JobOutcome.REPORT and event.report:
            sections = event.report.verify()
            print(f"{event.uscc}: {sections} sections, whole: {event.report.is_complete}")
        else:
            print(f"{event.uscc}: {event.outcome.name} {event.reason}")
        # Keep the result for good before this: the agent deletes its report.
        client.acknowledge_job(job_id, event.sequence)
