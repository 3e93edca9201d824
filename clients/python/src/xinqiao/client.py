"""The connection to the agent: deadlines, repetitions, and every call in types."""

from __future__ import annotations

import ipaddress
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, TypeVar
from urllib.parse import urlsplit

import grpc

from .catalogue import Catalogue, Grant, read_catalogue, read_grant
from .errors import Error, TryLater, Unavailable, bad_argument, raise_from
from .job import Changes, Job, JobResult, read_changes, read_job, read_result
from .report import Report, read_report
from .v1 import job_pb2, job_pb2_grpc, report_pb2, report_pb2_grpc, watch_pb2, watch_pb2_grpc

MAX_MESSAGE_BYTES = 20 * 1024 * 1024
"""The largest message that the agent sends."""

BEYOND_SOURCES = 5.0
"""How many seconds a query may take beyond the time of its sources."""

TRIES = 5
AWAY = 60.0
"""How many seconds the agent may be away before following or watching gives up."""

Answer = TypeVar("Answer")


class Client:
    """A client of the agent on this machine; it connects with the first call, and threads may share it.

    ``with Client("http://127.0.0.1:9300") as client: report = client.query(uscc, purpose="loan_approval", user="clerk-7")``
    """

    def __init__(self, agent: str, *, patience: float = 30.0) -> None:
        """``agent`` is ``http://127.0.0.1:port`` (or just ``127.0.0.1:port``), ``patience`` how many seconds a call other
        than a query may take in all. Raises :class:`BadInput` for an address that is not of this machine: what is
        spoken here is plain."""
        self._patience = patience
        self._channel = grpc.insecure_channel(
            _address(agent),
            options=[
                ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
                ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
                ("grpc.keepalive_time_ms", 20_000),
                ("grpc.keepalive_timeout_ms", 10_000),
                ("grpc.max_reconnect_backoff_ms", 2_000),
                # Repetitions are decided here, where it is known what is safe to repeat.
                ("grpc.enable_retries", 0),
                # A proxy of the environment has nothing to do with a connection within this machine.
                ("grpc.enable_http_proxy", 0),
            ],
        )
        self._reports = report_pb2_grpc.ReportServiceStub(self._channel)
        self._jobs = job_pb2_grpc.JobServiceStub(self._channel)
        self._portfolios = watch_pb2_grpc.PortfolioServiceStub(self._channel)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection, and with it what is being followed or watched."""
        self._channel.close()

    def query(
        self,
        uscc: str,
        *,
        purpose: str,
        user: str,
        items: Iterable[str] = (),
        grant: bytes = b"",
        branch: str = "",
        sources_within: float = 10.0,
        request_id: str = "",
    ) -> Report:
        """Queries one enterprise, by its unified social credit code, and waits for all that its sources deliver within
        ``sources_within`` seconds (0.1 to 86,400). Partial reports are normal: ``parts`` says what did not come.

        ``purpose`` and ``items`` are codes of the catalogue; without ``items`` it is all that the grant covers.
        ``user`` is who asks, of whom only a pseudonym leaves the agent. Without ``grant`` the newest live one is used.
        Under a ``request_id`` (1 to 64 visible ASCII characters) the same query can be repeated, even by another
        process, without being placed twice; without one the library makes one up for its own repetitions.
        """
        request = report_pb2.QueryReportRequest(
            uscc=uscc,
            items=list(items),
            purpose=purpose,
            grant=grant,
            user=user,
            deadline_ms=_milliseconds("sources_within", sources_within),
            branch=branch,
            request_id=request_id or uuid.uuid4().hex,
        )
        return read_report(self._call(self._reports.QueryReport, request, sources_within + BEYOND_SOURCES))

    def catalogue(self) -> Catalogue:
        """The catalogue in force and the sources: what can be asked for, and why."""
        return read_catalogue(self._call(self._reports.ListCatalogue, report_pb2.ListCatalogueRequest()))

    def grants(self, uscc: str) -> tuple[Grant, ...]:
        """An enterprise's grants to this institution, oldest first."""
        answer = self._call(self._reports.ListGrants, report_pb2.ReportServiceListGrantsRequest(uscc=uscc))
        return tuple(read_grant(grant) for grant in answer.grants)

    def request_grant(
        self,
        uscc: str,
        *,
        purposes: Iterable[str],
        items: Iterable[str],
        valid_days: int,
        max_uses: int,
        data_life_days: int,
        lapses_after_days: int,
    ) -> bytes:
        """Asks an enterprise for consent; gives the id that the grant will have. It is not repeated by itself: a second
        request would be a second one."""
        request = report_pb2.RequestGrantRequest(
            uscc=uscc,
            purposes=list(purposes),
            items=list(items),
            valid_days=valid_days,
            max_uses=max_uses,
            data_life_days=data_life_days,
            lapses_after_days=lapses_after_days,
        )
        return bytes(self._once(self._reports.RequestGrant, request, self._patience).grant)

    def start_job(
        self,
        usccs: Iterable[str],
        *,
        purpose: str,
        user: str,
        items: Iterable[str] = (),
        branch: str = "",
        sources_within: float = 10.0,
        job_id: str = "",
    ) -> Job:
        """Starts a job about 1 to 10,000 enterprises. Repeated with the same id and content it is the same job; without
        an id the library makes one up."""
        request = job_pb2.StartJobRequest(
            job_id=job_id or uuid.uuid4().hex,
            entries=[job_pb2.JobEntry(uscc=uscc) for uscc in usccs],
            items=list(items),
            purpose=purpose,
            user=user,
            branch=branch,
            deadline_ms=_milliseconds("sources_within", sources_within),
        )
        return read_job(self._call(self._jobs.StartJob, request).job)

    def follow_job(
        self, job_id: str, *, after: int = 0, without_reports: bool = False
    ) -> Iterator[JobResult | Job]:
        """Follows a job: its results after that one (0 for all) in the order in which they come, and how the job stands
        in between. Ends when the job has ended and all was told; goes on by itself when the connection is lost."""
        request = job_pb2.FollowJobRequest(job_id=job_id, after=after, without_reports=without_reports)
        lost = _Lost()
        ended = False
        while True:
            try:
                for message in self._jobs.FollowJob(request):
                    lost.found()
                    if message.HasField("result"):
                        result = read_result(message.result)
                        request.after = result.sequence
                        yield result
                    if message.HasField("job"):
                        job = read_job(message.job)
                        ended = job.has_ended
                        yield job
                if ended:
                    return
                lost.ended()
            except grpc.RpcError as error:
                lost.again(error)

    def acknowledge_job(self, job_id: str, through: int) -> Job:
        """Says that results up to this one have arrived for good; the agent deletes their reports."""
        request = job_pb2.AcknowledgeJobRequest(job_id=job_id, through=through)
        return read_job(self._call(self._jobs.AcknowledgeJob, request).job)

    def cancel_job(self, job_id: str) -> Job:
        """Ends a job early."""
        return read_job(self._call(self._jobs.CancelJob, job_pb2.CancelJobRequest(job_id=job_id)).job)

    def job(self, job_id: str) -> Job:
        """How a job stands."""
        return read_job(self._call(self._jobs.GetJob, job_pb2.GetJobRequest(job_id=job_id)).job)

    def jobs(self) -> tuple[Job, ...]:
        """The jobs that the agent has, newest first."""
        return tuple(read_job(job) for job in self._call(self._jobs.ListJobs, job_pb2.ListJobsRequest()).jobs)

    def drop_job(self, job_id: str) -> None:
        """Deletes a job that has ended, with its entries and results."""
        self._once(self._jobs.DropJob, job_pb2.DropJobRequest(job_id=job_id), self._patience)

    def watch(self, usccs: Iterable[str], *, user: str, after_height: int = 0) -> Iterator[Changes]:
        """Watches 1 to 10,000 enterprises: tells when a source registers, supersedes or withdraws what it has of one that
        has given consent. It does not end by itself. When the connection is lost it goes on after the last height that
        was told in whole, so a change may come twice then."""
        request = watch_pb2.WatchPortfolioRequest(usccs=list(usccs), user=user, after_height=after_height)
        lost = _Lost()
        while True:
            try:
                for message in self._portfolios.WatchPortfolio(request):
                    lost.found()
                    if message.through_height:
                        request.after_height = message.through_height
                    yield read_changes(message)
                lost.ended()
            except grpc.RpcError as error:
                lost.again(error)

    def _call(self, method: Callable[..., Any], request: Any, within: float | None = None) -> Any:
        """A call that may be repeated."""
        until = time.monotonic() + (self._patience if within is None else within)
        tries = 0
        while True:
            tries += 1
            try:
                return self._once(method, request, until - time.monotonic())
            except Error as error:
                pause = _pause(error, tries)
                if pause is None or tries >= TRIES or time.monotonic() + pause >= until:
                    raise
            time.sleep(pause)

    @staticmethod
    def _once(method: Callable[..., Answer], request: object, within: float) -> Answer:
        try:
            return method(request, timeout=max(within, 0.001))
        except grpc.RpcError as error:
            raise_from(error)


