"""One price: GET /types, a quote, the hold and the charge agree for every job type."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import httpx
import pytest

from functions.job_requests import PAID_TYPES, complete_job, read_job, submit_job
from simulation import world as simulation
from simulation.world import World, running
from taskreel import jobtypes
from taskreel.app.pricing.credit_cost import compute_credits, compute_step_credits
from taskreel.jobtypes import JOB_TYPES
from taskreel.jobtypes.job_type import JobType

ROOT = Path(__file__).parents[2]
#: The output of an earlier step, in a payload.
OUTPUT = "{{steps.a.artifacts[0].url}}"
#: The job type that README adds, priced other than a plain image.
STICKER = '''
from pydantic import Field

from taskreel.jobtypes.fields import Prompt
from taskreel.jobtypes.image_generation import ImageOptions, image_unit
from taskreel.jobtypes.job_type import JobType
from taskreel.jobtypes.submission import Submission
from taskreel.ports import Capability


class StickerOptions(ImageOptions):
    """Small, unless asked otherwise."""

    width: int = Field(default=512, ge=64, le=1024)
    height: int = Field(default=512, ge=64, le=1024)


class Sticker(Submission):
    """`{prompt, options}`."""

    prompt: Prompt
    options: StickerOptions = Field(default_factory=StickerOptions)


STICKER = JobType(
    name="sticker",
    summary="A small square picture",
    submission=Sticker,
    capability=Capability.IMAGE,
    units=lambda job: (image_unit(job.prompt, job.options, "sticker", credits=3),),
    example={"prompt": "a happy lighthouse"},
)
'''
#: Types whose example starts from no file, so that it can run here.
RUNNABLE = ("image-generation", "batch-generation", "script-generation", "story-generation")


@pytest.fixture
async def sticker_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    """A world with the sticker type: one file and one row; its queues follow from it."""
    module = ModuleType("taskreel.jobtypes.sticker")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(STICKER, module.__dict__)  # noqa: S102 - the file that README shows
    table = cast("dict[str, str]", jobtypes._TABLE)
    monkeypatch.setitem(table, "sticker", "sticker:STICKER")

    queues = tmp_path / "queues.yaml"
    queues.write_text(render_queues_file((ROOT / "infra/queues.yaml").read_text("utf-8")))
    monkeypatch.setattr(simulation, "QUEUES", queues)
    async with running(tmp_path, monkeypatch, initial_credits=1000) as made:
        yield made
    # It remembers the types that it has found.
    jobtypes.find_job_type.cache_clear()


def render_queues_file(text: str) -> str:
    path = ROOT / "scripts/lib/declare_queues.py"
    spec = importlib.util.spec_from_file_location("declare_queues", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return cast("str", module.render_queues_file(text))


async def published_price(client: httpx.AsyncClient, job_type: str) -> str:
    types = (await client.get("/api/jobs/types")).json()["jobTypes"]
    return next(str(each["price"]) for each in types if each["jobType"] == job_type)


async def quoted_credits(client: httpx.AsyncClient, job_type: str, body: Any) -> int:
    answer = await client.post(f"/api/jobs/{job_type}?validateOnly=true", json=body)
    assert answer.status_code == 200, answer.text
    return int(answer.json()["cost"])


def prices_of_parts(kind: JobType[Any]) -> set[int]:
    """The price of each unit of the example, or of one job of each step."""
    submission = kind.submission.model_validate(kind.example)
    if kind.pipeline is None:
        return {unit.credits for unit in kind.units(submission)}
    pipeline = kind.pipeline(submission)
    credits_by_step = compute_step_credits(pipeline)
    return {credits_by_step[name] // step.width for name, step in pipeline.steps.items()}


def numbers_in(text: str) -> set[int]:
    return {int(number) for number in re.findall(r"\d+", text)}


async def charged_credits(world: World, client: httpx.AsyncClient, job_type: str, body: Any) -> int:
    job = await complete_job(world, client, job_type, body)
    return int(job["credits"]["captured"])


@pytest.mark.parametrize("job_type", JOB_TYPES)
async def test_the_published_price_states_the_price_of_every_part(
    job_type: str, ada: httpx.AsyncClient
) -> None:
    price = await published_price(ada, job_type)
    if job_type == "pipeline":  # its parts are the caller's
        assert price == "the sum of its jobs; only those that succeed are charged"
    else:
        assert prices_of_parts(JOB_TYPES[job_type]) <= numbers_in(price)


@pytest.mark.parametrize("job_type", JOB_TYPES)
async def test_the_guide_states_the_published_price(job_type: str, ada: httpx.AsyncClient) -> None:
    price = await published_price(ada, job_type)
    guide = (ROOT / "infra/guides/providers.md").read_text("utf-8")
    assert f"| `{job_type}` | {price} |" in guide


# Of the others: test_paid_types.py.
@pytest.mark.parametrize("job_type", sorted(JOB_TYPES.keys() - PAID_TYPES))
async def test_a_quote_is_what_a_job_holds(job_type: str, ada: httpx.AsyncClient) -> None:
    kind = JOB_TYPES[job_type]
    body = dict(kind.example)
    quoted = await quoted_credits(ada, job_type, body)
    job = await submit_job(ada, body, f"/api/jobs/{job_type}")
    assert (await read_job(ada, job))["credits"]["held"] == quoted
    if kind.price_text is None:
        assert numbers_in(kind.price) == {quoted}


@pytest.mark.parametrize("job_type", JOB_TYPES)
def test_a_step_that_is_not_known_yet_costs_what_a_usual_job_does(job_type: str) -> None:
    kind = JOB_TYPES[job_type]
    assert compute_credits(kind, kind.usual_submission()) >= (job_type != "webhook")  # it is free


@pytest.mark.parametrize("job_type", RUNNABLE)
async def test_a_job_is_charged_what_was_quoted(
    job_type: str, world: World, ada: httpx.AsyncClient
) -> None:
    body: dict[str, Any] = {**JOB_TYPES[job_type].example, "provider": "studio"}
    body.pop("model", None)
    if "options" in body:
        body["options"] = {"width": 64, "height": 64}
    quoted = await quoted_credits(ada, job_type, body)
    assert await charged_credits(world, ada, job_type, body) == quoted


async def test_readme_s_sticker_has_one_price(sticker_world: World) -> None:
    world = sticker_world
    ada = world.as_user("ada")
    body = {"prompt": "a happy lighthouse", "options": {"width": 64, "height": 64}}
    assert await published_price(ada, "sticker") == "3 credits"
    assert await quoted_credits(ada, "sticker", body) == 3
    assert await charged_credits(world, ada, "sticker", body) == 3


@pytest.mark.parametrize(
    ("payload", "job_type", "expected"),
    [
        ({"task": "image-to-video", "input": {"imageUrl": OUTPUT}}, "ai-processing", 5),
        ({"task": "upscale", "input": {"files": [OUTPUT]}}, "ai-processing", 2),
        ({"task": "text-to-image", "input": OUTPUT}, "ai-processing", 1),
        ({"url": OUTPUT}, "content-analysis", 2),
        ({"url": OUTPUT, "insights": False}, "content-analysis", 1),
    ],
)
def test_a_step_whose_files_are_templates_is_priced_by_its_literal_fields(
    payload: dict[str, Any], job_type: str, expected: int
) -> None:
    steps = {
        "a": {"type": "image-generation", "payload": {"prompt": "a kite"}},
        "b": {"type": job_type, "payload": payload},
    }
    declared = JOB_TYPES["pipeline"]
    submission = declared.submission.model_validate({"steps": steps})
    assert declared.pipeline is not None
    assert compute_step_credits(declared.pipeline(submission))["b"] == expected
