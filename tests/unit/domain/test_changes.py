"""Changes of jobs, units and steps: only known fields, only values of their types.

The `type: ignore` comments are tests too: mypy refuses one that it does not need.
"""

from __future__ import annotations

from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest
from pydantic import GetPydanticSchema, ValidationError

from taskreel.domain.job import Job, JobChanges
from taskreel.domain.job_status import Status
from taskreel.domain.pipeline import StepChanges, StepRun
from taskreel.domain.unit import UnitChanges, UnitRun
from taskreel.domain.value import Value
from unit.domain.samples import NOW, SECOND, job, unit


@pytest.mark.parametrize(
    ("model", "changes"), [(Job, JobChanges), (UnitRun, UnitChanges), (StepRun, StepChanges)]
)
def test_changes_name_fields_of_the_model_with_their_types(
    model: type[Value], changes: type[Any]
) -> None:
    fields = get_type_hints(model, include_extras=True)
    for name, annotation in get_type_hints(changes, include_extras=True).items():
        assert _without_tolerance(fields[name]) == annotation, name


def _without_tolerance(annotation: Any) -> Any:
    """The type of a field that, when it is read, may have a value of a newer revision."""
    if get_origin(annotation) is Union:
        return Union[tuple(map(_without_tolerance, get_args(annotation)))]  # noqa: UP007 - built
    kind, *metadata = get_args(annotation) or (annotation,)
    tolerant = any(isinstance(one, GetPydanticSchema) for one in metadata)
    return kind if tolerant else annotation


def test_a_misspelled_change_is_refused() -> None:
    with pytest.raises(ValidationError, match="wake_att"):
        job().with_changes(NOW, wake_att=NOW)  # type: ignore[call-arg]
    with pytest.raises(ValidationError, match="fenc"):
        job().enter_status(Status.PROCESSING, NOW, fenc=1)  # type: ignore[call-arg]
    with pytest.raises(ValidationError, match="due"):
        unit().with_changes(due=NOW)  # type: ignore[call-arg]


def test_a_step_takes_only_its_own_fields() -> None:
    step = StepRun(type="image-generation", place=0)
    assert step.with_changes(ended=2).ended == 2
    with pytest.raises(ValidationError, match="endd"):
        step.with_changes(endd=2)  # type: ignore[call-arg]
    with pytest.raises(ValidationError, match="ended"):
        step.with_changes(ended="2")  # type: ignore[arg-type]


def test_a_change_of_the_wrong_type_is_refused() -> None:
    with pytest.raises(ValidationError, match="progress"):
        job().with_changes(NOW, progress="a lot")  # type: ignore[arg-type]
    with pytest.raises(ValidationError, match="units"):
        job().enter_status(Status.PROCESSING, NOW, units=[unit()])  # type: ignore[arg-type]
    with pytest.raises(ValidationError, match="waits"):
        unit().with_changes(waits=1.5)  # type: ignore[arg-type]


def test_a_change_outside_a_fields_range_is_refused() -> None:
    with pytest.raises(ValidationError, match="progress"):
        job().with_changes(NOW, progress=101)


def test_the_identity_of_a_job_cannot_change() -> None:
    with pytest.raises(ValidationError, match="user_id"):
        job().with_changes(NOW, user_id="bob")  # type: ignore[call-arg]


def test_changed_values_are_not_copied() -> None:
    changed = unit(waits=3)
    later = job().with_changes(NOW + SECOND, units=(changed,))
    assert later.units[0] is changed
    assert later.updated_at == NOW + SECOND
