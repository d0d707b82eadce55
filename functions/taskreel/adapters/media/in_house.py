"""The in-house provider: composes, assembles, processes, analyses, personalizes and enlarges."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from taskreel.adapters.media.file_operations import process_media, upscale_image
from taskreel.adapters.media.film_operations import assemble_films, compose_film
from taskreel.adapters.media.measure_content import analyse_content
from taskreel.adapters.media.personalize_content import personalize_content
from taskreel.domain.errors import PermanentError
from taskreel.ports import Capability, Done, Generation, Input, MediaWorkers, Pending

if TYPE_CHECKING:
    from taskreel.media.personalize import Speaker

LABEL = "Made by Taskreel itself; no generation service was called."

Maker = Callable[[MediaWorkers, Generation], Awaitable[Done]]


class InHouse:
    """`Provider` over taskreel.media. It answers at once and takes no money.

    `speak` is what speaks a personalization's greeting; without it a greeting is skipped.
    """

    name = "taskreel"

    def __init__(self, workers: MediaWorkers, speak: Speaker | None = None) -> None:
        self._workers = workers
        self._makers: Mapping[Capability, Maker] = {
            Capability.COMPOSE: compose_film,
            Capability.ASSEMBLE: assemble_films,
            Capability.PROCESS: process_media,
            Capability.ANALYSE: analyse_content,
            Capability.PERSONALIZE: partial(personalize_content, speak=speak),
            Capability.UPSCALE: upscale_image,
        }

    async def start(self, request: Generation, /, *, idempotency_key: str) -> Done | Pending:
        del idempotency_key  # the same request gives the same files
        return await make(self._makers, self._workers, request, provider=self.name, label=LABEL)

    async def poll(self, operation: Mapping[str, Any], request: Generation, /) -> Done | Pending:
        del operation  # `start` never leaves one; the work is done again
        return await self.start(request, idempotency_key="")

    async def cancel(self, operation: Mapping[str, Any], /) -> None:
        """Nothing goes on after `start`."""

    async def close(self) -> None:
        """The workers are closed by their owner."""


async def make(
    makers: Mapping[Capability, Maker],
    workers: MediaWorkers,
    request: Generation,
    *,
    provider: str,
    label: str,
) -> Done:
    """Run the maker of the request's capability; the result carries `label` and the seed.

    Raises PermanentError, with input files named as their owner knows them.
    """
    maker = makers.get(request.capability)
    if maker is None:
        message = f"The provider {provider} does not make {request.capability}."
        raise PermanentError(message, code="not_offered")
    try:
        done = await maker(workers, request)
    except PermanentError as error:
        raise _with_labels(error, request.inputs) from error
    data = {**(done.data or {}), "generator": label, "seed": request.params["seed"]}
    return replace(done, data=data)


def _with_labels(error: PermanentError, inputs: Sequence[Input]) -> PermanentError:
    """The error with each scratch file's name replaced by its input's label."""
    for given in inputs:
        error = error.with_file_named(given.path.name, given.label)
    return error
