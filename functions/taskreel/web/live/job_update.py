"""The `jobUpdate` of the documented socket.io client."""

from __future__ import annotations

from collections import OrderedDict

from pydantic import Field

from taskreel.app.live.job_feed import JobChange
from taskreel.app.services import Services
from taskreel.domain.job_status import Status
from taskreel.web.responses import JobErrorView, View, build_error_view

#: Built updates in memory: several connections of a user get the same.
_MOST_BUILT = 128


class JobUpdate(View):
    """The documented fields: `resultUrl` is the signed URL of the first file, null without one.

    `snapshot` is there, and true, on a job's state after a gap that cannot be filled.
    """

    job_id: str
    status: Status
    progress: int
    result_url: str | None
    error: JobErrorView | None
    snapshot: bool = Field(default=False, exclude_if=lambda snapshot: not snapshot)


class JobUpdates:
    """Builds updates; once for all connections that get the same change."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._built: OrderedDict[tuple[int, str, bool], dict[str, object]] = OrderedDict()

    async def build(self, change: JobChange) -> dict[str, object]:
        """The update as JSON values."""
        position = change.position
        key = (position.commit_number, position.job_id, change.is_snapshot)
        built = self._built.get(key)
        if built is None:
            built = self._built[key] = await self._build(change)
            if len(self._built) > _MOST_BUILT:
                self._built.popitem(last=False)
        return built

    async def _build(self, change: JobChange) -> dict[str, object]:
        job = change.job
        url = None
        if job.has_result and job.artifacts:
            lifetime = self._services.rules.signed_url_lifetime
            path = job.artifacts[0].path
            url = await self._services.blobs.signed_url(path, expires_in=lifetime)
        update = JobUpdate(
            job_id=job.job_id,
            status=job.status,
            progress=job.progress,
            result_url=url,
            error=build_error_view(job),
            snapshot=change.is_snapshot,
        )
        return update.model_dump(by_alias=True, mode="json")
