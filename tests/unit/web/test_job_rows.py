"""The words by which a list shows a job."""

from __future__ import annotations

from typing import Any

import pytest

from taskreel.web.job_rows import find_title


@pytest.mark.parametrize(
    ("payload", "title"),
    [
        ({"prompt": "a red kite", "operation": "resize"}, "a red kite"),
        ({"prompt": " ", "text": "Hello"}, "Hello"),
        ({"prompts": ["a kite", 7, "a boat"]}, "a kite · a boat"),
        ({"operation": "analyze"}, "analyze"),
        ({"steps": {"draw": {}, "film": {}}}, "draw → film"),
        ({"scenes": [{}]}, "1 scene"),
        ({"scenes": [{}, {}]}, "2 scenes"),
        ({"imageUrl": "https://example.com/a/a%20cat.png?signature=secret#x"}, "a cat.png"),
        ({"imageUrl": "upload:upl_1"}, "upload:upl_1"),
        # Stored by another revision.
        ({"prompt": 7, "prompts": "a", "steps": None, "imageUrl": []}, ""),
        ({}, ""),
    ],
)
def test_a_job_is_known_by_its_prompt_its_parts_or_its_file(
    payload: dict[str, Any], title: str
) -> None:
    assert find_title(payload) == title
