"""What a job type is: the fields a caller may send, what it costs, and the provider calls it takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import AfterValidator, AwareDatetime, ConfigDict, Field

from taskreel.domain.job import Priority
from taskreel.domain.pipeline import Pipeline
from taskreel.domain.retry import RetryPolicy
from taskreel.domain.value import Value
from taskreel.ports import Capability

_DEPTH = 10
_LARGEST = 2**63


def _fetchable(url: str) -> str:
    if url.startswith(("https://", "http://", "job:", "data:")):
        return url
    raise ValueError("give an http(s) URL, a data: URL, or job:{jobId}/{artifact} for a file of your own job")


def _storable(value: Any, depth: int = 0) -> Any:
    """`value`, once it holds only what every store can keep."""
    if depth > _DEPTH:
        raise ValueError(f"must not be nested deeper than {_DEPTH} levels")
    if isinstance(value, dict):
        for name in value:
            if not name or (name.startswith("__") and name.endswith("__")):
                raise ValueError(f"{name!r} is not a name that can be stored")
    elif isinstance(value, int | float) and not abs(value) < _LARGEST:  # a NaN is less than nothing
        raise ValueError("a number must be finite and fit into 64 bits")
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for one in inner:
        _storable(one, depth + 1)
    return value


MediaUrl = Annotated[str, Field(min_length=5, max_length=900_000), AfterValidator(_fetchable)]
Prompt = Annotated[str, Field(min_length=1, max_length=10_000, pattern=r"\S")]
Seed = Annotated[int, Field(ge=0, le=4_294_967_295)]
ProviderOptions = Annotated[dict[str, Any], AfterValidator(_storable)]


class StudioOptions(Value):
    """How the local provider should (mis)behave, for benchmarks and rehearsals.

    It misbehaves on the first `times` attempts (`pending`: for `times` polls), then works.
    """

    mode: Literal["noop", "slow", "fail-temporary", "fail-permanent", "rate-limit", "pending", "crash"]
    times: int = Field(default=1, ge=1, le=1000)
    seconds: float = Field(default=1.0, ge=0, le=3600)


class Options(Value):
    """Options that every provider call may carry. `providerOptions` goes to the provider as it stands."""

    seed: Seed | None = None
    provider_options: ProviderOptions = Field(default_factory=dict)
    studio: StudioOptions | None = None


class RetryOptions(Value):
    """A job's own retry settings; what is absent is the job type's."""

    max_attempts: int | None = Field(default=None, ge=1, le=20)
    min_backoff_seconds: float | None = Field(default=None, gt=0, le=3600)
    max_backoff_seconds: float | None = Field(default=None, gt=0, le=86_400)


class Submission(Value):
    """What every job type's request has in common. Unknown fields are refused."""

    model_config = ConfigDict(json_schema_extra={"additionalProperties": False})

    project_id: str | None = Field(default=None, min_length=1, max_length=128)
    priority: Priority = Priority.NORMAL
    model: str | None = Field(default=None, min_length=1, max_length=200)
    provider: str | None = Field(default=None, min_length=1, max_length=100)
    schedule_at: AwareDatetime | None = None
    start_within_seconds: int | None = Field(default=None, ge=1, le=30 * 86_400)
    deadline_seconds: int | None = Field(default=None, ge=1, le=30 * 86_400)
    retry: RetryOptions | None = None


P = TypeVar("P", bound=Submission)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One provider call: what is asked, from which files, and its price in credits."""

    capability: Capability
    params: Mapping[str, Any]
    credits: int
    input_urls: tuple[str, ...] = ()
    #: The artifact's name without suffix.
    name: str = "result"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobType(Generic[P]):
    """A job type, declared in one file of this folder and named in `JOB_TYPES`."""

    name: str
    summary: str
    submission: type[P]
    capability: Capability
    price: str
    #: What one job commonly costs; a pipeline reckons with it where the real payload is not known yet.
    credits: int
    example: Mapping[str, Any]
    #: A job is made of provider calls, or it is a pipeline of other jobs.
    units: Callable[[P], tuple[Unit, ...]] = lambda _submission: ()
    pipeline: Callable[[P], Pipeline] | None = None
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    #: How long one delivery may run; also the task's dispatch deadline.
    timeout: timedelta = timedelta(minutes=10)
    #: How long a job may take from submission to its end.
    deadline: timedelta = timedelta(hours=24)
    concurrency: Callable[[P], int] = lambda _submission: 1
