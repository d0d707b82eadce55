"""Ask a deployed public service something without a token: `python -m plan.ask_api URL`.

Prints nothing if it answers as it should, else the problem. The API, whose URL has no path, is
asked for a list of jobs and must refuse (401); any other URL must be answered (200).
"""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.parse
import urllib.request
from http import HTTPStatus

PATH = "/api/jobs"


def describe_answer(
    status: int,
    content_type: str,
    body: bytes,
    expected: HTTPStatus = HTTPStatus.UNAUTHORIZED,
) -> str:
    """Return the problem with an answer to a request without a token; empty if there is none."""
    own = content_type.startswith("application/problem+json")
    if status == expected and (own or expected == HTTPStatus.OK):
        return ""
    if status == HTTPStatus.FORBIDDEN and not own:
        return (
            "answers 403 from Google, not from Taskreel: Cloud Run refuses calls without a Google "
            "account. Open it: gcloud run services update SERVICE --no-invoker-iam-check"
        )
    text = json.loads(body).get("detail", "") if own else ""
    return f"answers {status} to a request without a token, instead of {expected}. {text}".strip()


def main() -> None:
    """Run the command line."""
    given = sys.argv[1]
    is_api = urllib.parse.urlsplit(given).query == ""
    url = given.rstrip("/") + PATH if is_api else given
    expected = HTTPStatus.UNAUTHORIZED if is_api else HTTPStatus.OK
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310 - a service's URL
            content_type = answer.headers["Content-Type"] or ""
            problem = describe_answer(answer.status, content_type, b"{}", expected)
    except urllib.error.HTTPError as error:
        body = error.read()
        content_type = error.headers["Content-Type"] or ""
        problem = describe_answer(error.code, content_type, body, expected)
    except OSError as error:
        problem = f"cannot be reached: {getattr(error, 'reason', error)}"
    sys.stdout.write(problem)


if __name__ == "__main__":
    main()
