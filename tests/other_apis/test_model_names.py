"""The table of other services' model names."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from taskreel.adapters.providers.model_lookup import list_rows
from taskreel.jobtypes import JOB_TYPES
from taskreel.ports import Capability
from taskreel.web.other_apis.model_names import (
    MODELS,
    NamedModel,
    Service,
    find_model,
    list_models,
    name_model,
    suggest_model,
)

NAMED = [one for models in MODELS.values() for one in models]


@pytest.mark.parametrize("named", NAMED, ids=lambda one: one.name)
def test_each_name_leads_to_a_model_that_a_provider_has_today(named: NamedModel) -> None:
    capability = Capability(named.task) if named.task else JOB_TYPES[named.job_type].capability
    rows = [row for row in list_rows(capability=capability) if row.name == named.model]
    assert any(row.is_current(datetime.now(UTC).date()) for row in rows), named


@pytest.mark.parametrize("service", MODELS)
def test_no_name_stands_twice_in_a_table(service: str) -> None:
    names = [one.name for key, models in MODELS.items() if key == service for one in models]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("service", ["fal", "replicate"])
def test_every_medium_that_we_buy_there_can_be_named_there(service: Service) -> None:
    today = datetime.now(UTC).date()
    bought = [row for row in list_rows(service) if row.capability is not Capability.TEXT]
    paths = {path.partition(":")[0] for row in bought for path in (row.path, row.input_path)} - {""}
    retired = {row.path for row in bought if not row.is_current(today)}
    assert paths - retired <= {one.name for one in MODELS[service]}


def test_every_image_and_voice_of_openai_can_be_named_by_its_clients() -> None:
    rows = [*list_rows("openai", Capability.IMAGE), *list_rows("openai", Capability.SPEECH)]
    assert {row.name for row in rows} <= {one.name for one in MODELS["openai"]}


@pytest.mark.parametrize(
    ("service", "given", "near"),
    [
        ("fal", "fal-ai/flux/schnel", "fal-ai/flux/schnell"),
        ("fal", "fal-ai/veo3/image-to-video", "fal-ai/veo3.1/image-to-video"),
        (
            "fal",
            "fal-ai/kling-video/v2.6/pro/image-to-video",
            "fal-ai/kling-video/v3/pro/image-to-video",
        ),
        ("fal", "fal-ai/ideogram/v3", None),
        ("fal", "fal-ai/luma-dream-machine/image-to-video", None),
        ("fal", "fal-ai/ffmpeg-api/compose", None),
        ("fal", "flux/schnell", None),
        ("fal", "fal-ai", None),
        ("replicate", "google/veo-3", "google/veo-3.1"),
        ("replicate", "stability-ai/sdxl", None),
        ("replicate", "meta/llama-4", None),
        ("openai", "gpt-image-9", "gpt-image-2"),
        ("openai", "whisper-1", None),
    ],
)
def test_only_a_model_of_the_same_family_is_suggested(
    service: Service, given: str, near: str | None
) -> None:
    assert suggest_model(given, [one.name for one in list_models(service)]) == near


def test_a_job_is_shown_by_the_name_that_it_was_asked_for() -> None:
    named = find_model("fal", "fal-ai/flux/dev")
    assert name_model("fal", named.job_type, named.model) == "fal-ai/flux/dev"
    assert name_model("fal", "batch-generation", named.model) == "fal-ai/flux/dev"
    assert name_model("fal", "image-generation", None) == "taskreel/image-generation"
    assert name_model("fal", "movie-creation", None) == "taskreel/movie-creation"
