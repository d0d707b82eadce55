"""Checks of schemathesis: of removals, of batches and of the time of answers; short streams.

A DELETE may only cancel, a batch is refused job by job, and a stream of events may never end.
schemathesis loads this file by the variable `SCHEMATHESIS_HOOKS`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import requests
import schemathesis
from schemathesis.checks import CheckContext, CheckInternals
from schemathesis.core.transport import Response
from schemathesis.generation.case import Case
from schemathesis.specs.openapi.checks import use_after_free
from schemathesis.transport import requests as transport

#: Longest answer on a loaded machine, in seconds, beside the wait that the request asks for.
_LONGEST_ANSWER_S = 10.0
#: A stream is read until nothing has come for so long; then the client goes away.
_SILENCE_S = 1.0
_WAIT = re.compile(r"wait=(\d{1,2})", re.ASCII)


class _WithoutCancellations(CheckInternals):
    """The requests of a scenario, in which a DELETE that cancelled a job has no answer.

    It is answered with 200 and the job, which stays readable: what was finished of it has been
    paid for. The next DELETE removes the job, and is answered with 204.
    """

    def find_response(self, *, case_id: str) -> Response | None:
        found = super().find_response(case_id=case_id)
        if found is None or found.request.method != "DELETE" or found.status_code != 200:
            return found
        return None if "jobId" in found.json() else found


@schemathesis.check
def use_after_removal(ctx: CheckContext, response: Response, case: Case[Any]) -> bool | None:
    """The built-in `use_after_free`, with cancellations told from removals."""
    own = ctx.internals
    internals = _WithoutCancellations(
        own.override, own.auth, own.headers, own.transport_kwargs, own.recorder, own.checks
    )
    context: Any = SimpleNamespace(internals=internals)
    return use_after_free(context, response, case)


@schemathesis.check
def answer_in_time(_ctx: CheckContext, response: Response, _case: Case[Any]) -> None:
    """The built-in `max_response_time`, with the wait of a `Prefer` header allowed for."""
    wanted = _WAIT.search(str(response.request.headers.get("Prefer", "")))
    longest = _LONGEST_ANSWER_S + (float(wanted[1]) if wanted else 0.0)
    assert response.elapsed <= longest, f"answered after {response.elapsed:.1f} s of {longest:g}"


@schemathesis.check
def malformed_batch_is_refused(_ctx: CheckContext, response: Response, case: Case[Any]) -> None:
    """A body that is no batch is refused whole, and of a batch each job that is malformed."""
    body: Any = case.body
    is_batch = case.path == "/api/jobs:batch" and isinstance(body, dict)
    if not is_batch or response.status_code != 200:
        return
    found: Any = response.json()
    results, jobs = found["results"], body["jobs"]
    assert [one["index"] for one in results] == list(range(len(jobs)))
    assert found["refused"] == sum(one["status"] >= 400 for one in results)
    for job, one in zip(jobs, results, strict=True):
        is_request = isinstance(job, dict) and isinstance(job.get("jobType"), str)
        assert is_request or one["status"] >= 400, f"{job!r} was accepted"


_read_events = transport._iter_event_stream


def _read_events_until_silence(response: requests.Response) -> Iterator[bytes]:
    """Read a stream as schemathesis does, but not for the whole time of a request.

    The silence is counted after the headers: an answer that takes long is a finding of its own.
    """
    connection = getattr(response.raw, "_connection", None)
    if connection is not None and connection.sock is not None:
        connection.sock.settimeout(_SILENCE_S)
    return _read_events(response)


transport._iter_event_stream = _read_events_until_silence
