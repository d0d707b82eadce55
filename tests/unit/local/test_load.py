from __future__ import annotations

import contextlib
import itertools
import json
import math
import random
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from click.testing import CliRunner

from http_handlers import serve_handler
from taskreel_local.bench.line_chart import LineChart, draw_lines, round_up
from taskreel_local.bench.process_tree import BenchmarkError
from taskreel_local.load import __main__ as command
from taskreel_local.load import load_run, load_target
from taskreel_local.load.arrivals import ARRIVALS, BURST_SECONDS
from taskreel_local.load.job_mix import (
    MixError,
    draw_request,
    load_requests,
    parse_mix,
)
from taskreel_local.load.load_figures import build_charts, find_figures
from taskreel_local.load.load_report import LoadReport, store_report
from taskreel_local.load.load_run import LoadRun
from taskreel_local.load.load_samples import (
    EndedJob,
    Samples,
    Submission,
    Usage,
    find_percentile,
    read_ended_job,
)
from taskreel_local.load.load_target import find_local_stack
from taskreel_local.load.soak_verdicts import judge_soak
from taskreel_local.load.stack_usage import StackUsage

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


def build_samples(seconds: int = 100, **changes: Any) -> Samples:
    """Ten jobs a second; `changes` are functions of the second: latency, memory, open, out."""
    samples = Samples()
    for second in range(seconds):
        latency = changes.get("latency", lambda _: 20.0)(second)
        out = changes.get("out", lambda _: 10)(second)
        at = second + 0.5
        sent = Submission(at=at, milliseconds=latency, late_ms=0.1)
        samples.submissions += [sent] * 10
        job = EndedJob(at=at, status="COMPLETED", wait_ms=5.0, run_ms=1.0)
        samples.ended += [job] * out
        used = Usage(
            at=at,
            megabytes=changes.get("memory", lambda _: 200.0)(second),
            descriptors=changes.get("open", lambda _: 100)(second),
            cpu_seconds=second / 2,
        )
        samples.usage.append(used)
    return samples


def find_failing(samples: Samples) -> list[str]:
    return [each.name for each in judge_soak(samples, 100) if not each.holds]


def test_each_arrival_process_has_its_rate() -> None:
    for arrive in ARRIVALS.values():
        times = list(itertools.islice(arrive(20.0, random.Random(3)), 20_000))
        assert times == sorted(times)
        assert times[-1] == pytest.approx(1000, rel=0.05)


def test_a_burst_brings_the_jobs_of_several_seconds_at_once() -> None:
    times = itertools.takewhile(
        lambda at: at < 3 * BURST_SECONDS, ARRIVALS["bursts"](4.0, random.Random(1))
    )
    assert {at: len(list(same)) for at, same in itertools.groupby(times)} == {
        0.0: 20,
        BURST_SECONDS: 20,
        2 * BURST_SECONDS: 20,
    }


def test_a_mix_is_drawn_by_its_weights() -> None:
    requests, draw = parse_mix("plain=9, batch=1"), random.Random(5)
    names = [draw_request(requests, draw).name for _ in range(5000)]
    assert names.count("batch") == pytest.approx(500, rel=0.2)


@pytest.mark.parametrize(
    ("text", "words"),
    [("film=1", "unknown kind 'film'"), ("plain", "more than 0"), ("plain=-1", "more than 0")],
)
def test_a_wrong_mix_is_refused(text: str, words: str) -> None:
    with pytest.raises(MixError, match=words):
        parse_mix(text)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[]", "at least one"),
        ("{", "cannot be read as JSON"),
        ('[{"jobType": "image-generation"}]', "entry 0 must be an object"),
        ('[{"data": {}}]', "jobType must be a text"),
        ('[{"jobType": "a", "data": {}, "weight": 0}]', "weight must be a number more than 0"),
    ],
)
def test_a_wrong_file_of_requests_is_refused(tmp_path: Path, content: str, words: str) -> None:
    file = tmp_path / "requests.json"
    file.write_text(content)
    with pytest.raises(MixError, match=words):
        load_requests(file)


def test_a_load_on_a_deployment_names_its_requests_and_its_users(tmp_path: Path) -> None:
    file = tmp_path / "requests.json"
    file.write_text('[{"jobType": "image-generation", "data": {"prompt": "a kite"}}]')
    url = ["--target", "https://api.example.com"]
    run = CliRunner().invoke
    without_requests = run(command.main, url)
    assert without_requests.exit_code == 2
    assert "--requests FILE" in without_requests.output
    unconfirmed = run(command.main, [*url, "--requests", str(file)], input="n\n")
    assert unconfirmed.exit_code == 1
    assert "This submits about 6,000 jobs to https://api.example.com" in unconfirmed.output
    without_token = run(
        command.main, [*url, "--requests", str(file), "--yes"], env={"TASKREEL_TOKEN": ""}
    )
    assert without_token.exit_code == 1
    assert "set TASKREEL_TOKEN" in without_token.output


