"""Every job type there is, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from taskreel.jobtypes.batch_generation import BATCH_GENERATION
from taskreel.jobtypes.image_generation import IMAGE_GENERATION
from taskreel.jobtypes.image_upscale import IMAGE_UPSCALE
from taskreel.jobtypes.job_type import JobType
from taskreel.jobtypes.pipeline import PIPELINE
from taskreel.jobtypes.video_generation import VIDEO_GENERATION

JOB_TYPES: Mapping[str, JobType[Any]] = {
    job_type.name: job_type
    for job_type in (
        IMAGE_GENERATION,
        VIDEO_GENERATION,
        IMAGE_UPSCALE,
        BATCH_GENERATION,
        PIPELINE,
    )
}
