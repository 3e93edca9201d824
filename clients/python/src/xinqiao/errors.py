"""Why a call brought nothing, by what the caller can do about it: the same classes as in the Rust library.

================  =====================  ==========================================================================
exception         ``class_name``         what to do
================  =====================  ==========================================================================
ConsentRefused    refused_consent        obtain consent that covers the query; the refusal is on the ledger
PermissionRefused refused_permission     have the user, the role or the institution allowed to do it
StateRefused      refused_state          look up what it is about: it does not exist, or not in the state it takes
BadInput          bad_input              correct ``fields``; nothing was done
TryLater          try_later              the same again after ``after`` seconds; nothing was done
Broken            broken                 use nothing of it, and tell the regulator or the operator
Unavailable       unavailable            the same again with the same ``request_id``: whether it was done is unknown
================  =====================  ==========================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NoReturn

import grpc
from google.rpc import error_details_pb2, status_pb2
from typing_extensions import Self

DOMAIN = "xinqiao"
DEFAULT_DELAY = 1.0
PASSING = frozenset(
    {"MEMPOOL_FULL", "QUOTA_EXCEEDED", "TOO_MANY_WAITING", "STATE_FULL", "NODE_SYNCING", "DELIVERY_NOT_FINAL"}
)
"""Reasons that pass by themselves, whatever their gRPC code."""

OWN = {
    "FIELD_FORMAT": (
        "A field's value has not the form it must have.",
        "字段的值格式不正确。请按违规说明给出的格式填写。",
    ),
    "MESSAGE_TOO_LARGE": (
        "A message is larger than the transport limit.",
        "消息超过传输上限。请把内容拆分为多条不超过上限的消息。",
    ),
    "MESSAGE_MALFORMED": (
        "The message is not a valid protobuf encoding of its type.",
        "消息不是该类型的有效 protobuf 编码。请用已发布的 .proto 文件生成客户端，并发送其编码结果。",
    ),
    "METHOD_UNKNOWN": (
        "This server has no such method.",
        "本服务没有这个方法。请检查服务名和方法名，并确认连接的是正确的进程。",
    ),
    "DEADLINE": (
        "The call was not answered within its deadline.",
        "请求未在时限内完成。请放宽时限后重试；已提交的内容可按标识查询。",
    ),
    "UPSTREAM_UNAVAILABLE": (
        "A process that is needed for the answer cannot be reached.",
        "完成请求所需的进程无法连接。请稍后重试；若持续失败，请运维人员查看日志中失败的地址。",
    ),
    "ITEM_MISMATCH": (
        "A delivered item does not lead to the root that the source had registered.",
        "交付的信息项与数据源登记的根不符。请勿使用该信息项；账本已记录此不一致供监管查看。",
    ),
}
"""Reasons that this library gives by itself, in the words of the product's table: English, Chinese."""


@dataclass(frozen=True)
class BadField:
    """A field that breaks a rule."""

    field: str
    """Its path as in the .proto file: ``items[2]``."""
    rule: str
    """The rule with its numbers. It does not repeat the value."""


@dataclass(frozen=True)
class Detail:
    """What is known of a failure."""

    reason: str
    """The stable reason code of docs/errors.md; empty if whoever answered gave none."""
    english: str
    """What happened, in English."""
    chinese: str
    """What happened and what to do, in Chinese; empty if nobody said."""
    help: str
    """Where it is explained: ``docs/errors.md#...``; empty without a reason."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """Named facts, such as ``tx_id`` of a refusal that is on the ledger, and ``trace_id``."""
    grpc_code: str = ""
    """Name of the gRPC status code; empty if this library found it out by itself."""


class Error(Exception):
    """Why a call brought nothing."""

    class_name = ""
    """The class in one word, as in docs/integrating.md and in the Rust library."""

    def __init__(self, detail: Detail) -> None:
        super().__init__(f"{detail.reason}: {detail.english}" if detail.reason else detail.english)
        self.detail = detail

    @classmethod
    def of(cls, reason: str, because: str) -> Self:
        """One that this library found out by itself, with a reason of :data:`OWN`."""
        return cls(_own(reason, because))

    @property
    def reason(self) -> str:
        """The stable reason code."""
        return self.detail.reason


class Refused(Error):
    """The answer is no, and stays no until something else changes. A refused query is on the ledger."""


class ConsentRefused(Refused):
    """There is no live consent that covers it."""

    class_name = "refused_consent"


class PermissionRefused(Refused):
    """Institution, user, role or purpose may not do it."""

    class_name = "refused_permission"


class StateRefused(Refused):
    """What it is about does not exist, or is in a state that does not allow it."""

    class_name = "refused_state"


class BadInput(Error):
    """The request breaks a rule: it has to be changed. Nothing was done."""

    class_name = "bad_input"

    def __init__(self, detail: Detail, fields: tuple[BadField, ...] = ()) -> None:
        super().__init__(detail)
        self.fields = fields


class TryLater(Error):
    """The same request is worth another try after ``after`` seconds. Nothing was done."""

    class_name = "try_later"

    def __init__(self, detail: Detail, after: float = DEFAULT_DELAY) -> None:
        super().__init__(detail)
        self.after = after


class Broken(Error):
    """What came is not what was registered or recorded, or cannot be read. Use nothing of it."""

    class_name = "broken"

class Unavailable(Error):
    """No answer came in time, or something failed on the way. Whether an order was placed is not known: repeat the
    request with the same ``request_id``, and it is not placed a second time."""

    class_name = "unavailable"


def _own(reason: str, because: str, grpc_code: str = "") -> Detail:
    english, chinese = OWN[reason]
    if because:
        english = f"{english} ({because})"
    return Detail(reason, english, chinese, f"docs/errors.md#{reason.lower()}", {}, grpc_code)


def bad_argument(name: str, rule: str) -> BadInput:
    """An argument that cannot be sent at all."""
    return BadInput(_own("FIELD_FORMAT", f"{name}: {rule}"), (BadField(name, rule),))


def raise_from(error: grpc.RpcError) -> NoReturn:
    """Raises a failed call as one of this module's exceptions."""
    raise read(error.code().name, error.details() or "", _status_bytes(error)) from error


