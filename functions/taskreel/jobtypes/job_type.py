"""What a job type is: the fields a caller may send, what it costs, and the provider calls it takes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import islice
from typing import Any, Generic, Literal, Self, TypeVar, cast

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from taskreel.domain.job import Priority
from taskreel.domain.pipeline import OnFailure, Pipeline
from taskreel.domain.retry import RetryPolicy
from taskreel.domain.value import Value, validation_error
from taskreel.jobtypes.fields import (
    FPS,
    RESOLUTIONS,
    FilmQuality,
    ProviderWish,
    Resolution,
    Seed,
    Side,
)
from taskreel.jobtypes.queue_limits import QueueLimits
from taskreel.jobtypes.registered_options import STORED, ExtensibleOptions
from taskreel.jobtypes.storage_limits import unstorable
from taskreel.ports import Capability

_BRACES = re.compile(r"\{{2,}")


#: The provider that works on files, whatever provider a job names: Taskreel itself.
IN_HOUSE = "taskreel"


class Options(ExtensibleOptions):
    """Options that every provider call may carry. `providerOptions` goes to the provider as it stands."""

    seed: Seed | None = None
    provider_options: dict[str, Any] = Field(default_factory=dict)


class FilmOptions(Options):
    """How a film is written. `resolution` is a name ("720p", "4k", "vertical") or `1280x720`; a size wins over it."""

    resolution: Resolution | None = None
    width: Side | None = None
    height: Side | None = None
    fps: FPS = 30
    quality: FilmQuality = "standard"

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height, when any were given."""
        if self.width and self.height:
            return self.width, self.height
        if self.resolution is None:
            return None
        wide, _, high = self.resolution.partition("x")
        width, height = RESOLUTIONS.get(self.resolution) or (int(wide), int(high))
        return width - width % 2, height - height % 2

    def look(self) -> dict[str, Any]:
        """As a provider call carries it."""
        size = self.size
        sides = {"width": size[0], "height": size[1]} if size else {}
        return {**params_of(self, "resolution", "width", "height"), **sides}


class RetryOptions(Value):
    """A job's own retry settings; what is absent is the job type's."""

    max_attempts: int | None = Field(default=None, ge=1, le=20)
    min_backoff_seconds: float | None = Field(default=None, gt=0, le=3600)
    max_backoff_seconds: float | None = Field(default=None, gt=0, le=86_400)


class Dependency(Value):
    """A job that must end first.

    When it fails: `fail` fails this one too, `ignore` does without it once all others have ended, `continue` begins at
    once, whatever the others do.
    """

    job_id: str = Field(min_length=1, max_length=64)
    on_failure: OnFailure = "fail"


class Submission(Value):
    """What every job type's request has in common. Unknown fields are refused."""

    model_config = ConfigDict(json_schema_extra={"additionalProperties": False})

    project_id: str | None = Field(default=None, min_length=1, max_length=128)
    priority: Priority = Priority.NORMAL
    model: str | None = Field(default=None, min_length=1, max_length=200)
    #: A name, names in order of preference, or "auto": the cheapest that can do it and is well.
    provider: ProviderWish | None = None
    #: The most that the job's provider calls may cost together, in US dollars, by the model table; 0 buys nothing.
    max_usd: float | None = Field(default=None, ge=0, le=100_000)
    schedule_at: AwareDatetime | None = None
    start_within_seconds: int | None = Field(default=None, ge=1, le=30 * 86_400)
    deadline_seconds: int | None = Field(default=None, ge=1, le=30 * 86_400)
    retry: RetryOptions | None = None
    #: While they have not ended the job is BLOCKED; then `{{jobs.<jobId>.result.…}}` in its payload is filled in.
    depends_on: list[Dependency] = Field(default_factory=list, max_length=20)

    def payload(self) -> dict[str, Any]:
        """As a job keeps it: what was given, and no defaults."""
        return self.model_dump(by_alias=True, mode="json", exclude_unset=True)

    @model_validator(mode="after")
    def _can_be_stored(self) -> Self:
        found = [*islice(unstorable(self), 20)]
        if found:
            raise validation_error(type(self).__name__, found)
        return self


class Waiting(Submission):
    """A request that refers to jobs that it depends on: its own fields are checked once those have ended."""

    model_config = ConfigDict(extra="allow")


