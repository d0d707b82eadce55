"""A pipeline that the caller defines: steps that use the results of earlier ones."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from pydantic import Field, ValidationError, model_validator

from taskreel.domain import pipeline
from taskreel.domain.value import validation_error
from taskreel.jobtypes import JOB_TYPES, explain_unknown_type
from taskreel.jobtypes.job_type import JobType
from taskreel.jobtypes.submission import Submission
from taskreel.ports import Capability


class PipelineRequest(Submission):
    """`{steps: {name: {type, payload, after, forEach, maxItems, onFailure, keep}}, input, budget}`.

    A payload may contain `{{steps.name.result.…}}`, `{{payload.input.…}}`, `{{item.…}}` and
    `{{index}}` (JMESPath). A pipeline within another gets values through `input` only: references
    in its steps mean its own steps. `budget` limits the credits to hold; by default it is computed
    from the steps.
    """

    steps: dict[str, pipeline.Step] = Field(min_length=1, max_length=50)
    input: dict[str, Any] = Field(default_factory=dict)
    budget: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _check_steps(self) -> PipelineRequest:
        try:
            pipeline.Pipeline(steps=self.steps)
        except ValidationError as error:
            # One answer names everything that is wrong, also the types, which are checked later.
            found = [(row["loc"], row["msg"]) for row in error.errors(include_url=False)]
            found += [
                (("steps", name, "type"), explain_unknown_type(step.type))
                for name, step in self.steps.items()
                if step.type not in JOB_TYPES
            ]
            raise validation_error("Pipeline", found) from None
        return self


PIPELINE = JobType(
    name="pipeline",
    summary="Several jobs in order, each using what earlier ones made",
    submission=PipelineRequest,
    capability=Capability.PIPELINE,
    price_text="the sum of its jobs; only those that succeed are charged",
    pipeline=lambda job: pipeline.Pipeline(steps=job.steps),
    deadline=timedelta(days=2),
    example={
        "steps": {
            "picture": {
                "type": "image-generation",
                "forEach": ["at sunset", "at night"],
                "payload": {
                    "prompt": "A lighthouse {{item}}",
                    "options": {"width": 1280, "height": 720},
                },
            },
            "video": {
                "type": "video-generation",
                "payload": {
                    "imageUrls": "{{steps.picture.artifacts[*].ref}}",
                    "options": {"duration": 6},
                },
            },
        }
    },
)