def test_times_of_a_job_are_those_that_the_stack_has_stored() -> None:
    view = {
        "status": "FAILED",
        "createdAt": "2026-01-01T00:00:01Z",
        "statusAt": {
            "QUEUED": "2026-01-01T00:00:01Z",
            "PROCESSING": "2026-01-01T00:00:01.5Z",
            "FAILED": "2026-01-01T00:00:04Z",
        },
        "error": {"code": "refused"},
    }
    assert read_ended_job(view, BEGAN) == EndedJob(
        at=4.0, status="FAILED", wait_ms=500.0, run_ms=2500.0, error="refused"
    )
    assert read_ended_job({**view, "status": "PROCESSING"}, BEGAN) is None


def test_figures_count_what_went_in_and_out_and_errors_by_code() -> None:
    samples = build_samples(out=lambda second: 10 if second < 50 else 9)
    samples.submissions.append(
        Submission(at=1.0, milliseconds=3.0, late_ms=0.0, error="429 too_many_requests")
    )
    samples.ended.append(
        EndedJob(at=130.0, status="FAILED", wait_ms=1.0, run_ms=1.0, error="refused")
    )
    figures = find_figures(samples, 100)
    assert (figures["inPerSecond"], figures["outPerSecond"]) == (10.0, 9.5)
    assert figures["errors"] == {"429 too_many_requests": 1, "job: refused": 1}
    assert figures["stackCpuShare"] == 0.5
    json.dumps(find_figures(Samples(), 1), allow_nan=False)


def test_a_flat_soak_holds() -> None:
    assert find_failing(build_samples()) == []


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("flat memory", {"memory": lambda second: 200.0 + 2 * second}),
        ("flat descriptors", {"open": lambda second: 100 + second}),
        ("flat latency", {"latency": lambda second: 20.0 + second / 2}),
        ("no growing backlog", {"out": lambda _: 9}),
        ("submit p99", {"latency": lambda second: 101.0 if second % 10 == 0 else 20.0}),
    ],
)
def test_what_is_not_flat_fails_by_its_name(name: str, changes: dict[str, Any]) -> None:
    assert find_failing(build_samples(**changes)) == [name]


def test_a_generator_that_sends_late_does_not_count_as_the_stack() -> None:
    late = build_samples()
    late.submissions = [
        Submission(at=each.at, milliseconds=170.0, late_ms=150.0) for each in late.submissions
    ]
    assert find_failing(late) == []
    figures = find_figures(late, 100)
    assert [figures[f"{name}P99Ms"] for name in ("submit", "submitFromDue", "generatorLate")] == [
        20.0,
        170.0,
        150.0,
    ]


def test_a_stack_that_warms_up_is_flat() -> None:
    warming = build_samples(
        memory=lambda second: min(20 * second, 200), latency=lambda second: max(90 - 5 * second, 20)
    )
    assert find_failing(warming) == []


def test_a_soak_without_answers_holds_nothing() -> None:
    assert find_failing(Samples()) == ["flat latency", "no growing backlog", "submit p99"]


def test_a_percentile_is_the_smallest_value_that_covers_its_share() -> None:
    assert find_percentile(range(1, 101), 99) == 99
    assert find_percentile([7.0], 50) == 7.0
    assert math.isnan(find_percentile([], 50))


def test_a_chart_leaves_a_gap_where_nothing_was_measured() -> None:
    svg = draw_lines(LineChart(title="a < b", width=1, lines={"p50": [1, math.nan, 3, 2]}))
    path = svg.split('<path d="')[-1].split('"')[0]
    assert path.count("M") == 2
    assert "a &lt; b" in svg
    assert [round_up(value) for value in (0, 0.3, 1, 2.1, 70)] == [1, 0.5, 1, 5, 100]


def test_the_page_has_a_plot_of_each_quantity(tmp_path: Path) -> None:
    samples = build_samples()
    report = LoadReport(
        description={"target": "<here>"},
        samples=samples,
        seconds=100,
        verdicts=judge_soak(samples, 100),
    )
    page = store_report(tmp_path, report).read_text()
    assert page.count("<svg") == len(build_charts(samples, 100)) == 7
    assert "&lt;here&gt;" in page
    assert "holds: flat memory" in page
    assert json.loads((tmp_path / "load.json").read_text())["figures"]["accepted"] == 1000


