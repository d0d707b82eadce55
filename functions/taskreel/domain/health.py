"""The health of the system and its parts: the thresholds, and the rules that apply them."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from taskreel.domain.record import Record
from taskreel.domain.value import Value


class Health(StrEnum):
    """The health of a part. Degraded: it works, slower or not for everyone."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"


_SEVERITY = [Health.HEALTHY, Health.DEGRADED, Health.UNHEALTHY]


class Threshold(Value):
    """The values from which a part is degraded, and unhealthy."""

    degraded: float
    unhealthy: float

    def judge(self, value: float) -> Health:
        """The health of a part with this value."""
        if value >= self.unhealthy:
            return Health.UNHEALTHY
        return Health.DEGRADED if value >= self.degraded else Health.HEALTHY


class Thresholds(Value):
    """The values from which a part is degraded or unhealthy."""

    #: How long the oldest task has been due; the sweep repeats a lost one after two minutes.
    queue_oldest_seconds: Threshold = Threshold(degraded=300, unhealthy=1800)
    #: The share of FAILED among the jobs of the last hour that have ended.
    error_rate: Threshold = Threshold(degraded=0.1, unhealthy=0.5)
    #: With fewer ended jobs the share says nothing.
    error_rate_min_jobs: int = 10
    latency_ms: Threshold = Threshold(degraded=1000, unhealthy=3000)
    memory_share: Threshold = Threshold(degraded=0.85, unhealthy=0.97)
    disk_share: Threshold = Threshold(degraded=0.85, unhealthy=0.97)


class Verdict(Record):
    """The health of one part, and the reasons why it is not healthy."""

    status: Health = Health.HEALTHY
    reasons: tuple[str, ...] = ()

    @classmethod
    def of(cls, *found: tuple[Health, str]) -> Verdict:
        """The worst of several judgements; the reason of a healthy one is omitted."""
        bad = [(health, reason) for health, reason in found if health is not Health.HEALTHY]
        return cls(
            status=find_worst(health for health, _ in bad),
            reasons=tuple(reason for _, reason in bad),
        )


class QueueFacts(Record, kw_only=True):
    """The state of a queue, and the ended jobs of its type in the last hour."""

    paused: bool
    depth: int
    oldest_seconds: float | None
    completed: int
    failed: int
    #: The part of the failed ones that a wrong request explains: a file that is not there, a text
    #: that moderation refuses. It says nothing about the system.
    refused_share: float = 0.0

    @property
    def own_error_rate(self) -> float:
        """The share of jobs that have failed for other reasons than their request."""
        return (self.error_rate or 0.0) * (1 - self.refused_share)

    @property
    def error_rate(self) -> float | None:
        """The share of failed jobs; None when none has ended."""
        ended = self.completed + self.failed
        return round(self.failed / ended, 4) if ended else None


class MachineFacts(Value):
    """Memory, processors, disk and network of this instance; None where it does not say.

    The network's numbers are those since the instance's start, but for the sockets that are open.
    """

    memory_bytes: int | None
    memory_limit_bytes: int | None
    process_bytes: int | None
    cpu_count: int
    load_1m: float | None
    disk_bytes: int
    disk_limit_bytes: int
    network_received_bytes: int | None = None
    network_sent_bytes: int | None = None
    #: Packets that were faulty or dropped, in either direction.
    network_errors: int | None = None
    open_sockets: int | None = None


#: The codes of failures that the request explains. One that is not listed counts against us.
REQUEST_FAULTS = frozenset(
    {
        "bad_duration",
        "bad_parameters",
        "bad_payload",
        "bad_scale",
        "bad_size",
        "budget_exceeded",
        "cut_off_media",
        "dependency_failed",
        "empty_media",
        "empty_text",
        "input_encoded",
        "input_forbidden",
        "input_invalid",
        "input_not_found",
        "input_required",
        "input_too_large",
        "input_unreachable",
        "invalid_parameter",
        "media_too_large",
        "missing_media",
        "moderation",
        "no_audio",
        "no_images",
        "no_inputs",
        "no_scenes",
        "no_streams",
        "no_video",
        "not_a_recording",
        "not_an_image",
        "payload_too_large",
        "price_cap_exceeded",
        "too_wide",
        "unexpected_media",
        "unknown_model",
        "unreadable_media",
        "unsupported_format",
        "unsupported_media",
        "unsupported_parameter",
        "voice_unknown",
        "webhook_gone",
    }
)


def find_worst(healths: Iterable[Health]) -> Health:
    """The worst of them; healthy if there is none."""
    return max(healths, key=_SEVERITY.index, default=Health.HEALTHY)


def judge_queue(facts: QueueFacts, limits: Thresholds) -> Verdict:
    """A queue is as healthy as its oldest task and its jobs' error rate; paused, it is degraded."""
    oldest, rate = facts.oldest_seconds or 0.0, facts.own_error_rate
    enough = facts.completed + facts.failed >= limits.error_rate_min_jobs
    return Verdict.of(
        (Health.DEGRADED if facts.paused else Health.HEALTHY, "it is paused"),
        (
            limits.queue_oldest_seconds.judge(oldest),
            f"its oldest task has been due for {oldest:.0f} s",
        ),
        (
            limits.error_rate.judge(rate) if enough else Health.HEALTHY,
            f"{rate:.0%} of the jobs of the last hour have failed",
        ),
    )


def judge_latency(milliseconds: float, limits: Thresholds) -> Verdict:
    """The health of a dependency that answered after that time."""
    return Verdict.of((limits.latency_ms.judge(milliseconds), f"it took {milliseconds:.0f} ms"))


def judge_machine(facts: MachineFacts, limits: Thresholds) -> Verdict:
    """The health of this instance."""
    found = []
    if facts.memory_bytes is not None and facts.memory_limit_bytes:
        share = facts.memory_bytes / facts.memory_limit_bytes
        found.append((limits.memory_share.judge(share), f"{share:.0%} of its memory is in use"))
    if facts.disk_limit_bytes:
        share = facts.disk_bytes / facts.disk_limit_bytes
        found.append((limits.disk_share.judge(share), f"{share:.0%} of its disk is in use"))
    return Verdict.of(*found)
