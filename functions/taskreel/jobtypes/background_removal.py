"""The subject of a picture on a transparent ground."""

from __future__ import annotations

from typing import Literal

from pydantic import AliasChoices, Field

from taskreel.jobtypes.fields import MediaUrl
from taskreel.jobtypes.job_type import JobType, Unit, build_params
from taskreel.jobtypes.queue_limits import FEW_AT_A_TIME
from taskreel.jobtypes.submission import Options, Submission
from taskreel.ports import Capability

CUTOUT_CREDITS = 1


class CutoutOptions(Options):
    """The format of the result: one that has transparency."""

    output_format: Literal["png", "webp"] = "png"


class BackgroundRemoval(Submission):
    """`{imageUrl, model, provider, options{outputFormat}}`."""

    image_url: MediaUrl = Field(
        validation_alias=AliasChoices("imageUrl", "image_url", "url", "image")
    )
    options: CutoutOptions = Field(default_factory=CutoutOptions)


def _build_units(job: BackgroundRemoval) -> tuple[Unit, ...]:
    return (
        Unit(
            capability=Capability.CUTOUT,
            params=build_params(job.options),
            credits=CUTOUT_CREDITS,
            input_urls=(job.image_url,),
            name="cutout",
        ),
    )


BACKGROUND_REMOVAL = JobType(
    name="background-removal",
    summary="The subject of a picture on a transparent ground",
    submission=BackgroundRemoval,
    capability=Capability.CUTOUT,
    units=_build_units,
    queue=FEW_AT_A_TIME,
    example={"imageUrl": "https://example.com/portrait.png"},
)
