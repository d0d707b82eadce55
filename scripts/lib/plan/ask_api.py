"""Ask a deployed API for a list of jobs without a token: `python -m plan.ask_api URL`.

Prints nothing if the API itself refuses (401), else the problem.
"""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request
from http import HTTPStatus

PATH = "/api/jobs"


def describe_answer(status: int, content_type: str, body: bytes) -> str:
    """Return the problem with an answer to a request without a token; empty if there is none."""
    own = content_type.startswith("application/problem+json")
    if status == HTTPStatus.UNAUTHORIZED and own:
        return ""
    if status == HTTPStatus.FORBIDDEN and not own:
        return (
            "answers 403 from Google, not from Taskreel: Cloud Run lets nobody in without a Google "
            "account. Open it: gcloud run services update jobs-api --no-invoker-iam-check"
        )
    text = json.loads(body).get("detail", "") if own else ""
    return f"answers {status} to a request without a token, instead of 401. {text}".strip()


def main() -> None:
    """Run the command line."""
    url = sys.argv[1].rstrip("/") + PATH
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310 - a service's URL
            problem = describe_answer(answer.status, answer.headers["Content-Type"] or "", b"{}")
    except urllib.error.HTTPError as error:
        body = error.read()
        problem = describe_answer(error.code, error.headers["Content-Type"] or "", body)
    except OSError as error:
        problem = f"cannot be reached: {getattr(error, 'reason', error)}"
    sys.stdout.write(problem)


if __name__ == "__main__":
    main()
