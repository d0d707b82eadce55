"""The scenario of `test_installed_client`, in an environment that has the client alone."""

from __future__ import annotations

import importlib.util
import json
import os
import tempfile
from typing import Any

from taskreel.client import Taskreel


def main() -> dict[str, Any]:
    found: dict[str, Any] = {
        "absent": [
            name
            for name in ("fastapi", "starlette", "grpc", "numpy", "taskreel.web")
            if importlib.util.find_spec(name) is None
        ]
    }
    with Taskreel(os.environ["API_URL"], os.environ["API_TOKEN"]) as taskreel:
        job = taskreel.run("image-generation", prompt="a kite", options={"width": 64, "height": 64})
        found["files"] = [(one.name, one.content_type) for one in job.files]
        slow = taskreel.submit(
            "image-generation",
            prompt="a kite",
            options={"studio": {"mode": "pending", "times": 2, "seconds": 5}},
        )
        found["streamed"] = [str(state.status) for state in taskreel.stream(slow)]
        with tempfile.TemporaryDirectory() as folder:
            found["urls"] = job.files[0].url is not None
            found["folder"] = taskreel.download(slow.job_id, folder)[0].name
        found["listed"] = [one.job_id for one in taskreel.list(limit=1)]
        found["cancelled"] = taskreel.cancel(job).status
        found["cost"] = taskreel.quote("video-generation", prompt="a kite").cost
    return found


if __name__ == "__main__":
    print(json.dumps(main()))
