"""The declaration of a job type: its request, its provider calls and their price."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, cast

from msgspec import field
from pydantic import BaseModel

from taskreel.domain.credits import format_credits
from taskreel.domain.pipeline import Pipeline
from taskreel.domain.record import Record
from taskreel.domain.retry_policy import RetryPolicy
from taskreel.domain.value import Value
from taskreel.jobtypes.fields import (
    FPS,
    RESOLUTIONS,
    FilmQuality,
    Fit,
    Resolution,
    Side,
)
from taskreel.jobtypes.queue_limits import QueueLimits
from taskreel.jobtypes.submission import Options, Submission
from taskreel.ports import Capability

if TYPE_CHECKING:  # of three job types: cold start
    from taskreel.jobtypes.length_price import LengthPrice

_BRACES = re.compile(r"\{{2,}")


#: Capabilities that are work on files in this process's workers, and not calls of a service.
MEDIA_WORK = frozenset(
    {
        Capability.COMPOSE,
        Capability.ASSEMBLE,
        Capability.PROCESS,
        Capability.ANALYSE,
        Capability.PERSONALIZE,
    }
)

#: The provider that works on files, whatever provider a job names: Taskreel itself.
IN_HOUSE = "taskreel"


#: The pictures or clips of a given story that are made at a time.
SCENES_AT_A_TIME = 4


def parse_resolution(resolution: str) -> tuple[int, int]:
    """Width and height in pixels, made even, of `720p`, `vertical` or `1280x720`."""
    wide, _, high = resolution.partition("x")
    width, height = RESOLUTIONS.get(resolution) or (int(wide), int(high))
    return width - width % 2, height - height % 2


class FilmOptions(Options):
    """Format of a film.

    `resolution` is a name ("720p", "4k", "vertical") or `1280x720`; width and height override it.
    """

    resolution: Resolution | None = None
    width: Side | None = None
    height: Side | None = None
    #: None: the rate of the first clip, so that none of its frames is doubled or dropped.
    fps: FPS | None = None
    #: For clips of another shape: crop them, or show bars or their own blurred picture around them.
    fit: Fit | None = None
    quality: FilmQuality = "standard"

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height in pixels, made even; None when neither size nor resolution is given."""
        if self.width and self.height:
            return self.width, self.height
        if self.resolution is None:
            return None
        return parse_resolution(self.resolution)

    def to_params(self) -> dict[str, Any]:
        """The parameters of the provider call."""
        size = self.size
        sides = {"width": size[0], "height": size[1]} if size else {}
        return {**build_params(self, "resolution", "width", "height"), **sides}


P = TypeVar("P", bound=Submission)
T = TypeVar("T")


class Unit(Record, kw_only=True):
    """One provider call: its parameters, its input files and its price in credits."""

    capability: Capability
    params: Mapping[str, Any]
    #: With `length_price`, the most that it may cost.
    credits: int
    input_urls: tuple[str, ...] = ()
    #: The artifact's name without suffix.
    name: str = "result"
    #: Fixed provider, whatever the job names.
    provider: str | None = None
    #: If no paid provider can do it: imitated, refused, or omitted and not charged. Only the last
    #: units of a job may be omitted.
    when_unserved: Literal["imitate", "refuse", "leave out"] = "imitate"
    #: Extra fields merged into the result.
    facts: Mapping[str, Any] = field(default_factory=dict)
    #: The price of a call that is billed by the length of its input files, and the `maxSeconds` of
    #: the request.
    length_price: LengthPrice | None = None
    max_seconds: int | None = None


class Inputs:
    """The input files of one provider call, each once; parameters refer to them by index."""

    def __init__(self) -> None:
        self._indexes: dict[str, int] = {}

    def add_file(self, url: str) -> int:
        """Add a file if it is new; return its index."""
        return self._indexes.setdefault(url, len(self._indexes))

    def add_files(self, urls: Iterable[str]) -> list[int]:
        """Add several files; return their indexes."""
        return [self.add_file(url) for url in urls]

    @property
    def urls(self) -> tuple[str, ...]:
        """The files in the order of their indexes."""
        return tuple(self._indexes)


def escape_templates(value: T) -> T:
    """Copy a value so that a step's payload contains its texts unchanged, braces included."""
    changed: Any = value
    if isinstance(value, str):
        changed = _BRACES.sub(lambda braces: f"{{{{'{braces[0]}'}}}}", value)
    elif isinstance(value, BaseModel):
        changed = value.model_copy(
            update={
                name: escape_templates(inner)
                for name, inner in value
                if name in value.model_fields_set
            }
        )
    elif isinstance(value, dict):
        changed = {name: escape_templates(inner) for name, inner in value.items()}
    elif isinstance(value, list):
        changed = [escape_templates(inner) for inner in value]
    return cast(T, changed)


def drop_none(**values: Any) -> dict[str, Any]:
    """The values that are not None."""
    return {name: value for name, value in values.items() if value is not None}


def build_params(options: Value, *without: str, **more: Any) -> dict[str, Any]:
    """The parameters of a provider call: the options and `more`, without None."""
    params = options.model_dump(by_alias=True, exclude_none=True, exclude=set(without), mode="json")
    if not params.get("providerOptions"):
        params.pop("providerOptions", None)
    return {**params, **drop_none(**more)}


def build_priced_unit(
    price: LengthPrice,
    options: Options,
    max_seconds: int | None,
    *,
    capability: Capability,
    input_urls: tuple[str, ...],
    name: str,
    **params: Any,
) -> Unit:
    """The call of a request with these options, and `max_seconds` among them, with its hold."""
    seconds = price.limit_seconds(max_seconds)
    return Unit(
        capability=capability,
        params=build_params(options, "max_seconds", inputSeconds=seconds, **params),
        credits=price.price_limit(max_seconds),
        length_price=price,
        max_seconds=max_seconds,
        input_urls=input_urls,
        name=name,
    )


class JobType(Record, Generic[P], kw_only=True):
    """A job type, declared in one file of this folder and named in `JOB_TYPES`.

    A job is made of provider calls (`units`), or it is a pipeline of other jobs (`pipeline`).
    Its price is stated by the units alone: `Unit.credits`.
    """

    name: str
    summary: str
    submission: type[P]
    capability: Capability
    #: Further kinds of work: of its tasks, of its optional units, or of its steps.
    further_capabilities: frozenset[Capability] = frozenset()
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
    provider_field: Callable[[P, str], str] = lambda _submission, _step: "provider"
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    #: Longest attempt, unless a job has its own `timeoutSeconds`; a run ends itself, and stores
    #: why. One of more than half an hour goes on in several deliveries.
    timeout: timedelta = timedelta(minutes=10)
    #: Longest time from submission to the end of a job.
    deadline: timedelta = timedelta(hours=24)
    #: The number of units that run at a time.
    concurrency: Callable[[P], int] = lambda _submission: 1
    #: Limits of the type's queue; run `scripts/declare-queues` after a change.
    queue: QueueLimits = field(default_factory=QueueLimits)

    @property
    def works_on_media(self) -> bool:
        """True if the type's jobs occupy a worker process with files.

        They run in a service of their own (infra/services.yaml), few at a time.
        """
        return self.capability in MEDIA_WORK

    @property
    def price(self) -> str:
        """The price of a job in words."""
        if self.price_text is not None:
            return self.price_text
        submission = self.submission.model_validate(self.example)
        return format_credits(sum(unit.credits for unit in self.units(submission)))

    def usual_submission(self) -> P:
        """The request of a usual job."""
        return self.submission.model_validate({**self.example, **self.usual})
