"""Jobs of many enterprises, and watching a portfolio: what they bring, in types."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from enum import Enum

from .errors import Broken
from .report import EPOCH, Report, read_report
from .v1 import job_pb2, watch_pb2


class JobState(Enum):
    """Where a job stands."""

    RUNNING = 1
    """Entries are being queried."""
    CANCELLING = 2
    """It was cancelled, and open orders are being closed."""
    COMPLETED = 3
    """Every entry has its result."""
    CANCELLED = 4
    """It was cancelled, and every entry has its result."""


@dataclass(frozen=True)
class Job:
    """A job."""

    id: str
    state: JobState
    entries: int
    """Enterprises in all."""
    done: int
    """Those that have a result."""
    counts: job_pb2.JobCounts
    """How many came out how."""
    acknowledged: int
    """Results up to this one were acknowledged; 0 for none."""
    started_at: datetime
    ended_at: datetime | None
    """When every entry had its result; none before."""

    @property
    def has_ended(self) -> bool:
        """Whether every entry has its result."""
        return self.state in (JobState.COMPLETED, JobState.CANCELLED)


class JobOutcome(Enum):
    """What came of one entry."""

    REPORT = 1
    """An order was placed and answered."""
    REFUSED = 2
    """The query was refused, which is on record."""
    FAILED = 3
    """It could not be carried out, though it was tried again."""
    INVALID = 4
    """The entry is faulty, and nothing was asked."""
    DUPLICATE = 5
    """An earlier entry has the same code. Nothing was asked."""
    CANCELLED = 6
    """The job was cancelled before an answer came."""


@dataclass(frozen=True)
class JobResult:
    """What came of one entry."""

    sequence: int
    """Its place among the results, from 1: what to acknowledge, and to go on after."""
    entry: int
    """Which entry of the request, from 0."""
    uscc: str
    """The entry's code, as it was given."""
    outcome: JobOutcome
    report: Report | None
    """The report, if one was made; none once it was acknowledged."""
    reason: str
    """Reason code of a refusal, a failure or a fault; otherwise empty."""
    message: str
    """The same for people."""
    order: bytes
    """Id of the order, 32 bytes; empty if none was placed."""
    duplicate_of: int | None
    """Of a duplicate, the entry that has the same code."""


class What(Enum):
    """What happened to what a source has of an enterprise."""

    REGISTERED = 1
    """Registered for the first time."""
    SUPERSEDED = 2
    """It took the place of an earlier one."""
    WITHDRAWN = 3
    """The source no longer holds anything of the enterprise."""


@dataclass(frozen=True)
class Change:
    """One change."""

    entry: int
    """Place of the code in the request, from 0."""
    uscc: str
    source: str
    source_name: str
    what: What
    version: int
    """Which registration it is, counted from 1."""
    as_of: date | None
    """As-of date; none of one that was withdrawn."""
    height: int
    """Height of the block in which it happened."""


@dataclass(frozen=True)
class Changes:
    """Some changes."""

    changes: tuple[Change, ...]
    """Empty in a message that only tells how far things were told."""
    through_height: int | None
    """All changes up to this height were told: what to give as ``after_height`` the next time. None while more of the
    same height follow."""
    without_grant: tuple[int, ...]
    """In the first one: places of the enterprises that have no live grant now, and are told of once they have."""


def _time(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, timezone.utc)


def read_job(wire: job_pb2.Job) -> Job:
    """Reads a job as it travels."""
    try:
        state = JobState(int(wire.state))
    except ValueError as fault:
        raise Broken.of("MESSAGE_MALFORMED", "a job's state") from fault
    return Job(
        id=wire.job_id,
        state=state,
        entries=wire.counts.entries,
        done=wire.counts.done,
        counts=wire.counts,
        acknowledged=wire.acknowledged,
        started_at=_time(wire.started_at_ms),
        ended_at=_time(wire.ended_at_ms) if wire.ended_at_ms else None,
    )


def read_result(wire: job_pb2.JobResult) -> JobResult:
    """Reads a result as it travels."""
    try:
        outcome = JobOutcome(int(wire.outcome))
    except ValueError as fault:
        raise Broken.of("MESSAGE_MALFORMED", "outcome of a job's entry") from fault
    return JobResult(
        sequence=wire.sequence,
        entry=wire.entry,
        uscc=wire.uscc,
        outcome=outcome,
        report=read_report(wire.report) if wire.HasField("report") else None,
        reason=wire.reason,
        message=wire.message,
        order=wire.order,
        duplicate_of=wire.duplicate_of if outcome is JobOutcome.DUPLICATE else None,
    )


def _change(wire: watch_pb2.PortfolioChange) -> Change:
    try:
        what = What(int(wire.change))
        as_of = EPOCH + timedelta(days=wire.as_of_day) if what is not What.WITHDRAWN else None
    except (ValueError, OverflowError) as fault:
        raise Broken.of("MESSAGE_MALFORMED", "a change") from fault
    return Change(
        entry=wire.entry,
        uscc=wire.uscc,
        source=wire.source,
        source_name=wire.source_name,
        what=what,
        version=wire.version,
        as_of=as_of,
        height=wire.height,
    )


def read_changes(wire: watch_pb2.WatchPortfolioResponse) -> Changes:
    """Reads changes as they travel."""
    return Changes(
        changes=tuple(_change(change) for change in wire.changes),
        through_height=wire.through_height or None,
        without_grant=tuple(wire.without_grant),
    )


# The values are the contract's; should it give them other names, this fails when the module is loaded.
assert all(job_pb2.JobState.Name(state.value) == f"JOB_STATE_{state.name}" for state in JobState)
assert all(job_pb2.JobOutcome.Name(outcome.value) == f"JOB_OUTCOME_{outcome.name}" for outcome in JobOutcome)
assert all(watch_pb2.DigestChange.Name(what.value) == f"DIGEST_CHANGE_{what.name}" for what in What)
