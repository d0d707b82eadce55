"""Replies of any shape, and every error of the HTTP library, become errors of our tree."""

from __future__ import annotations

import contextlib
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from providers.case import Case, run_until_done
from providers.cases import CASES
from providers.test_contract import every_case
from streamed_answers import StreamedAnswers
from taskreel.domain.errors import ProviderDownError, RateLimitedError, RunError

#: The names of fields in the providers' answers.
FIELDS = [
    *(
        "id",
        "name",
        "request_id",
        "status_url",
        "response_url",
        "urls",
        "get",
        "polling_url",
        "status",
        "result",
    ),
    *(
        "sample",
        "output",
        "content",
        "text",
        "type",
        "data",
        "b64_json",
        "usage",
        "candidates",
        "parts",
        "response",
    ),
    *(
        "inlineData",
        "done",
        "error",
        "videos",
        "generatedSamples",
        "images",
        "url",
        "progress",
        "incomplete_details",
    ),
]
BEGUN = {
    "id": "i",
    "name": "n",
    "request_id": "r",
    "status_url": "/s",
    "response_url": "/r",
    "cancel_url": "/c",
}
STATUS_WORDS = [
    "Ready",
    "SUCCEEDED",
    "succeeded",
    "COMPLETED",
    "completed",
    "FAILED",
    "failed",
    "incomplete",
    "x",
    7,
]
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.just("https://x.example/y.png")
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=5)
    ),
    max_leaves=15,
)


@every_case
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
async def test_an_answer_in_any_other_shape_is_an_error_of_the_tree(
    case: Case, tmp_path: Path, data: st.DataObject
) -> None:
    created = data.draw(st.dictionaries(st.sampled_from(FIELDS), json_values, max_size=6))
    status = data.draw(st.sampled_from(STATUS_WORDS))
    polled = {
        **data.draw(st.dictionaries(st.sampled_from(FIELDS), json_values, max_size=6)),
        "status": status,
    }
    answers = iter([{**BEGUN, **created}])
    transport = StreamedAnswers(lambda _request: httpx.Response(200, json=next(answers, polled)))
    with contextlib.suppress(RunError):
        await run_until_done(
            case.adapter(case.fake(), transport=transport), case.request(tmp_path), max_polls=2
        )


def _httpx_errors() -> list[type[httpx.HTTPError]]:
    found: list[type[httpx.HTTPError]] = []
    queue: list[type[httpx.HTTPError]] = [httpx.RequestError]
    while queue:
        kind = queue.pop()
        found.append(kind)
        queue.extend(kind.__subclasses__())
    return found


@pytest.mark.parametrize("kind", _httpx_errors())
async def test_no_error_of_the_http_library_gets_through(
    kind: type[httpx.HTTPError], tmp_path: Path
) -> None:
    def fail(_request: httpx.Request) -> httpx.Response:
        raise kind("boom")

    case = CASES[0]
    provider = case.adapter(case.fake(), transport=StreamedAnswers(fail))
    with pytest.raises(RunError):
        await provider.start(case.request(tmp_path), idempotency_key="k")
    # A wait for a connection of this instance says nothing of the provider.
    expected = RateLimitedError if kind is httpx.PoolTimeout else ProviderDownError
    with pytest.raises(expected):
        await provider.poll({"id": "x", "url": "/v1/get_result?id=x"}, case.request(tmp_path))
