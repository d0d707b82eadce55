"""Existing content made personal: a text here, a picture or a film in a worker process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from taskreel.domain.errors import PermanentError
from taskreel.domain.personal_text import personalize_text
from taskreel.ports import Done, Generation, MediaWorkers, Output

if TYPE_CHECKING:
    from taskreel.media.personalize import Speaker

_TIMEOUT_SECONDS = 1500.0


async def personalize_content(
    workers: MediaWorkers, request: Generation, *, speak: Speaker | None
) -> Done:
    """Apply the aspects that the content can take.

    The data says what was applied and what was skipped. Raises PermanentError where nothing could
    be applied.
    """
    params = request.params
    if params.get("text") is not None:
        text, applied, skipped = personalize_text(params)
        return Done(data={"text": text, **_report(params, applied, skipped)})
    from taskreel.media.personalize import personalize_file  # numpy, only where it is needed

    made, applied, skipped = await workers.run(
        personalize_file,
        request.inputs[0].path,
        dict(params),
        request.folder / f"{request.name}.bin",
        speak=speak,
        on_progress=request.report,
        timeout_seconds=_TIMEOUT_SECONDS,
    )
    return Done(outputs=(Output(path=made),), data=_report(params, applied, skipped))


def _report(
    params: Mapping[str, Any], applied: list[str], skipped: Mapping[str, str]
) -> dict[str, Any]:
    if not applied:
        reasons = "; ".join(f"{aspect}: {reason}" for aspect, reason in skipped.items())
        raise PermanentError(
            f"None of the aspects could be applied: {reasons}.", code="nothing_applied"
        )
    return {"applied": applied, "skipped": dict(skipped), "intensity": params["intensity"]}
