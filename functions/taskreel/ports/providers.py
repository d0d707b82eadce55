"""The ports of providers: their work, their catalogue, and the webhooks that they send."""

from __future__ import annotations

from collections import abc
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from msgspec import field

from taskreel.domain.record import Record

if TYPE_CHECKING:
    from taskreel.domain.provider_choice import Offer


class Capability(StrEnum):
    """A kind of work that a provider can do."""

    IMAGE = "image"
    VIDEO = "video"
    UPSCALE = "upscale"
    TEXT = "text"
    SPEECH = "speech"
    MUSIC = "music"
    SOUND_EFFECT = "sound-effect"
    #: A video changed as a prompt says.
    VIDEO_EDIT = "video-edit"
    #: A video whose mouths follow a voice.
    LIP_SYNC = "lip-sync"
    #: A picture's subject on a transparent ground.
    CUTOUT = "background-removal"
    #: Speech as text with times, of a sound or a video.
    TRANSCRIPTION = "transcription"
    #: Work on files, done in this process's workers and not by a service.
    COMPOSE = "compose"
    ASSEMBLE = "assemble"
    PROCESS = "process"
    ANALYSE = "analyse"
    PERSONALIZE = "personalize"
    #: Sends a message of the caller's own.
    WEBHOOK = "webhook"
    #: Made of other jobs; calls no provider itself.
    PIPELINE = "pipeline"


class Input(Record):
    """A file that the work starts from, downloaded to `path`; a provider may fetch `url` itself.

    `label` names the file in messages to its owner.
    """

    path: Path
    url: str
    content_type: str
    label: str


def _ignore_progress(_fraction: float) -> None:
    """Discard a progress report."""


class Generation(Record, kw_only=True):
    """One unit of work: its parameters (camelCase, validated), input files and output folder."""

    capability: Capability
    model: str
    params: Mapping[str, Any]
    inputs: tuple[Input, ...] = ()
    #: Returns `folder`, which is made on first use.
    open_folder: Callable[[], Path]
    name: str
    #: The job's owner, whose keys sign a message.
    user_id: str = ""
    #: Number of the attempt, from 1; read by the provider that simulates failures.
    attempt: int = 1
    #: Number of rate limits met so far.
    waits: int = 0
    report: Callable[[float], None] = field(default=_ignore_progress)

    @property
    def folder(self) -> Path:
        """A folder to write into, shared by the run's units and removed when the run ends.

        File names that begin with `name` belong to this unit.
        """
        return self.open_folder()


class Output(Record, kw_only=True):
    """A file that a provider made: on disk, or at a URL that expires and needs no key.

    One with a `suffix` goes with the others and was not asked for by number: its artifact's name
    ends with that (`-poster.jpg`), where the others are numbered and have their type's suffix.
    Its type, size and duration are read from its content, not taken from the provider.
    """

    path: Path | None = None
    url: str | None = None
    suffix: str | None = None


class Done(Record, kw_only=True):
    """Finished work. `data` is structured output, `cost_usd` the provider's own price."""

    outputs: tuple[Output, ...] = ()
    data: Mapping[str, Any] | None = None
    cost_usd: float | None = None


class Pending(Record, kw_only=True):
    """Accepted work: poll with `operation` (JSON) after the wait."""

    operation: Mapping[str, Any]
    poll_after: timedelta
    progress: float | None = None


class Provider(Protocol):
    """A generation service. `start`, `poll` and `cancel` raise RunErrors only."""

    name: str

    async def start(self, request: Generation, /, *, idempotency_key: str) -> Done | Pending:
        """Start the work; Pending when the provider continues it on its own."""

    async def poll(self, operation: Mapping[str, Any], request: Generation, /) -> Done | Pending:
        """Read the state of an operation."""

    async def cancel(self, operation: Mapping[str, Any], /) -> None:
        """Stop an operation if possible; does nothing when it has ended."""

    async def close(self) -> None:
        """Close all connections."""


class WorkRequest(Record):
    """A unit of work for which a provider is sought."""

    capability: Capability
    #: The name or alias that the caller gave; "" for any.
    model: str
    params: Mapping[str, Any]
    #: Number of input files.
    inputs: int
    now: datetime


class ProviderCatalogue(Protocol):
    """The models of the paid providers, with their limits and prices."""

    def resolve_name(self, word: str, /) -> str:
        """The provider's name for a name or an alias; an unknown word is returned in lower case."""

    def has_models_for(self, provider: str, capability: Capability, /) -> bool:
        """Tell if the provider has any model of the capability."""

    def can_sell(self, provider: str, capability: Capability, /) -> bool:
        """Tell if its key, or the setting that is in its place, unlocks any current one of them."""

    def list_offers(
        self, provider: str, request: WorkRequest, /, *, every: bool = False
    ) -> list[Offer]:
        """The provider's offers for a request: of the model asked for, else of its default model.

        With `every` of all its models. Raises InvalidError for an unknown or retired model.
        """

    def list_lacking(self, provider: str, request: WorkRequest, /) -> Sequence[str]:
        """The parts of a request that the provider's model cannot do, whatever key is set.

        Without a model, those of its first, unless another can do all. Raises InvalidError for an
        unknown or retired model.
        """

    def estimate_usd(self, provider: str, request: WorkRequest, /) -> float | None:
        """Estimated price of a request in US dollars; None when it is not known."""

    def explain_ignored_options(
        self, provider: str, request: WorkRequest, given: abc.Collection[str], /
    ) -> Mapping[str, str]:
        """The options of `given` that the provider ignores or changes, with reasons."""

    def explain_reserved_options(self, provider: str, request: WorkRequest, /) -> Mapping[str, str]:
        """The `providerOptions` of the request that the provider must not get, with reasons.

        They would change what was priced. Raises InvalidError for an unknown or retired model.
        """

    def list_models(self, provider: str, on: datetime, /) -> Sequence[Mapping[str, Any]]:
        """Every model as callers see it, retired ones too; `name` also identifies its breaker."""

    def list_warnings(self, provider: str, on: datetime, /) -> Sequence[str]:
        """Warnings for an operator: models that end soon, and prices that were read long ago.

        A model ends soon within 90 days, and a price is old after 180.
        """


#: Returns the operation's id of a webhook, from its headers, body and the time of its arrival.
#: Raises UnauthenticatedError when the signature or the time is wrong.
VerifyWebhook = Callable[[Mapping[str, str], bytes, datetime], str]