def _status_bytes(error: grpc.RpcError) -> bytes | None:
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin" and isinstance(value, bytes):
            return value
    return None


def read(code: str, message: str, status: bytes | None) -> Error:
    """What a gRPC status means: the name of its code, its message, and its serialized ``google.rpc.Status``."""
    info = None
    fields: tuple[BadField, ...] = ()
    after: float | None = None
    chinese, help_link = "", ""
    for packed in status_pb2.Status.FromString(status).details if status else ():
        if packed.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            found = error_details_pb2.ErrorInfo()
            packed.Unpack(found)
            info = found if found.domain == DOMAIN else info
        elif packed.Is(error_details_pb2.BadRequest.DESCRIPTOR):
            bad = error_details_pb2.BadRequest()
            packed.Unpack(bad)
            fields = tuple(BadField(violation.field, violation.description) for violation in bad.field_violations)
        elif packed.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            retry = error_details_pb2.RetryInfo()
            packed.Unpack(retry)
            after = retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9
        elif packed.Is(error_details_pb2.LocalizedMessage.DESCRIPTOR):
            localized = error_details_pb2.LocalizedMessage()
            packed.Unpack(localized)
            chinese = localized.message
        elif packed.Is(error_details_pb2.Help.DESCRIPTOR):
            links = error_details_pb2.Help()
            packed.Unpack(links)
            help_link = links.links[0].url if links.links else ""
    if info is None:
        return _bare(code, message)
    detail = Detail(info.reason, message, chinese, help_link, dict(info.metadata), code)
    return _classed(code, detail, fields, after)


def _classed(code: str, detail: Detail, fields: tuple[BadField, ...], after: float | None) -> Error:
    """A status that carries a reason of ours; reasons of a later version are classed by their gRPC code."""
    reason = detail.reason
    if after is not None or reason in PASSING:
        return TryLater(detail, DEFAULT_DELAY if after is None else after)
    if reason.startswith("CONSENT_"):
        return ConsentRefused(detail)
    if code in ("INVALID_ARGUMENT", "OUT_OF_RANGE", "UNIMPLEMENTED") or reason == "MESSAGE_TOO_LARGE":
        return BadInput(detail, fields)
    if code in ("PERMISSION_DENIED", "UNAUTHENTICATED"):
        return PermissionRefused(detail)
    if code in ("NOT_FOUND", "ALREADY_EXISTS", "FAILED_PRECONDITION", "RESOURCE_EXHAUSTED", "CANCELLED"):
        return StateRefused(detail)
    if code == "ABORTED":
        return TryLater(detail)
    if code == "DATA_LOSS":
        return Broken(detail)
    return Unavailable(detail)


def _bare(code: str, message: str) -> Error:
    """A status of gRPC itself: no connection, a passed deadline, a message that is too large, another server."""
    lower = message.lower()
    if code in ("OUT_OF_RANGE", "RESOURCE_EXHAUSTED") and ("too large" in lower or "larger than max" in lower):
        return BadInput(_own("MESSAGE_TOO_LARGE", message, code))
    if code == "UNIMPLEMENTED":
        return BadInput(_own("METHOD_UNKNOWN", message, code))
    if code == "INTERNAL" and ("decode protobuf message" in lower or "deserializing" in lower):
        return Broken(_own("MESSAGE_MALFORMED", message, code))
    if code == "DEADLINE_EXCEEDED" or (code == "CANCELLED" and "timeout expired" in lower):
        return Unavailable(_own("DEADLINE", message, code))
    return Unavailable(_own("UPSTREAM_UNAVAILABLE", message, code))
