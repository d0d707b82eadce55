"""The profile of a job's processor time by parts."""

from __future__ import annotations

import signal
import sys
from collections import Counter
from pathlib import Path

import orjson
import pydantic
import pytest
import uvicorn

import taskreel.adapters.local.sqlite as store
import taskreel.app.jobs.finish_job as settlement
from taskreel.domain import job
from taskreel_local.bench import cpu_samples
from taskreel_local.bench.cpu_profile import format_parts
from taskreel_local.bench.cpu_samples import find_part
from taskreel_local.bench.process_tree import BenchmarkError


def test_a_file_works_for_its_part_and_a_shared_one_for_its_caller() -> None:
    assert find_part(uvicorn.__file__) == "HTTP: parse, route, send"
    assert find_part(store.__file__) == "transactions in memory"
    assert find_part(store.__file__.replace("sqlite.py", "sqlite_file.py")) != find_part(
        store.__file__
    )
    assert find_part(settlement.__file__) == "settlement"
    assert find_part(f"{sys.base_prefix}/lib/python3.11/logging/__init__.py") == "logs"
    for shared in (job, pydantic, orjson):
        assert shared.__file__ is not None
        assert find_part(shared.__file__) is None


def test_each_part_is_a_file_or_a_folder_of_the_product() -> None:
    roots = [Path(store.__file__).parents[3], Path(cpu_samples.__file__).parents[2]]
    for beginning in cpu_samples._PARTS:
        if beginning.startswith("taskreel"):
            folder, _, name = beginning.rpartition("/")
            assert [*roots[0].glob(f"{folder}/{name}*"), *roots[1].glob(f"{folder}/{name}*")]


def test_a_sample_counts_the_part_of_the_running_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu_samples, "_WRITE_SECONDS", 0.001)
    before = signal.getsignal(signal.SIGPROF)
    stop = cpu_samples.sample(tmp_path)
    try:
        name = store.__file__
        scope = {"raise_signal": signal.raise_signal, "number": signal.SIGPROF}
        exec(compile("raise_signal(number)", name, "exec"), scope)  # noqa: S102 - code of a file
    finally:
        stop()
        signal.signal(signal.SIGPROF, before)
    assert cpu_samples.sum_samples(tmp_path)["transactions in memory"] >= 1


def test_parts_come_as_shares_of_the_time_of_a_job() -> None:
    lines = format_parts(Counter({"run": 1, "logs": 3}), 800.0).splitlines()
    assert [line.split() for line in lines[2:]] == [
        ["logs", "600", "75.0%"],
        ["run", "200", "25.0%"],
        ["all", "800", "4", "samples"],
    ]
    with pytest.raises(BenchmarkError, match="no samples"):
        format_parts(Counter(), 800.0)
