# ruff: noqa: INP001 - run by scripts/smoke, never imported
"""Send one job through a deployment: `python smoke.py URL SECONDS`.

The token is $TASKREEL_TOKEN, else that of the Firebase user in $SMOKE_LOGIN, else one signed with
$SMOKE_JWT_SECRET. With $SMOKE_WITHOUT_TOKEN, the reason why there is none, the test ends at the
refusal of a request without a token. The job needs no generation service: Taskreel itself tints a
small picture.
"""

from __future__ import annotations

import base64
import json
import os
import struct
import sys
import time
import uuid
import zlib
from http import HTTPStatus
from typing import Any, NoReturn

import httpx
import jwt

FINAL = frozenset({"COMPLETED", "FAILED", "CANCELLED", "EXPIRED"})
SIDE = 64
PATH = "/api/jobs/personalization"


def build_png() -> bytes:
    """A grey picture of 64×64 pixels."""
    header = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 0, 0, 0, 0)  # 8 bits of grey a pixel
    rows = (b"\0" + bytes([128]) * SIDE) * SIDE
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    found = b"\x89PNG\r\n\x1a\n"
    for name, data in chunks:
        found += struct.pack(">I", len(data)) + name + data
        found += struct.pack(">I", zlib.crc32(name + data))
    return found


def build_job() -> dict[str, Any]:
    """The job's request. It carries its input, so that nothing outside the deployment is needed."""
    picture = base64.b64encode(build_png()).decode()
    return {"imageUrl": f"data:image/png;base64,{picture}", "aspects": {"palette": "warm"}}


def give_up(text: str) -> NoReturn:
    """End with what is wrong."""
    sys.exit(f"smoke: {text}")


def sign_in(login: dict[str, str]) -> str:
    """The token of a Firebase user, by `apiKey`, `email` and `password`."""
    endpoint = os.environ.get("IDENTITY_TOOLKIT_ENDPOINT", "https://identitytoolkit.googleapis.com")
    answer = httpx.post(
        f"{endpoint}/v1/accounts:signInWithPassword",
        params={"key": login["apiKey"]},
        json={"email": login["email"], "password": login["password"], "returnSecureToken": True},
        timeout=30,
    )
    if answer.status_code != HTTPStatus.OK:
        message = answer.json().get("error", {}).get("message", answer.text[:300])
        give_up(
            f"{login['email']} of the secret taskreel-smoke-login cannot sign in: {message}. "
            "Check the user in Firebase Authentication, or add a version of the secret"
        )
    token: str = answer.json()["idToken"]
    return token


def find_token() -> str:
    """The caller's own token, that of the Firebase user, or one of an admin for ten minutes."""
    if given := os.environ.get("TASKREEL_TOKEN"):
        return given
    if login := os.environ.get("SMOKE_LOGIN"):
        return sign_in(json.loads(login))
    now = int(time.time())
    claims = {"sub": "taskreel-smoke", "role": "admin", "iat": now, "exp": now + 600}
    return jwt.encode(claims, os.environ["SMOKE_JWT_SECRET"], algorithm="HS256")


def report(text: str) -> None:
    """Print that a step has passed."""
    sys.stdout.write(f"ok      {text}\n")


def expect_json(answer: httpx.Response, *statuses: int) -> Any:
    """The JSON of an answer with one of these statuses."""
    if answer.status_code not in statuses:
        request = answer.request
        give_up(
            f"{request.method} {request.url} answered {answer.status_code}: {answer.text[:300]}"
        )
    return answer.json()


def ensure_credit(api: httpx.Client) -> None:
    """Have the one credit that the job costs; an admin may grant it to itself."""
    balance = expect_json(api.get("/api/credits"), HTTPStatus.OK)
    if balance["available"] >= 1:
        return
    user = balance["userId"]
    answer = api.post(f"/api/credits/{user}/grants", json={"amount": 1, "reason": "smoke test"})
    if answer.status_code == HTTPStatus.FORBIDDEN:
        give_up(
            f"{user} has no credits and is no admin: grant one, or set an admin's TASKREEL_TOKEN"
        )
    expect_json(answer, HTTPStatus.CREATED)


