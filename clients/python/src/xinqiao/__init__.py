"""Asks an institution's XinQiao agent for credit reports of enterprises, and checks them.

``Client`` asks, ``Report`` is what comes, ``Report.verify()`` follows every item to the root that its source had registered,
and the exceptions are classed by what a caller can do. docs/integrating.md takes an integrator through it.
"""

from .catalogue import Catalogue, Grant, GrantStatus, Named, Source
from .client import Client
from .errors import (
    BadField,
    BadInput,
    Broken,
    ConsentRefused,
    Detail,
    Error,
    PermissionRefused,
    Refused,
    StateRefused,
    TryLater,
    Unavailable,
)
from .job import Change, Changes, Job, JobOutcome, JobResult, JobState, What
from .proof import Proof
from .report import Conflict, Extent, Fault, Item, Objection, Part, PartStatus, Report, Section

__all__ = [
    "BadField",
    "BadInput",
    "Broken",
    "Catalogue",
    "Change",
    "Changes",
    "Client",
    "Conflict",
    "ConsentRefused",
    "Detail",
    "Error",
    "Extent",
    "Fault",
    "Grant",
    "GrantStatus",
    "Item",
    "Job",
    "JobOutcome",
    "JobResult",
    "JobState",
    "Named",
    "Objection",
    "Part",
    "PartStatus",
    "PermissionRefused",
    "Proof",
    "Refused",
    "Report",
    "Section",
    "Source",
    "StateRefused",
    "TryLater",
    "Unavailable",
    "What",
]
