"""The customers of a chaos run: threads that submit a mix of jobs, cancel and replay some."""

from __future__ import annotations

import random
import threading
from contextlib import suppress
from typing import Any

import httpx

#: Of seconds, from the submission to the first run and to the end: some pass, most do not.
DEADLINES: tuple[dict[str, int], ...] = (
    {},
    {},
    {},
    {"deadlineSeconds": 4},
    {"deadlineSeconds": 30},
    {"startWithinSeconds": 2},
)
RETRY = {"maxAttempts": 20, "minBackoffSeconds": 0.5, "maxBackoffSeconds": 1}


def draw_request(draw: random.Random, name: str) -> tuple[str, dict[str, Any]]:
    """A job type and a request: one of the mix, with or without deadlines."""
    job_type, request = _draw_work(draw, name)
    return job_type, request | draw.choice(DEADLINES)


def _draw_work(draw: random.Random, name: str) -> tuple[str, dict[str, Any]]:
    """A job type and a request: mostly small pictures, by providers that are well or not.

    Some are bought from a provider that takes no idempotency keys: their prompts contain
    `name`, which must be unique.
    """
    fault = draw.choice(
        [
            None,
            None,
            {"mode": "slow", "seconds": 1.5},
            {"mode": "pending", "seconds": 0.5, "times": 2},
            {"mode": "fail-temporary", "times": 1},
            {"mode": "fail-permanent"},
            {"mode": "rate-limit", "seconds": 0.5, "times": 1},
            {"mode": "crash", "times": 1},
        ]
    )
    options: dict[str, Any] = {"width": 64, "height": 64}
    if fault is not None:
        options["studio"] = fault
    picture = {"prompt": "a kite", "provider": "studio", "options": options}
    kind = draw.choice(["picture", "picture", "picture", "purchase", "batch", "pipeline"])
    if kind == "purchase":
        size = {"width": 1024, "height": 768}
        return "image-generation", {
            "prompt": f"kite number {name}",
            "provider": "bfl",
            "model": "flux-1.1-pro",
            "options": size,
            "retry": RETRY,
        }
    if kind == "batch":
        prompts = [f"kite {number}" for number in range(draw.randint(2, 4))]
        return "batch-generation", {
            "prompts": prompts,
            "provider": "studio",
            "options": options,
            "retry": RETRY,
        }
    if kind == "pipeline":
        many = {"type": "image-generation", "forEach": ["a", "b"], "payload": picture}
        last = {
            "type": "image-generation",
            "after": ["many"],
            "payload": {**picture, "options": {"width": 64, "height": 64}},
        }
        return "pipeline", {"steps": {"many": many, "last": last}}
    return "image-generation", {**picture, "retry": RETRY}


#: It has not ended; may have been bought without an answer; was removed.
_NO_REPLAY = frozenset({409, 403, 404})


class Customer(threading.Thread):
    """Submits jobs until told to stop, each until it is accepted; cancels and replays some."""

    def __init__(
        self, name: str, url: str, token: str, draw: random.Random, jobs_per_second: float
    ) -> None:
        super().__init__(name=name, daemon=True)
        self._url = url
        self._token = token
        self._draw = draw
        self._pause = 1 / jobs_per_second
        self.jobs: dict[str, str] = {}
        #: The jobs that buy, whose replay must have a prompt of its own.
        self.buying: set[str] = set()
        self.cancelled = 0
        self.replayed = 0
        #: DELETE removes a job that has ended already, and its answer may be lost.
        self.maybe_removed: set[str] = set()
        self.refused: list[str] = []
        self.stopped = threading.Event()

    def run(self) -> None:
        headers = {"Authorization": f"Bearer {self._token}"}
        with httpx.Client(base_url=self._url, headers=headers, timeout=15) as client:
            number = 0
            while not self.stopped.is_set():
                number += 1
                self._submit_until_accepted(client, number)
                if self.jobs and self._draw.random() < 0.1:
                    self._cancel_one(client)
                if self.jobs and self._draw.random() < 0.15:
                    self._replay_one(client, number)
                self.stopped.wait(self._pause)

    def _submit_until_accepted(self, client: httpx.Client, number: int) -> None:
        name = f"{self.name}-{number}"
        job_type, request = draw_request(self._draw, name)
        answer = self._post_until_answered(
            client, f"/api/jobs/{job_type}", request, key=f"chaos-{name}"
        )
        if answer is None:
            return
        if answer.is_success:
            buys = request.get("provider") == "bfl"
            self._note_job(answer.json()["jobId"], job_type, buys=buys)
        else:
            self._note_refusal(answer)

    def _post_until_answered(
        self, client: httpx.Client, path: str, body: dict[str, Any], *, key: str
    ) -> httpx.Response | None:
        """Repeat a request until the API answers; None if this customer is stopped before.

        The key makes the repetition safe: an answer that was lost may have created the job.
        """
        headers = {"Idempotency-Key": key}
        while not self.stopped.is_set():
            try:
                answer = client.post(path, json=body, headers=headers)
            except httpx.TransportError:
                self.stopped.wait(0.1)
                continue
            if answer.status_code != 503:
                return answer
            self.stopped.wait(0.2)
        return None

    def _note_refusal(self, answer: httpx.Response) -> None:
        self.refused.append(f"{answer.status_code} {answer.text[:300]}")

    def _note_job(self, job_id: str, job_type: str, *, buys: bool) -> None:
        self.jobs[job_id] = job_type
        if buys:
            self.buying.add(job_id)

    def _replay_one(self, client: httpx.Client, number: int) -> None:
        """Replay a job, which takes over what it had done, if it has ended and may be repeated."""
        job_id = self._draw.choice(list(self.jobs)[-12:])
        buys = job_id in self.buying
        edit = {"prompt": f"kite number {self.name}-{number}-replay"} if buys else {}
        key = f"chaos-replay-{self.name}-{number}"
        path = f"/api/jobs/{self.jobs[job_id]}/{job_id}/replay"
        answer = self._post_until_answered(client, path, {"edit": edit}, key=key)
        if answer is None:
            return
        if answer.is_success:
            self._note_job(answer.json()["jobId"], self.jobs[job_id], buys=buys)
            self.replayed += 1
        elif answer.status_code not in _NO_REPLAY:
            self._note_refusal(answer)

    def _cancel_one(self, client: httpx.Client) -> None:
        job_id = self._draw.choice(list(self.jobs)[-5:])
        self.maybe_removed.add(job_id)
        with suppress(httpx.TransportError):
            answer = client.delete(f"/api/jobs/{self.jobs[job_id]}/{job_id}")
            self.cancelled += answer.is_success
