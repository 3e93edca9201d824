"""A report as an application reads it: what each source delivered, contradicted and did not deliver.

Nothing is merged or chosen here: every source's version of an item is a :class:`Section`, and which of them to believe is
for the reader. An answer that does not have the form of the contract is :class:`Broken` as a whole.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from enum import Enum
from typing import Any

from .errors import Broken
from .proof import MAX_PATH, Proof
from .v1 import block_pb2, report_pb2

EPOCH = date(1970, 1, 1)


class Extent(Enum):
    """How much of an item came."""

    COMPLETE = 1
    """From every source that holds it."""
    PARTIAL = 2
    """From some of the sources that hold it."""
    FAILED = 3
    """From none of the sources that hold it."""
    NOT_HELD = 4
    """No source holds it for this enterprise."""


class PartStatus(Enum):
    """Where a source's part of an order stands."""

    PLACED = 1
    """Placed; the source has not answered."""
    ACCEPTED = 2
    """Taken up by the source."""
    DELIVERED = 3
    """Delivery is recorded, and nothing more was heard within the time."""
    CONFIRMED = 4
    """Opened and found right."""
    MISMATCHED = 5
    """Opened and found wrong: what came was thrown away, and the mismatch is on the ledger."""
    REJECTED = 6
    """Refused by the source."""
    EXPIRED = 7
    """The source missed the deadline."""
    CANCELLED = 8
    """Withdrawn by the institution."""
    CONSENT_REVOKED = 9
    """Consent was gone when delivery was to be recorded."""


@dataclass(frozen=True)
class Objection:
    """An objection (异议) that stood against an item when its delivery was recorded."""

    id: bytes
    """Its id on the ledger, 32 bytes."""
    filed_at: datetime
    unresolved: bool
    """Whether it was looked into and could not be resolved; otherwise that has not ended."""


@dataclass(frozen=True)
class Fault:
    """One thing that does not conform to the catalogue. It is shown all the same."""

    path: str
    """Where: ``entries[3].amount``; empty for the item as a whole."""
    code: str
    """What, for programs: ``TYPE``, ``RANGE``, ``UNKNOWN_CODE`` ..."""
    message: str
    """What, for people, in English."""


@dataclass(frozen=True)
class Section:
    """One item, from one source."""

    item: str
    """Item code."""
    name_zh: str
    name_en: str
    source: str
    """Id of the source."""
    source_name: str
    as_of: date
    """As-of date."""
    json: str
    """The item in canonical JSON (RFC 8785), as the source registered it."""
    proof: Proof
    """What proves that; the agent has checked it, and :meth:`verify` does again."""
    stale: bool
    """Whether it was out of date when it was asked for."""
    objections: tuple[Objection, ...]
    """Objections of the enterprise that stood against it when its delivery was recorded, as the ledger says."""
    faults: tuple[Fault, ...]
    """What does not conform to the catalogue."""

    def verify(self) -> None:
        """Follows the path from the section's bytes to its root; raises :class:`Broken` if it does not lead there."""
        self.proof.check(self.item, self.json)

    def content(self) -> dict[str, Any]:
        """Its content: the item's fields, or the one member ``entries``."""
        try:
            content = json.loads(self.json)
        except ValueError as fault:
            raise Broken.of("MESSAGE_MALFORMED", "content of a section") from fault
        if not isinstance(content, dict):
            raise Broken.of("MESSAGE_MALFORMED", "content of a section")
        return content


@dataclass(frozen=True)
class Conflict:
    """Something that sources say differently."""

    about: str
    """What the record is about, as JSON; empty where there is but one record."""
    field: str
    """The field; empty when it is about whether there is such an entry at all."""
    values: tuple[tuple[Section, str], ...]
    """Who says what, as JSON; empty for one who says nothing."""


@dataclass(frozen=True)
class Part:
    """What became of one source's part."""

    source: str
    source_name: str
    items: tuple[str, ...]
    """Item codes that it was to deliver."""
    status: PartStatus
    reason: str
    """Reason code (docs/errors.md), if it did not come; otherwise empty."""
    elapsed: timedelta
    """From placing the order to the opened delivery; zero if nothing came."""


@dataclass(frozen=True)
class Item:
    """One item, from whatever sources it came."""

    code: str
    name_zh: str
    name_en: str
    extent: Extent
    sections: tuple[Section, ...]
    """Its versions, one a source; none is preferred."""
    failed_parts: tuple[Part, ...]
    """Those that were to bring it and did not."""
    conflicts: tuple[Conflict, ...]
    """What sources say differently; at most 64."""
    more_conflicts: bool
    """Whether there are more conflicts than those."""


