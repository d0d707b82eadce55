"""What a job type is: the fields a caller may send, what it costs, and the provider calls it takes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache
from itertools import islice
from typing import Annotated, Any, Generic, Literal, Self, TypeVar, cast

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from taskreel.domain.job import Priority
from taskreel.domain.pipeline import OnFailure, Pipeline
from taskreel.domain.retry import RetryPolicy
from taskreel.domain.value import Location, Value, refusal
from taskreel.ports import Capability

#: A store keeps twenty levels, of which the job itself is one; an array in an array takes two.
_DEEPEST = 18
_LARGEST = 2**63
_LONGEST_NAME_BYTES = 1000
_camel = lru_cache(maxsize=1024)(to_camel)
_BRACES = re.compile(r"\{{2,}")


def _fetchable(url: str) -> str:
    if url.startswith(("https://", "http://", "job:", "data:")):
        return url
    raise ValueError("give an http(s) URL, a data: URL, or job:{jobId}/{artifact} for a file of your own job")


def _unstorable(value: Any, at: Location = (), depth: int = 0) -> Iterator[tuple[Location, str]]:
    """What of it no store can keep, and where."""
    if depth > _DEEPEST:
        yield at, f"must not be nested deeper than {_DEEPEST} levels"
        return
    if isinstance(value, int | float) and not abs(value) < _LARGEST:  # a NaN is less than nothing
        yield at, "a number must be finite and fit into 64 bits"
    elif isinstance(value, str) and value and not _bytes(value):
        yield at, "half a surrogate pair is no character"
    listed = isinstance(value, list | tuple)
    for name, inner in _members(value):
        if isinstance(name, str) and not _is_name(name):
            yield at, f"{name[:100]!r} is not a name that can be stored"
        else:
            yield from _unstorable(inner, (*at, name), depth + (2 if listed and isinstance(inner, list | tuple) else 1))


def _members(value: Any) -> Iterable[tuple[str | int, Any]]:
    match value:
        case BaseModel():
            given = value.model_fields_set  # defaults are ours
            fields = [(_camel(name), inner) for name, inner in vars(value).items() if name in given]
            return [*fields, *(value.model_extra or {}).items()]
        case dict():
            return value.items()
        case list() | tuple():
            return enumerate(value)
        case _:
            return ()


def _is_name(text: str) -> bool:
    return 0 < _bytes(text) <= _LONGEST_NAME_BYTES and not (text.startswith("__") and text.endswith("__"))


def _bytes(text: str) -> int:
    """Its length in UTF-8; 0 for what cannot be written in it."""
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        return 0


MediaUrl = Annotated[str, Field(min_length=5, max_length=900_000), AfterValidator(_fetchable)]
Prompt = Annotated[str, Field(min_length=1, max_length=10_000, pattern=r"\S")]
Seed = Annotated[int, Field(ge=0, le=4_294_967_295)]


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
#: ISO 639-1, all there are.
_LANGUAGES = frozenset(
    """aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de
    dv dz ee el en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id
    ie ig ii ik io is it iu ja jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu
    lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu
    rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr ss st su sv sw ta te tg th ti tk tl tn to tr
    ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu""".split()  # noqa: SIM905
)


def _known_language(code: str) -> str:
    name = re.split("[-_]", code)[0].lower()
    if len(name) == 2 and name not in _LANGUAGES:
        raise ValueError(f"{name!r} is no language; give an ISO 639 code like en, de or pt-BR")
    return code


Language = Annotated[
    str,
    Field(min_length=2, max_length=20, pattern=r"^[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*$"),
    AfterValidator(_known_language),
]
FPS = Annotated[int, Field(ge=8, le=60)]
SMALLEST_SIDE, LARGEST_SIDE = 64, 3840
Side = Annotated[int, Field(ge=SMALLEST_SIDE, le=LARGEST_SIDE, multiple_of=2)]
#: A film's scene; shorter ones are not seen.
SHORTEST_SCENE_SECONDS = 0.2


def _within_sides(resolution: str) -> str:
    sides = [int(side) for side in resolution.split("x")] if "x" in resolution else []
    if any(not SMALLEST_SIDE <= side <= LARGEST_SIDE for side in sides):
        raise ValueError(f"each side must have {SMALLEST_SIDE} to {LARGEST_SIDE} pixels")
    return resolution


Resolution = Annotated[
    str, Field(pattern=rf"^({'|'.join(RESOLUTIONS)}|\d{{2,4}}x\d{{2,4}})$"), AfterValidator(_within_sides)
]


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
    provider_options: dict[str, Any] = Field(default_factory=dict)
    studio: StudioOptions | None = None


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

    @model_validator(mode="after")
    def _can_be_stored(self) -> Self:
        found = [*islice(_unstorable(self), 20)]
        if found:
            raise refusal(type(self).__name__, found)
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
    without_service: Literal["local", "refuse", "leave out"] = "local"
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
    #: Of a pipeline whose steps the type makes itself: the request's field that says who does a step.
    maker: Callable[[P, str], str] = lambda _submission, _step: "provider"
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    #: How long one delivery may run; also the task's dispatch deadline.
    timeout: timedelta = timedelta(minutes=10)
    #: How long a job may take from submission to its end.
    deadline: timedelta = timedelta(hours=24)
    concurrency: Callable[[P], int] = lambda _submission: 1
