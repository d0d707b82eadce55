"""What a job type is: the fields a caller may send, what it costs, and the provider calls it takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, ConfigDict, Field

from taskreel.domain.job import Priority
from taskreel.domain.pipeline import OnFailure, Pipeline
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


#: Who does the work on files, whatever provider a job names.
LOCAL = "studio"

FilmFormat = Literal["mp4", "webm", "mov"]
SoundFormat = Literal["mp3", "wav", "opus", "m4a", "flac"]
FilmQuality = Annotated[
    Literal["draft", "standard", "high"],
    BeforeValidator(lambda given: {"low": "draft", "medium": "standard", "best": "high"}.get(given, given)),
]
RESOLUTIONS: Mapping[str, tuple[int, int]] = {
    "360p": (640, 360),
    "480p": (854, 480),
    "720p": (1280, 720),
    "1080p": (1920, 1080),
    "1440p": (2560, 1440),
    "4k": (3840, 2160),
    "square": (1080, 1080),
    "vertical": (1080, 1920),
}
Language = Annotated[str, Field(min_length=2, max_length=20, pattern=r"^[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*$")]
FPS = Annotated[int, Field(ge=8, le=60)]
Side = Annotated[int, Field(ge=64, le=3840, multiple_of=2)]


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


class FilmOptions(Options):
    """How a film is written. `resolution` is a name ("720p", "4k", "vertical") or `1280x720`; a size wins over it."""

    resolution: str | None = Field(default=None, pattern=rf"^({'|'.join(RESOLUTIONS)}|\d{{2,4}}x\d{{2,4}})$")
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


def _names(wanted: str | list[str]) -> str | list[str]:
    names = [wanted] if isinstance(wanted, str) else wanted
    if not 1 <= len(names) <= 10 or not all(1 <= len(name) <= 100 for name in names):
        raise ValueError('must be a provider, a list of one to ten of them, or "auto"')
    return wanted


ProviderWish = Annotated[str | list[str], AfterValidator(_names)]


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


class Waiting(Submission):
    """A request that refers to jobs that it depends on: its own fields are checked once those have ended."""

    model_config = ConfigDict(extra="allow")


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
    #: Who does it, where that is not the job's to choose.
    provider: str | None = None


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


def params_of(options: Value, *without: str, **more: Any) -> dict[str, Any]:
    """What a provider call carries: the options that were given, and `more` that is not None."""
    given = options.model_dump(by_alias=True, exclude_none=True, exclude=set(without), mode="json")
    if not given.get("providerOptions"):
        given.pop("providerOptions", None)
    return {**given, **{name: value for name, value in more.items() if value is not None}}


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
