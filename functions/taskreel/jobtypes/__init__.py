"""Every job type there is, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from taskreel.jobtypes.ai_processing import AI_PROCESSING
from taskreel.jobtypes.audio_synthesis import AUDIO_SYNTHESIS
from taskreel.jobtypes.batch_generation import BATCH_GENERATION
from taskreel.jobtypes.content_analysis import CONTENT_ANALYSIS
from taskreel.jobtypes.image_generation import IMAGE_GENERATION
from taskreel.jobtypes.image_upscale import IMAGE_UPSCALE
from taskreel.jobtypes.job_type import JobType
from taskreel.jobtypes.media_processing import MEDIA_PROCESSING
from taskreel.jobtypes.movie_creation import MOVIE_CREATION
from taskreel.jobtypes.personalization import PERSONALIZATION
from taskreel.jobtypes.pipeline import PIPELINE
from taskreel.jobtypes.scene_creation import SCENE_CREATION
from taskreel.jobtypes.script_generation import SCRIPT_GENERATION
from taskreel.jobtypes.story_generation import STORY_GENERATION
from taskreel.jobtypes.video_assembly import VIDEO_ASSEMBLY
from taskreel.jobtypes.video_composition import VIDEO_COMPOSITION
from taskreel.jobtypes.video_generation import VIDEO_GENERATION
from taskreel.jobtypes.world_building import WORLD_BUILDING

JOB_TYPES: Mapping[str, JobType[Any]] = {
    job_type.name: job_type
    for job_type in (
        IMAGE_GENERATION,
        VIDEO_GENERATION,
        IMAGE_UPSCALE,
        BATCH_GENERATION,
        SCRIPT_GENERATION,
        STORY_GENERATION,
        SCENE_CREATION,
        AUDIO_SYNTHESIS,
        WORLD_BUILDING,
        CONTENT_ANALYSIS,
        VIDEO_COMPOSITION,
        VIDEO_ASSEMBLY,
        MEDIA_PROCESSING,
        PERSONALIZATION,
        AI_PROCESSING,
        MOVIE_CREATION,
        PIPELINE,
    )
}
