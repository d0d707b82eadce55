"""Store the outputs of a provider in the bucket, checked by their content."""

from __future__ import annotations

import mimetypes
from collections.abc import Sequence
from pathlib import Path

from taskreel.app.services import Services
from taskreel.domain.artifact import Artifact, artifact_path
from taskreel.domain.errors import PermanentError
from taskreel.domain.job import Job
from taskreel.ports import Output


async def store_outputs(
    services: Services, job: Job, outputs: Sequence[Output], name: str, folder: Path
) -> tuple[Artifact, ...]:
    """Store the outputs as artifacts, in order; several are numbered.

    No job completes before its files are in the bucket: a provider's addresses expire. Raises
    PermanentError for an output that is no file of a known kind, and the errors of a download.
    """
    several = sum(output.suffix is None for output in outputs) > 1
    artifacts: list[Artifact] = []
    for number, output in enumerate(outputs, start=1):
        stem = f"{name}-{number}" if several and output.suffix is None else name
        artifacts.append(await _store_output(services, job, output, stem, folder))
    return tuple(artifacts)


async def _store_output(
    services: Services, job: Job, output: Output, stem: str, folder: Path
) -> Artifact:
    file = output.path
    if file is None:
        file = await _download_output(services, output, folder / f"{stem}.download")
    else:
        # A file of a media worker: it takes room until the run ends, as downloads do.
        services.work_dirs.reserve(folder, file.stat().st_size, required=True)
    try:
        info = await services.probe_file(file)
    except PermanentError as error:
        raise error.with_file_named(file.name, f"The provider's result {stem}") from error
    name = stem + (output.suffix or _file_suffix(info.content_type))
    path = artifact_path(job.job_id, job.fence, name)
    age_from = services.rules.retention.count_age_from(job, services.clock.now())
    await services.blobs.put(path, file, content_type=info.content_type, age_from=age_from)
    return Artifact(
        name=name,
        path=path,
        content_type=info.content_type,
        bytes=info.bytes,
        sha256=info.sha256,
        width=info.width,
        height=info.height,
        duration_seconds=info.duration_seconds,
    )


async def _download_output(services: Services, output: Output, target: Path) -> Path:
    if output.url is None:
        raise PermanentError("The provider finished without naming a file.", code="no_output")
    rules = services.rules
    seconds = rules.input_timeout.total_seconds()

    def count_bytes(size: int) -> None:
        # Its room is counted but never refused: the result has been paid for.
        services.work_dirs.reserve(target.parent, size, required=True)

    await services.fetch(
        output.url,
        target,
        max_bytes=rules.inputs.max_file_bytes,
        seconds=seconds,
        admit=count_bytes,
    )
    return target


def _file_suffix(content_type: str) -> str:
    """The file name suffix of a content type: `.png` for image/png, `.bin` for an unknown one."""
    return {"image/jpeg": ".jpg", "audio/wav": ".wav", "audio/x-wav": ".wav"}.get(content_type) or (
        mimetypes.guess_extension(content_type) or ".bin"
    )