@dataclass(frozen=True)
class Report:
    """A report."""

    order: bytes
    """Id of the order on the ledger, 32 bytes."""
    grant: bytes
    """The grant that was used, 32 bytes."""
    institution: str
    items: tuple[Item, ...]
    """The items asked for, in the order of the catalogue."""
    sections: tuple[Section, ...]
    """Their versions, by item and then by source."""
    parts: tuple[Part, ...]
    """What became of each source's part."""
    missing_items: tuple[str, ...]
    """Codes of items that no source holds for this enterprise."""
    catalogue_version: int
    placed_at_height: int
    asked_at: datetime
    """By the agent's clock, UTC."""
    elapsed: timedelta

    @property
    def is_complete(self) -> bool:
        """Whether every part came and was found right."""
        return all(part.status is PartStatus.CONFIRMED for part in self.parts)

    def versions(self, item: str) -> Iterator[Section]:
        """The versions of one item, one a source."""
        return (section for section in self.sections if section.item == item)

    def verify(self) -> int:
        """Follows every section's path to its root, without the agent; gives how many there are. Raises
        :class:`Broken` with the first that does not lead there."""
        for section in self.sections:
            section.verify()
        return len(self.sections)


def _id(value: bytes, what: str) -> bytes:
    if len(value) != 32:
        raise Broken.of("MESSAGE_MALFORMED", f"{what} has not 32 bytes")
    return value


def _proof(wire: report_pb2.ItemProof) -> Proof:
    siblings = tuple(_id(sibling, "sibling") for sibling in wire.path.siblings)
    if not wire.HasField("path") or len(siblings) > MAX_PATH:
        raise Broken.of("MESSAGE_MALFORMED", "path of a proof")
    return Proof(
        salt=_id(wire.salt, "salt"),
        index=wire.path.index,
        size=wire.path.size,
        siblings=siblings,
        root=_id(wire.root, "root"),
        registered_at_height=wire.registered_at_height,
    )


def _section(wire: report_pb2.ReportSection) -> Section:
    if not wire.HasField("proof"):
        raise Broken.of("MESSAGE_MALFORMED", "a section without proof")
    try:
        as_of = EPOCH + timedelta(days=wire.as_of_day)
    except OverflowError as fault:
        raise Broken.of("MESSAGE_MALFORMED", "as-of date of a section") from fault
    return Section(
        item=wire.item,
        name_zh=wire.name_zh,
        name_en=wire.name_en,
        source=wire.source,
        source_name=wire.source_name,
        as_of=as_of,
        json=wire.json,
        proof=_proof(wire.proof),
        stale=wire.stale,
        objections=tuple(
            Objection(mark.objection, datetime.fromtimestamp(mark.filed_at_ms / 1000, timezone.utc), mark.unresolved)
            for mark in wire.objections
        ),
        faults=tuple(Fault(fault.path, fault.code, fault.message) for fault in wire.faults),
    )


def _part(wire: report_pb2.PartOutcome) -> Part:
    try:
        status = PartStatus(int(wire.status))
    except ValueError as fault:
        raise Broken.of("MESSAGE_MALFORMED", "a part's status") from fault
    return Part(
        source=wire.source,
        source_name=wire.source_name,
        items=tuple(wire.items),
        status=status,
        reason=wire.reason,
        elapsed=timedelta(microseconds=wire.elapsed_us),
    )


def _item(wire: report_pb2.ReportItem, sections: Sequence[Section], parts: Sequence[Part]) -> Item:
    try:
        return Item(
            code=wire.item,
            name_zh=wire.name_zh,
            name_en=wire.name_en,
            extent=Extent(int(wire.status)),
            sections=tuple(sections[at] for at in wire.sections),
            failed_parts=tuple(parts[at] for at in wire.failed_parts),
            conflicts=tuple(
                Conflict(
                    about=conflict.about,
                    field=conflict.field,
                    values=tuple((sections[value.section], value.json) for value in conflict.values),
                )
                for conflict in wire.conflicts
            ),
            more_conflicts=wire.more_conflicts,
        )
    except (IndexError, ValueError) as fault:
        raise Broken.of("MESSAGE_MALFORMED", "an item of a report") from fault


def read_report(wire: report_pb2.QueryReportResponse) -> Report:
    """Reads a report as it travels."""
    sections = tuple(_section(section) for section in wire.sections)
    parts = tuple(_part(part) for part in wire.parts)
    return Report(
        order=_id(wire.order, "order"),
        grant=_id(wire.grant, "grant"),
        institution=wire.institution,
        items=tuple(_item(item, sections, parts) for item in wire.items),
        sections=sections,
        parts=parts,
        missing_items=tuple(wire.missing_items),
        catalogue_version=wire.catalogue_version,
        placed_at_height=wire.placed_at_height,
        asked_at=datetime.fromtimestamp(wire.asked_at_ms / 1000, timezone.utc),
        elapsed=timedelta(microseconds=wire.elapsed_us),
    )


# The values are the contract's; should it give them other names, this fails when the module is loaded.
assert all(block_pb2.PartStatus.Name(status.value) == f"PART_STATUS_{status.name}" for status in PartStatus)
assert all(report_pb2.ItemStatus.Name(extent.value) == f"ITEM_STATUS_{extent.name}" for extent in Extent)
