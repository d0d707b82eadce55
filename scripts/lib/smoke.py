# ruff: noqa: INP001 - run by scripts/smoke, never imported
"""One job through a deployment: `python smoke.py URL SECONDS`, the token in $TASKREEL_TOKEN or $SMOKE_JWT_SECRET."""

from __future__ import annotations

import os
import sys
import time
import uuid
from http import HTTPStatus
from typing import Any, NoReturn

import httpx
import jwt

FINAL = frozenset({"COMPLETED", "FAILED", "CANCELLED", "EXPIRED"})
JOB = {
    "prompt": "smoke test",
    "provider": "studio",
    "options": {"width": 64, "height": 64, "seed": 1},
}


def give_up(text: str) -> NoReturn:
    """The end of a smoke test that found something."""
    sys.exit(f"smoke: {text}")


def token() -> str:
    """The caller's own, or one for an admin that holds for ten minutes."""
    if given := os.environ.get("TASKREEL_TOKEN"):
        return given
    now = int(time.time())
    claims = {"sub": "taskreel-smoke", "role": "admin", "iat": now, "exp": now + 600}
    return jwt.encode(claims, os.environ["SMOKE_JWT_SECRET"], algorithm="HS256")


def say(text: str) -> None:
    """A line for the reader."""
    sys.stdout.write(f"ok      {text}\n")


def expect(answer: httpx.Response, *statuses: int) -> Any:
    """The JSON of an answer with one of these statuses."""
    if answer.status_code not in statuses:
        give_up(
            f"{answer.request.method} {answer.request.url} answered {answer.status_code}: {answer.text[:300]}"
        )
    return answer.json()


def have_a_credit(api: httpx.Client) -> None:
    """The job costs one; an admin may give it to itself."""
    balance = expect(api.get("/api/credits"), HTTPStatus.OK)
    if balance["available"] < 1:
        grant = {"amount": 1, "reason": "smoke test"}
        answer = api.post(f"/api/credits/{balance['userId']}/grants", json=grant)
        if answer.status_code == HTTPStatus.FORBIDDEN:
            give_up(
                f"{balance['userId']} has no credits and is no admin; grant one, or give an admin's TASKREEL_TOKEN"
            )
        expect(answer, HTTPStatus.CREATED)


def run(api: httpx.Client, seconds: float) -> None:
    """Submit, wait, look at what came out."""
    expect(api.get("/api/jobs/health", headers={"Authorization": ""}), HTTPStatus.OK)
    say("the API and its store answer")
    if (
        api.post("/api/jobs/image-generation", json=JOB, headers={"Authorization": ""}).status_code
        != HTTPStatus.UNAUTHORIZED
    ):
        give_up("a job without a token was not refused")
    say("a job without a token is refused")
    have_a_credit(api)
    key = {"Idempotency-Key": f"smoke-{uuid.uuid4()}"}
    submitted = expect(
        api.post("/api/jobs/image-generation", json=JOB, headers=key),
        HTTPStatus.ACCEPTED,
        HTTPStatus.OK,
    )
    again = expect(
        api.post("/api/jobs/image-generation", json=JOB, headers=key),
        HTTPStatus.ACCEPTED,
        HTTPStatus.OK,
    )
    if again["jobId"] != submitted["jobId"]:
        give_up("the same Idempotency-Key made two jobs")
    say(f"job {submitted['jobId']} accepted once")
    job = wait(api, submitted["jobId"], seconds)
    if job["status"] != "COMPLETED" or job["credits"]["captured"] != 1:
        give_up(f"the job ended {job['status']} with credits {job['credits']}: {job.get('error')}")
    say(f"completed in {job['attempt']} attempt, 1 credit captured")
    result = expect(api.get(f"/api/jobs/{job['jobId']}/result"), HTTPStatus.OK)
    artifact = result["artifacts"][0]
    # Its URL is signed: a token is neither needed nor to be shown to the bucket.
    content = httpx.get(artifact["url"], timeout=30, follow_redirects=True)
    if content.status_code != HTTPStatus.OK or len(content.content) != artifact["bytes"]:
        give_up(
            f"the artifact's URL answered {content.status_code} with {len(content.content)} bytes"
        )
    say(f"{artifact['name']}: {artifact['bytes']} bytes of {artifact['contentType']}")


def wait(api: httpx.Client, job_id: str, seconds: float) -> Any:
    """The job when it has ended."""
    until = time.monotonic() + seconds
    while True:
        job = expect(api.get(f"/api/jobs/{job_id}"), HTTPStatus.OK)
        if job["status"] in FINAL:
            return job
        if time.monotonic() > until:
            give_up(
                f"the job is still {job['status']} after {seconds:g} s; scripts/doctor says what may hold it up"
            )
        time.sleep(1)


def main() -> None:
    """The command line above."""
    url, seconds = sys.argv[1], float(sys.argv[2])
    headers = {"Authorization": f"Bearer {token()}"}
    try:
        with httpx.Client(base_url=url, headers=headers, timeout=60) as api:
            run(api, seconds)
    except httpx.TransportError as error:
        give_up(f"{url} does not answer ({error}); scripts/deploy puts it there")


if __name__ == "__main__":
    main()