P = TypeVar("P", bound=Submission)
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One provider call: what is asked, from which files, and its price in credits."""

    capability: Capability
    params: Mapping[str, Any]
    credits: int
    input_urls: tuple[str, ...] = ()
    #: The artifact's name without suffix.
    name: str = "result"
    #: Who does it, where that is not the job's to choose.
    provider: str | None = None
    #: Where no service can do it: done here, refused, or left out and not charged, as the last of a job's units may be.
    without_service: Literal["imitate", "refuse", "leave out"] = "imitate"
    #: What its result says besides what is made.
    facts: Mapping[str, Any] = field(default_factory=dict)


class Inputs:
    """The files that one provider call starts from, each once; a call names them by their place."""

    def __init__(self) -> None:
        self._places: dict[str, int] = {}

    def place(self, url: str) -> int:
        """Where the file is among the inputs."""
        return self._places.setdefault(url, len(self._places))

    def places(self, urls: Iterable[str]) -> list[int]:
        """Where the files are, in order."""
        return [self.place(url) for url in urls]

    @property
    def urls(self) -> tuple[str, ...]:
        """All of them."""
        return tuple(self._places)


def literal(value: T) -> T:
    """The same, with texts that stand for themselves in a step's payload, whatever braces they have."""
    changed: Any = value
    if isinstance(value, str):
        changed = _BRACES.sub(lambda braces: f"{{{{'{braces[0]}'}}}}", value)
    elif isinstance(value, BaseModel):
        changed = value.model_copy(
            update={name: literal(inner) for name, inner in value if name in value.model_fields_set}
        )
    elif isinstance(value, dict):
        changed = {name: literal(inner) for name, inner in value.items()}
    elif isinstance(value, list):
        changed = [literal(inner) for inner in value]
    return cast(T, changed)


def given(**values: Any) -> dict[str, Any]:
    """Those that are not None."""
    return {name: value for name, value in values.items() if value is not None}


def params_of(options: Value, *without: str, **more: Any) -> dict[str, Any]:
    """What a provider call carries: the options that were given, and `more` that is not None."""
    params = options.model_dump(by_alias=True, exclude_none=True, exclude=set(without), mode="json")
    if not params.get("providerOptions"):
        params.pop("providerOptions", None)
    return {**params, **given(**more)}


def format_credits(amount: int) -> str:
    """`1 credit`, `3 credits`."""
    return f"{amount} credit" if amount == 1 else f"{amount} credits"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobType(Generic[P]):
    """A job type, declared in one file of this folder and named in `JOB_TYPES`.

    A job is made of provider calls (`units`), or it is a pipeline of other jobs (`pipeline`).
    Its price is stated by the units alone: `Unit.credits`.
    """

    name: str
    summary: str
    submission: type[P]
    capability: Capability
    #: A request that works, shown to callers.
    example: Mapping[str, Any]
    units: Callable[[P], tuple[Unit, ...]] = lambda _submission: ()
    pipeline: Callable[[P], Pipeline] | None = None
    #: For types whose price depends on the request: the price in words. Without it, the price of
    #: the example is shown.
    price_text: str | None = None
    #: Fields of a usual job that differ from the example. A step whose payload is not known yet
    #: holds the price of such a job.
    usual: Mapping[str, Any] = field(default_factory=dict)
    #: For a pipeline type: the request's field that names the provider of a step.
    maker: Callable[[P, str], str] = lambda _submission, _step: "provider"
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    #: Longest run of one delivery; also the task's dispatch deadline.
    timeout: timedelta = timedelta(minutes=10)
    #: Longest time from submission to the end of a job.
    deadline: timedelta = timedelta(hours=24)
    #: The number of units that run at a time.
    concurrency: Callable[[P], int] = lambda _submission: 1
    #: Limits of the type's normal queue; run `scripts/declare-queues` after a change.
    queue: QueueLimits = field(default_factory=QueueLimits)

    @property
    def price(self) -> str:
        """The price of a job in words."""
        if self.price_text is not None:
            return self.price_text
        submission = self.submission.model_validate(self.example)
        return format_credits(sum(unit.credits for unit in self.units(submission)))

    def load_submission(self, payload: Mapping[str, Any]) -> P:
        """The request in a stored payload; options that are not registered here are left out."""
        return self.submission.model_validate(payload, context=STORED)

    def usual_submission(self) -> P:
        """The request of a usual job."""
        return self.submission.model_validate({**self.example, **self.usual})