def test_the_processor_time_of_an_ended_worker_stays_in_the_sum(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process with a child that works a little, and ends when its input does."""
    work = "import sys; sum(range(3_000_000)); print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", work], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as worker:
        assert worker.stdout is not None
        worker.stdout.readline()
        here = psutil.Process()
        usage = StackUsage(tmp_path)
        monkeypatch.setattr(usage, "_find_roots", lambda: [here])
        before = usage.measure(1.0)
        spent = psutil.Process(worker.pid).cpu_times().user
        worker.communicate()
    after = usage.measure(2.0)
    assert before is not None
    assert after is not None
    assert spent > 0
    assert after.cpu_seconds >= before.cpu_seconds


@contextlib.contextmanager
def grant_server(*statuses: int) -> Iterator[tuple[str, list[str | None]]]:
    """Answers with each status in turn, then with 201: its URL, and the key of each request."""
    keys: list[str | None] = []
    answers = iter(statuses)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            keys.append(self.headers["Idempotency-Key"])
            self.send_response(next(answers, 201))
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with serve_handler(Handler) as url:
        yield url, keys


def test_a_stack_that_cannot_take_a_grant_yet_is_sent_it_again_and_grants_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load_target, "_GRANT_WAIT_SECONDS", 0)
    with grant_server(503, 503) as (url, keys):
        assert find_local_stack(tmp_path, 2, url=url).url == url
    assert keys[0] is not None
    assert [key == keys[0] for key in keys] == [True, True, True, False]


def test_a_grant_that_is_refused_is_not_sent_again(tmp_path: Path) -> None:
    with grant_server(403) as (url, keys), pytest.raises(BenchmarkError, match="answered 403"):
        find_local_stack(tmp_path, 2, url=url)
    assert len(keys) == 1


async def follow_events(*answers: httpx.Response | httpx.HTTPError) -> int:
    """Begin and end a load of one user, whose events are answered so; count the requests."""
    given = iter(answers)
    count = 0

    def answer(_request: httpx.Request) -> httpx.Response:
        nonlocal count
        count += 1
        found = next(given, None) or httpx.Response(200, json={"position": "a", "events": []})
        if isinstance(found, httpx.HTTPError):
            raise found
        return found

    transport = httpx.MockTransport(answer)
    async with (
        httpx.AsyncClient(transport=transport, base_url="http://stack.test") as client,
        LoadRun([client], parse_mix("plain=1"), 1),
    ):
        return count


async def test_a_load_begins_when_a_slow_stack_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_run, "_READ_SECONDS", 0.001)
    slow = httpx.Response(503, json={"code": "store_unavailable"})
    assert await follow_events(slow, httpx.ReadTimeout(""), slow) >= 4


async def test_a_load_does_not_begin_without_rights_or_without_an_answer_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(httpx.HTTPStatusError, match="401"):
        await follow_events(httpx.Response(401))
    monkeypatch.setattr(load_run, "_READY_SECONDS", 0)
    with pytest.raises(httpx.HTTPStatusError, match="503"):
        await follow_events(httpx.Response(503))
    with pytest.raises(httpx.ReadTimeout):
        await follow_events(httpx.ReadTimeout(""))


async def test_jobs_that_do_not_end_are_counted_by_their_status() -> None:
    view = {"jobId": "job_a", "status": "QUEUED", "createdAt": "2026-01-01T00:00:00Z"}
    states = iter([{**view, "status": "RETRYING"}, None])
    numbers = itertools.count()

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            return httpx.Response(202, json={**view, "jobId": f"job_{next(numbers)}"})
        if request.url.path == "/api/jobs/events":
            return httpx.Response(200, json={"position": "a", "events": []})
        found = next(states)
        if found is None:
            raise httpx.ReadTimeout("")
        return httpx.Response(200, json=found)

    transport = httpx.MockTransport(answer)
    async with httpx.AsyncClient(transport=transport, base_url="http://stack.test") as client:
        run = LoadRun([client], parse_mix("plain=1"), 1)
        async with run:
            await run.submit_at(iter([0.0, 0.0, 9.0]), 1)
            await run.wait_for_ends(0)
    assert run.samples.unfinished == 2
    assert run.samples.count_errors() == {"not ended: RETRYING": 1, "not ended: ReadTimeout": 1}


def test_a_report_is_printed_even_if_its_stack_does_not_end_well(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    @contextlib.contextmanager
    def open_target(*_: object) -> Iterator[None]:
        yield None
        raise OSError("the folder is not empty")

    async def measure(*_: object) -> LoadReport:
        return LoadReport(description={}, samples=build_samples(), seconds=100)

    monkeypatch.setattr(command, "_open_target", open_target)
    monkeypatch.setattr(command, "run_load", measure)
    run = CliRunner().invoke(command.main, ["--json"])
    assert json.loads(run.stdout)["figures"]["accepted"] == 1000
    assert isinstance(run.exception, OSError)


def test_a_failure_without_a_text_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def open_target(*_: object) -> None:
        raise httpx.ReadTimeout("")

    monkeypatch.setattr(command, "_open_target", open_target)
    run = CliRunner().invoke(command.main, ["--json"])
    assert run.exit_code == 1
    assert "ReadTimeout" in run.stderr
