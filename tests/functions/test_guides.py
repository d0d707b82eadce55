"""The requests of the guides are accepted, and become what the guides say."""

from __future__ import annotations

import re

import httpx
import pytest

from functions.job_requests import complete_job
from guide_snippets import GUIDES, read_submissions
from simulation.world import World
from taskreel.adapters.providers import PROVIDERS
from taskreel.adapters.providers.model_lookup import list_rows

GUIDED = [
    (guide, number)
    for guide in ("pipelines.md", "providers.md")
    for number in range(len(read_submissions(guide)))
]


@pytest.mark.parametrize(("guide", "number"), GUIDED)
async def test_a_request_of_a_guide_completes(
    world: World, ada: httpx.AsyncClient, guide: str, number: int
) -> None:
    job_type, request = read_submissions(guide)[number]
    assert (await complete_job(world, ada, job_type, request))["result"]["artifacts"]


async def test_the_step_of_a_guide_that_is_done_already_is_adopted(
    world: World, ada: httpx.AsyncClient
) -> None:
    costs = []
    for job_type, request in read_submissions("pipelines.md")[-2:]:
        done = await complete_job(world, ada, job_type, request)
        costs.append(done["credits"]["captured"])
    assert costs == [1, 0]


def test_the_guide_says_what_is_particular_of_every_provider() -> None:
    table = (GUIDES / "providers.md").read_text("utf-8").split("## What is particular")[1]
    rows = re.findall(r"^\| ([a-z, ]+) \|", table, re.MULTILINE)
    named = {name for row in rows for name in row.split(", ")} - {"provider"}
    assert named == PROVIDERS.keys()


def test_the_models_that_the_guide_requests_exist() -> None:
    known = {row.name for row in list_rows()}
    asked = [request.get("model") for _, request in read_submissions("providers.md")]
    assert {model for model in asked if model} <= known
