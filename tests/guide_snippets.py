"""The shell blocks of a guide, and the requests that they write into files and submit."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

GUIDES = Path(__file__).parents[1] / "infra/guides"
_FILE = re.compile(r"^cat > (\S+) <<'EOF'\n(.*?)^EOF$", re.MULTILINE | re.DOTALL)
_SUBMISSION = re.compile(r"^\.venv/bin/taskreel submit (\S+) @(\S+)(.*)$", re.MULTILINE)


def read_blocks(guide: str) -> list[str]:
    """The shell blocks of a guide, in order."""
    text = (GUIDES / guide).read_text("utf-8")
    return re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def read_submissions(guide: str) -> list[tuple[str, dict[str, Any]]]:
    """The job type and the request of each submission from a file that a guide carries out."""
    script = "".join(read_blocks(guide))
    files = {name: json.loads(content) for name, content in _FILE.findall(script)}
    return [
        (job_type, files[name])
        for job_type, name, options in _SUBMISSION.findall(script)
        if "--dry-run" not in options
    ]
