"""`providerOptions` cannot change what was priced: one test over every case of every provider."""

from __future__ import annotations

from pathlib import Path

import pytest

from providers.case import Case
from providers.cases import CASES
from taskreel.adapters.providers import PROVIDERS, load_reserved_options
from taskreel.adapters.providers.model_lookup import find_row, get_today
from taskreel.adapters.providers.reserved_options import (
    RESERVED_ALWAYS,
    RESERVED_IN_PRICE,
    RESERVED_INPUTS,
    find_reserved_names,
)
from taskreel.domain.errors import PermanentError


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_a_reserved_option_is_refused_before_anything_is_sent(
    case: Case, tmp_path: Path
) -> None:
    fake = case.fake()
    provider = case.adapter(fake)
    row = find_row(case.provider, case.model, case.capability, get_today())
    reserved = RESERVED_ALWAYS if row.usd is None else load_reserved_options(case.provider)
    if row.needs_input:
        reserved |= RESERVED_INPUTS
    for name in sorted(reserved):
        request = case.request(tmp_path, providerOptions={name: "x"})
        with pytest.raises(PermanentError) as refused:
            await provider.start(request, idempotency_key="job-1.0.0")
        assert refused.value.code == "reserved_option"
        assert f"providerOptions.{name} " in refused.value.message
    assert fake.creates == 0
    assert fake.calls == []


@pytest.mark.parametrize("provider", PROVIDERS)
def test_every_provider_reserves_the_model_the_number_the_size_and_the_address(
    provider: str,
) -> None:
    assert load_reserved_options(provider) >= RESERVED_IN_PRICE > RESERVED_ALWAYS
    assert {"model", "n", "size", "duration", "quality", "resolution"} <= RESERVED_IN_PRICE


@pytest.mark.parametrize("name", ["numImages", "num-images", "NUM_IMAGES", "N", "Webhook.Url"])
def test_a_name_is_reserved_in_any_spelling(name: str) -> None:
    assert find_reserved_names({name: 1, "steps": 2}, RESERVED_ALWAYS) == [name]
