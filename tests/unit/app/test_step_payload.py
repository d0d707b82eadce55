"""Payloads of steps, once filled in, and outputs of providers, that are not usable."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from taskreel.app.jobs.output_files import store_outputs
from taskreel.app.pipelines.child_jobs import read_step_payload
from taskreel.domain.errors import PermanentError
from taskreel.jobtypes import JOB_TYPES
from taskreel.media.probe import probe_file
from taskreel.ports import Output
from unit.domain.samples import job

IMAGE = JOB_TYPES["image-generation"]


def test_a_payload_that_does_not_fit_names_the_step_and_the_field() -> None:
    with pytest.raises(PermanentError, match=r"Step cover: .*prompt") as raised:
        read_step_payload({"prompt": 5}, IMAGE, "cover")
    assert raised.value.code == "bad_payload"


def test_a_step_cannot_depend_on_other_jobs() -> None:
    payload = {"prompt": "a kite", "dependsOn": [{"jobId": "job_1"}]}
    with pytest.raises(PermanentError, match="use `after`") as raised:
        read_step_payload(payload, IMAGE, "cover")
    assert raised.value.code == "bad_payload"


async def test_an_output_without_a_file_is_a_permanent_error(tmp_path: Path) -> None:
    nothing = cast(Any, None)  # no port is used before the output is checked
    with pytest.raises(PermanentError, match="without naming a file") as raised:
        await store_outputs(nothing, job(), [Output()], "result", tmp_path)
    assert raised.value.code == "no_output"


async def test_an_output_of_an_unknown_kind_is_named_as_the_providers(tmp_path: Path) -> None:
    file = tmp_path / "image.download"
    file.write_bytes(b"<html>Sold out</html>")
    services = SimpleNamespace(
        probe_file=lambda path: asyncio.to_thread(probe_file, path),
        work_dirs=SimpleNamespace(reserve=lambda *_given, **_options: True),
    )
    with pytest.raises(PermanentError, match=r"^The provider's result image is a web page"):
        await store_outputs(cast(Any, services), job(), [Output(path=file)], "image", tmp_path)
