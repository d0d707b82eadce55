"""No request made from the OpenAPI document is answered with a fault, or with what it omits."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from functions.openapi_fuzz import fuzz_api


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["coverage", "stateful"])
async def test_requests_made_from_the_document_get_documented_answers_and_never_a_500(
    tmp_path: Path, phase: str
) -> None:
    """Some seconds of `scripts/fuzz`; where the machine is slow, the time ends it earlier."""
    result = await fuzz_api(
        tmp_path, f"--phases={phase}", "--seed=20261126", "--max-examples=3", "--max-time=10"
    )
    assert result.passed, "\n".join([*result.crashes, result.report])
    # Every operation of the document takes part, however many there are.
    assert re.search(r"Selected: (\d+)/\1$", result.report, re.MULTILINE)