class _Lost:
    """A stream that was lost: whether and when it is begun again."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._tries = 0

    def found(self) -> None:
        """Something came."""
        self._since, self._tries = None, 0

    def ended(self) -> None:
        """The other end closed what has not come to its end: it has stopped in order."""
        self._wait(0.5, Unavailable.of("UPSTREAM_UNAVAILABLE", "the agent has stopped"))

    def again(self, error: grpc.RpcError) -> None:
        """Waits until it is worth another try; raises if it is not."""
        try:
            raise_from(error)
        except Error as fault:
            pause = _pause(fault, min(self._tries + 1, 5))
            if pause is None:
                raise
            self._wait(pause, fault)

    def _wait(self, pause: float, fault: Error) -> None:
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        self._tries += 1
        if now + pause > self._since + AWAY:
            raise fault
        time.sleep(pause)


def _pause(error: Error, tries: int) -> float | None:
    """How long to wait before the next try; None if it would end alike."""
    if isinstance(error, TryLater):
        return error.after
    # It is the connection that failed, or somebody behind the agent who could not be reached.
    if isinstance(error, Unavailable) and error.detail.grpc_code == "UNAVAILABLE":
        return min(0.1 * 2.0 ** (tries - 1), 2.0)
    return None


def _milliseconds(name: str, seconds: float) -> int:
    milliseconds = round(seconds * 1000)
    if not 0 < milliseconds < 2**32:
        raise bad_argument(name, "0.1 to 86,400 seconds")
    return milliseconds


def _address(agent: str) -> str:
    """``host:port`` of an address of this machine."""
    parts = urlsplit(agent if "://" in agent else f"http://{agent}")
    host = parts.hostname or ""
    try:
        here = host == "localhost" or ipaddress.ip_address(host).is_loopback
        port = parts.port
    except ValueError:
        here, port = False, None
    if parts.scheme != "http" or not here or port is None:
        raise bad_argument("agent", "http://host:port of this machine")
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