def check_refusal(api: httpx.Client, job: dict[str, Any]) -> None:
    """Check that the API and its store answer, and that the API refuses a job without a token."""
    expect_json(api.get("/api/jobs/health", headers={"Authorization": ""}), HTTPStatus.OK)
    report("the API and its store answer")
    refused = api.post(PATH, json=job, headers={"Authorization": ""})
    if refused.status_code != HTTPStatus.UNAUTHORIZED:
        give_up(
            f"a job without a token was not refused with 401: {refused.status_code} "
            f"{refused.text[:300]}"
        )
    report("a job without a token is refused")


def run_smoke_test(api: httpx.Client, job: dict[str, Any], seconds: float) -> None:
    """Submit the job, wait for its end, and fetch its artifact."""
    ensure_credit(api)
    submitted = submit_twice(api, job)
    report(f"job {submitted['jobId']} accepted once")
    ended = wait_for_end(api, submitted["jobId"], seconds)
    if ended["status"] != "COMPLETED" or ended["credits"]["captured"] != 1:
        give_up(
            f"the job ended {ended['status']} with credits {ended['credits']}: {ended.get('error')}"
        )
    report(f"completed in {ended['attempt']} attempt, 1 credit captured")
    fetch_artifact(api, ended["jobId"])


def submit_twice(api: httpx.Client, job: dict[str, Any]) -> Any:
    """Submit the job twice under one Idempotency-Key, which must make one job."""
    key = {"Idempotency-Key": f"smoke-{uuid.uuid4()}"}
    first, second = (
        expect_json(api.post(PATH, json=job, headers=key), HTTPStatus.ACCEPTED, HTTPStatus.OK)
        for _ in range(2)
    )
    if second["jobId"] != first["jobId"]:
        give_up("the same Idempotency-Key made two jobs")
    return first


def fetch_artifact(api: httpx.Client, job_id: str) -> None:
    """Fetch the job's file from the bucket and compare its size."""
    result = expect_json(api.get(f"/api/jobs/{job_id}/result"), HTTPStatus.OK)
    artifact = result["artifacts"][0]
    # Its URL is signed: a token is neither needed nor to be shown to the bucket.
    content = httpx.get(artifact["url"], timeout=30, follow_redirects=True)
    if content.status_code != HTTPStatus.OK or len(content.content) != artifact["bytes"]:
        size = len(content.content)
        give_up(f"the artifact's URL answered {content.status_code} with {size} bytes")
    report(f"{artifact['name']}: {artifact['bytes']} bytes of {artifact['contentType']}")


def wait_for_end(api: httpx.Client, job_id: str, seconds: float) -> Any:
    """Poll the job until it has ended."""
    until = time.monotonic() + seconds
    while True:
        job = expect_json(api.get(f"/api/jobs/{job_id}"), HTTPStatus.OK)
        if job["status"] in FINAL:
            return job
        if time.monotonic() > until:
            give_up(
                f"the job is still {job['status']} after {seconds:g} s; "
                "scripts/doctor says what may hold it up"
            )
        time.sleep(1)


def main() -> None:
    """Run the command line above."""
    url, seconds = sys.argv[1], float(sys.argv[2])
    without_token = os.environ.get("SMOKE_WITHOUT_TOKEN")
    headers = {} if without_token else {"Authorization": f"Bearer {find_token()}"}
    job = build_job()
    try:
        with httpx.Client(base_url=url, headers=headers, timeout=60) as api:
            check_refusal(api, job)
            if without_token:
                sys.stdout.write(f"not tested: a job. {without_token}\n")
            else:
                run_smoke_test(api, job, seconds)
    except httpx.TransportError as error:
        give_up(f"{url} does not answer ({error}); scripts/deploy puts it there")


if __name__ == "__main__":
    main()
