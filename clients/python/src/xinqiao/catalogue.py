"""What can be asked for, and with whose consent: the catalogue, the sources and an enterprise's grants."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from enum import Enum

from .errors import Broken
from .v1 import block_pb2, ledger_pb2, report_pb2


@dataclass(frozen=True)
class Named:
    """An item, a group or a purpose of the catalogue."""

    code: str
    name_zh: str
    name_en: str


@dataclass(frozen=True)
class Source:
    """A source."""

    id: str
    name: str
    in_service: bool
    subjects: int
    """Number of enterprises with a registered digest."""


@dataclass(frozen=True)
class Catalogue:
    """The catalogue in force and the sources."""

    version: int
    items: tuple[Named, ...]
    purposes: tuple[Named, ...]
    sources: tuple[Source, ...]


class GrantStatus(Enum):
    """Where a grant stands."""

    REQUESTED = 1
    """Asked for, not answered."""
    ACTIVE = 2
    """In force."""
    PAUSED = 3
    """Paused by the enterprise."""
    REVOKED = 4
    """Revoked by the enterprise."""
    EXPIRED = 5
    """Its time is over."""
    EXHAUSTED = 6
    """Its uses are spent."""
    DECLINED = 7
    """The request was declined."""
    LAPSED = 8
    """The request lapsed unanswered."""


@dataclass(frozen=True)
class Grant:
    """An enterprise's consent to this institution."""

    id: bytes
    """32 bytes."""
    status: GrantStatus
    purposes: tuple[str, ...]
    items: tuple[str, ...]
    valid_from: datetime
    """First moment at which it may be used, UTC."""
    valid_until: datetime
    """First moment at which it may no longer be used, UTC."""
    max_uses: int
    uses_taken: int
    """Uses spent, and held by orders that are still open."""


def read_catalogue(wire: report_pb2.ListCatalogueResponse) -> Catalogue:
    """Reads the catalogue as it travels."""

    return Catalogue(
        version=wire.catalogue.version,
        items=tuple(Named(item.code, item.name_zh, item.name_en) for item in wire.catalogue.items),
        purposes=tuple(Named(purpose.code, purpose.name_zh, purpose.name_en) for purpose in wire.catalogue.purposes),
        sources=tuple(
            Source(
                state.source.source,
                state.source.name,
                state.status == block_pb2.SOURCE_STATUS_ACTIVE,
                state.subjects,
            )
            for state in wire.sources
        ),
    )


def read_grant(wire: ledger_pb2.GrantState) -> Grant:
    """Reads a grant as it travels."""
    if len(wire.grant) != 32 or not wire.HasField("terms"):
        raise Broken.of("MESSAGE_MALFORMED", "a grant")
    try:
        return Grant(
            id=wire.grant,
            status=GrantStatus(int(wire.status)),
            purposes=tuple(wire.terms.purposes),
            items=tuple(wire.terms.items),
            valid_from=datetime.fromtimestamp(wire.terms.valid_from_ms / 1000, timezone.utc),
            valid_until=datetime.fromtimestamp(wire.terms.valid_until_ms / 1000, timezone.utc),
            max_uses=wire.terms.max_uses,
            uses_taken=wire.uses_spent + wire.uses_reserved,
        )
    except (ValueError, OverflowError, OSError) as fault:
        raise Broken.of("MESSAGE_MALFORMED", "a grant") from fault


# The values are the contract's; should it give them other names, this fails when the module is loaded.
assert all(block_pb2.ConsentStatus.Name(status.value) == f"CONSENT_STATUS_{status.name}" for status in GrantStatus)
