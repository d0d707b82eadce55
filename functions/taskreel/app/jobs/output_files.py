"""What a provider made, copied into our bucket and checked by its content: before that no job completes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from taskreel.app.jobs.input_files import suffix_of
from taskreel.app.services import Services
from taskreel.domain.artifact import Artifact, artifact_path
from taskreel.domain.errors import PermanentError
from taskreel.domain.job import Job
from taskreel.ports import Output


async def keep(
    services: Services, job: Job, outputs: Sequence[Output], name: str, folder: Path
) -> tuple[Artifact, ...]:
    """The outputs as artifacts, in order; several are numbered."""
    several = len(outputs) > 1
    return tuple(
        [
            await _keep(services, job, output, f"{name}-{number}" if several else name, folder)
            for number, output in enumerate(outputs, start=1)
        ]
    )


async def _keep(services: Services, job: Job, output: Output, stem: str, folder: Path) -> Artifact:
    file = output.path or await _download(services, output, folder / f"{stem}.download")
    info = await services.probe_file(file)
    name = stem + suffix_of(info.content_type)
    path = artifact_path(job.job_id, job.fence, name)
    await services.blobs.put(path, file, content_type=info.content_type)
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


async def _download(services: Services, output: Output, target: Path) -> Path:
    if output.url is None:
        raise PermanentError("The provider named no file.", code="no_output")
    rules = services.rules
    seconds = rules.input_timeout.total_seconds()
    await services.fetch(output.url, target, max_bytes=rules.max_input_bytes, seconds=seconds)
    return target
