"""No request made from the OpenAPI document is answered with a fault by the local stack itself."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from functions.openapi_fuzz import fuzz_stack


@pytest.mark.slow
async def test_some_seconds_of_requests_to_the_embedded_stack_find_no_fault(
    tmp_path: Path,
) -> None:
    """`scripts/fuzz --stack embedded` for ten minutes a night; here for as long as CI has.

    Its store, queues, files, media work and streams are real, unlike those of the simulated world
    in `tests/functions/test_openapi_fuzz.py`; where the machine is slow, fewer requests are sent.
    """
    result = await fuzz_stack(tmp_path, "--phases=coverage", "--seed=20261127", "--max-time=8")
    assert result.passed, "\n".join([*result.crashes, result.report])
    # Every operation takes part, the stream of all jobs included.
    assert re.search(r"Selected: (\d+)/\1$", result.report, re.MULTILINE)
