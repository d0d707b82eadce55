"""The table of other services' model names."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from taskreel.adapters.providers.model_lookup import list_rows
from taskreel.jobtypes import JOB_TYPES
from taskreel.web.other_apis.model_names import MODELS, NamedModel, find_model, name_model

NAMED = [one for models in MODELS.values() for one in models]


@pytest.mark.parametrize("named", NAMED, ids=lambda one: one.name)
def test_each_name_leads_to_a_model_that_a_provider_has_today(named: NamedModel) -> None:
    capability = JOB_TYPES[named.job_type].capability
    rows = [row for row in list_rows(capability=capability) if row.name == named.model]
    assert any(row.is_current(datetime.now(UTC).date()) for row in rows), named


@pytest.mark.parametrize("service", MODELS)
def test_no_name_stands_twice_in_a_table(service: str) -> None:
    names = [one.name for key, models in MODELS.items() if key == service for one in models]
    assert len(names) == len(set(names))


def test_a_job_is_shown_by_the_name_that_it_was_asked_for() -> None:
    named = find_model("fal", "fal-ai/flux/dev")
    assert name_model("fal", named.job_type, named.model) == "fal-ai/flux/dev"
    assert name_model("fal", "batch-generation", named.model) == "fal-ai/flux/dev"
    assert name_model("fal", "image-generation", None) == "taskreel/image-generation"
    assert name_model("fal", "movie-creation", None) == "taskreel/movie-creation"
