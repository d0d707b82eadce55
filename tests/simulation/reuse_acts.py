"""Acts of a simulated user that use work again: cached requests, purges, and uploads."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from simulation.invariant_watch import ViolationError

if TYPE_CHECKING:
    from simulation.customers import Customer

_PATH = "/api/jobs/image-generation"
_CACHE_SECONDS = (60, 600, 7200)
_MODEL = "flux-1.1-pro"
#: It takes pictures, at each of the simulated services.
_EDITING_MODEL = "flux-2-pro"


@dataclass
class ReuseActs:
    """The acts of one user, with the uploads that they have announced."""

    customer: Customer
    uploads: list[str] = field(default_factory=list)

    # ── The result cache ─────────────────────────────────────────────────────────────────────────

    async def ask_cache(self) -> None:
        """A request that an earlier job may answer; with a key or without."""
        body = self._draw_request()
        asked_at = self.customer.cloud.loop.time()
        if self.customer.cloud.tape.draw(2):
            job_id = await self.customer.submit("image-generation", body)
        else:
            job_id = await self._ask_without_key(body)
        self._check_answer(job_id, body, asked_at)

    async def ask_twice_at_once(self) -> None:
        """Two equal requests at two instances, without keys: one job answers both."""
        body, asked_at = self._draw_request(), self.customer.cloud.loop.time()
        ids = await asyncio.gather(self._ask_without_key(body), self._ask_without_key(body))
        for job_id in ids:
            self._check_answer(job_id, body, asked_at)
        watch = self.customer.cloud.watch
        first, second = [watch.jobs.get(job_id or "") for job_id in ids]
        if first is None or second is None:
            return
        self.customer.cloud.plan.note("equal requests at once")
        broken = watch.reuse.find_second_flight(first, second, asked_at)
        if broken is not None:
            raise ViolationError(broken)

    async def purge_cache(self) -> None:
        """An admin purges what the cache has of this user, or of everybody."""
        customer = self.customer
        is_own = customer.cloud.tape.draw(3) > 0
        path = f"/api/cache?userId={customer.user}" if is_own else "/api/cache"
        answer = await customer.request("DELETE", path, headers=customer.admin)
        if answer is not None and answer[0] == 200:
            customer.cloud.plan.note("result cache purged")
            customer.cloud.watch.reuse.note_purge(customer.user if is_own else None)

    def _draw_request(self) -> dict[str, Any]:
        tape = self.customer.cloud.tape
        return {
            "prompt": ("a lamp", "a boat")[tape.draw(2)],
            "model": _MODEL,
            "provider": ("bfl", "fal")[tape.draw(2)],
            "cacheSeconds": _CACHE_SECONDS[tape.draw(len(_CACHE_SECONDS))],
        }

    async def _ask_without_key(self, body: dict[str, Any]) -> str | None:
        answer = await self.customer.request("POST", _PATH, body)
        if answer is None or answer[0] not in {200, 202}:
            return None
        job_id: str = answer[1]["jobId"]
        self.customer.jobs[job_id] = "image-generation"
        return job_id

    def _check_answer(self, job_id: str | None, body: dict[str, Any], asked_at: float) -> None:
        watch = self.customer.cloud.watch
        job = watch.jobs.get(job_id or "")
        if job is None or not watch.reuse.was_made_before(job.job_id, asked_at):
            return
        self.customer.cloud.plan.note("cache hit")
        broken = watch.reuse.check_hit(job, self.customer.user, body, asked_at)
        if broken is not None:
            raise ViolationError(broken)

    # ── Uploads ──────────────────────────────────────────────────────────────────────────────────

    async def upload_file(self) -> None:
        """Announce a file and send it; some are never sent, and some with other bytes."""
        customer, tape = self.customer, self.customer.cloud.tape
        announced = f"{customer.user} whole".encode()
        order = {
            "name": "a.png",
            "contentType": "image/png",
            "bytes": len(announced),
            "sha256": hashlib.sha256(announced).hexdigest(),
        }
        answer = await customer.request("POST", "/api/uploads", order)
        if answer is None or answer[0] != 201:
            return
        upload_id: str = answer[1]["uploadId"]
        self.uploads.append(upload_id)
        upload = customer.cloud.watch.reuse.uploads.get(upload_id)
        if upload is None:
            raise ViolationError(f"no-upload-lost: {upload_id} was accepted and is not stored")
        state = ("whole", "whole", "whole", "wrong", "")[tape.draw(5)]
        if state:
            # Past the instances, as a signed URL of the bucket goes.
            await asyncio.sleep(tape.between(0, 30))
            content = f"{customer.user} {state}".encode()
            await customer.cloud.receive_file(upload.path, content)
        if state == "wrong":
            customer.cloud.plan.note("upload with other bytes")

    async def use_upload(self) -> None:
        """An image made from an upload: the user's own, or one of another user's."""
        cloud = self.customer.cloud
        is_own = cloud.tape.draw(4) > 0
        known = self.uploads if is_own else sorted(cloud.watch.reuse.uploads)
        if not known:
            return
        upload_id = known[cloud.tape.draw(len(known))]
        body = {
            "prompt": "a kite in it",
            "model": _EDITING_MODEL,
            "imageUrls": [f"upload:{upload_id}"],
        }
        await self.customer.submit("image-generation", body)

    async def delete_upload(self) -> None:
        """Delete the oldest upload; jobs that have not read it yet fail."""
        if self.uploads:
            upload_id = self.uploads.pop(0)
            answer = await self.customer.request("DELETE", f"/api/uploads/{upload_id}")
            if answer is not None and answer[0] == 200:
                self.customer.require_no_files([upload_id])
