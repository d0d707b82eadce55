"""Fields have the names that pydantic's own generator gives them."""

from __future__ import annotations

import sys

from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, alias_generators

from taskreel.domain.value import to_camel
from taskreel.web.app import build_fastapi


@given(st.lists(st.from_regex(r"\A[a-z]+[0-9]*\Z"), min_size=1, max_size=4).map("_".join))
def test_a_name_of_words_is_as_pydantic_has_it(name: str) -> None:
    assert to_camel(name) == alias_generators.to_camel(name)


def _list_models(kind: type[BaseModel]) -> set[type[BaseModel]]:
    return {kind}.union(*map(_list_models, kind.__subclasses__()))


def _is_ours(model: type[BaseModel]) -> bool:
    """True for a model that a module of the product declares, and no test makes."""
    module = model.__module__
    declared = getattr(sys.modules[module], model.__name__, None) is model
    return declared and module.startswith("taskreel.")


def test_every_field_of_ours_is_as_pydantic_has_it() -> None:
    build_fastapi()
    ours = [one for one in _list_models(BaseModel) if _is_ours(one)]
    fields = [field for model in ours for field in model.model_fields.items()]
    # `schema_` has its name in JSON beside it: the generator is not asked.
    names = {name for name, field in fields if field.alias_priority != 2}
    assert "next_attempt_at" in names
    assert {name for name in names if to_camel(name) != alias_generators.to_camel(name)} == set()
