"""The models of other services by their names there, and the job types that serve them.

`taskreel/{jobType}` names any job type; its input is that type's own request. `model_inputs`
translates the inputs of all other models.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher, get_close_matches
from functools import partial
from typing import Literal

from taskreel.domain.errors import NotFoundError
from taskreel.jobtypes import JOB_TYPES

Service = Literal["fal", "openai", "replicate"]
OWN_OWNER = "taskreel"
#: Two parts of names that are as alike as this are of one family: `veo3` and `veo3.1`.
_LEAST_LIKENESS = 0.8
#: Last parts of names at fal that say what a model starts from.
_DIRECTIONS = frozenset({"edit", "image-to-video", "text-to-audio", "text-to-video"})


@dataclass(frozen=True, slots=True)
class NamedModel:
    """A model's name, and the job type and the model here that serve it."""

    name: str
    job_type: str
    #: None leaves the choice to the deployment.
    model: str | None = None
    #: The task, where the job type does several.
    task: str | None = None

    @property
    def is_own(self) -> bool:
        """True for a job type by its own name, whose input is its request."""
        return self.name.startswith(f"{OWN_OWNER}/")


_image = partial(NamedModel, job_type="image-generation")
_video = partial(NamedModel, job_type="video-generation")
_upscale = partial(NamedModel, job_type="image-upscale")
_speech = partial(NamedModel, job_type="audio-synthesis")
_edit = partial(NamedModel, job_type="video-edit")
_lips = partial(NamedModel, job_type="lip-sync")
_cutout = partial(NamedModel, job_type="background-removal")
_effect = partial(NamedModel, job_type="sound-effect")
_transcript = partial(NamedModel, job_type="transcription")
_music = partial(NamedModel, job_type="ai-processing", task="music")


def _both_directions(path: str, model: str) -> tuple[NamedModel, NamedModel]:
    return (
        _video(f"{path}/text-to-video", model=model),
        _video(f"{path}/image-to-video", model=model),
    )


#: The models that can be named at each service, with their successors here where they are retired.
MODELS: Mapping[Service, tuple[NamedModel, ...]] = {
    "replicate": (
        _image("black-forest-labs/flux-schnell", model="flux-schnell"),
        _image("black-forest-labs/flux-dev", model="flux-dev"),
        _image("black-forest-labs/flux-1.1-pro", model="flux-1.1-pro"),
        _image("black-forest-labs/flux-1.1-pro-ultra", model="flux-1.1-pro-ultra"),
        _image("black-forest-labs/flux-2-pro", model="flux-2-pro"),
        _image("black-forest-labs/flux-2-max", model="flux-2-max"),
        _image("black-forest-labs/flux-2-flex", model="flux-2-flex"),
        _image("black-forest-labs/flux-kontext-pro", model="flux-kontext-pro"),
        _image("black-forest-labs/flux-kontext-max", model="flux-kontext-max"),
        _image("bytedance/seedream-4", model="seedream-4"),
        _image("stability-ai/stable-diffusion-3.5-large", model="sd3.5-large"),
        _image("stability-ai/stable-diffusion-3.5-large-turbo", model="sd3.5-large-turbo"),
        _image("stability-ai/stable-diffusion-3.5-medium", model="sd3.5-medium"),
        _image("google/nano-banana", model="nano-banana-2"),
        _image("google/nano-banana-pro", model="nano-banana-pro"),
        _image("openai/gpt-image-2", model="gpt-image-2"),
        _video("google/veo-3.1", model="veo-3.1"),
        _video("google/veo-3.1-fast", model="veo-3.1-fast"),
        _video("runwayml/gen4-turbo", model="gen4_turbo"),
        _video("runwayml/gen-4.5", model="gen4.5"),
        _video("bytedance/seedance-1-pro-fast", model="seedance-1-pro-fast"),
        _video("luma/ray-3.2", model="ray-3.2"),
        _upscale("nightmareai/real-esrgan", model="real-esrgan"),
        _cutout("bria/remove-background", model="bria-remove-background"),
        _speech("minimax/speech-2.6-hd", model="minimax-speech-2.6-hd"),
        _speech("elevenlabs/v3", model="eleven_v3"),
        _music("elevenlabs/music", model="eleven-music"),
        _music("stability-ai/stable-audio-2.5", model="stable-audio-2.5"),
    ),
    "fal": (
        _image("fal-ai/flux/schnell", model="flux-schnell"),
        _image("fal-ai/flux/dev", model="flux-dev"),
        _image("fal-ai/flux-pro/v1.1", model="flux-1.1-pro"),
        _image("fal-ai/flux-pro/v1.1-ultra", model="flux-1.1-pro-ultra"),
        _image("fal-ai/flux-pro/kontext", model="flux-kontext-pro"),
        _image("fal-ai/flux-2-pro", model="flux-2-pro"),
        _image("fal-ai/flux-2-pro/edit", model="flux-2-pro"),
        _image("fal-ai/nano-banana", model="nano-banana-2"),
        _image("fal-ai/nano-banana-2", model="nano-banana-2"),
        _image("fal-ai/nano-banana-2/edit", model="nano-banana-2"),
        _image("fal-ai/nano-banana-pro", model="nano-banana-pro"),
        _image("fal-ai/nano-banana-pro/edit", model="nano-banana-pro"),
        *_both_directions("fal-ai/kling-video/v3/standard", "kling-3.0-standard"),
        *_both_directions("fal-ai/kling-video/v3/pro", "kling-3.0-pro"),
        *_both_directions("fal-ai/kling-video/v2.5-turbo/pro", "kling-2.5-turbo-pro"),
        *_both_directions("fal-ai/bytedance/seedance/v1.5/pro", "seedance-1.5-pro"),
        *_both_directions("fal-ai/minimax/hailuo-2.3/standard", "hailuo-2.3"),
        _video("fal-ai/veo3.1", model="veo-3.1"),
        _video("fal-ai/veo3.1/image-to-video", model="veo-3.1"),
        _video("fal-ai/veo3.1/fast", model="veo-3.1-fast"),
        _video("fal-ai/veo3.1/fast/image-to-video", model="veo-3.1-fast"),
        _upscale("fal-ai/esrgan", model="esrgan"),
        _upscale("fal-ai/seedvr/upscale/image", model="seedvr2"),
        _upscale("fal-ai/clarity-upscaler", model="clarity-upscaler"),
        _speech("fal-ai/elevenlabs/tts/multilingual-v2", model="eleven_multilingual_v2"),
        _speech("fal-ai/elevenlabs/tts/eleven-v3", model="eleven_v3"),
        _speech("fal-ai/minimax/speech-2.8-hd", model="minimax-speech-2.8-hd"),
        _music("fal-ai/elevenlabs/music", model="eleven-music"),
        _music("fal-ai/stable-audio-25/text-to-audio", model="stable-audio-2.5"),
        _cutout("fal-ai/feynobg", model="feynobg"),
        _cutout("fal-ai/ben/v2/image", model="ben-v2"),
        _edit("luma/agent/ray/v3.2/video-to-video", model="ray-3.2-edit"),
        _lips("fal-ai/sync-lipsync/v2", model="lipsync-2"),
        _lips("fal-ai/sync-lipsync", model="lipsync-1.9"),
        _lips("fal-ai/sync-lipsync/v3", model="sync-3"),
        _lips("creatify/lipsync", model="creatify-lipsync"),
        _effect("fal-ai/elevenlabs/sound-effects/v2", model="eleven_text_to_sound_v2"),
        _transcript("fal-ai/elevenlabs/speech-to-text", model="scribe_v1"),
    ),
    "openai": (
        _image("gpt-image-2", model="gpt-image-2"),
        _image("gpt-image-2.5-flare", model="gpt-image-2.5-flare"),
        _image("gpt-image-2.5-sunburst", model="gpt-image-2.5-sunburst"),
        _image("gpt-image-2.6-flare", model="gpt-image-2.6-flare"),
        _image("gpt-image-2.6-sunburst", model="gpt-image-2.6-sunburst"),
        _image("chatgpt-image-latest", model="gpt-image-2"),
        _image("gpt-image-1.5", model="gpt-image-2"),
        _image("gpt-image-1-mini", model="gpt-image-2"),
        _image("gpt-image-1", model="gpt-image-2"),
        _image("dall-e-3", model="gpt-image-2"),
        _image("dall-e-2", model="gpt-image-2"),
        _speech("gpt-4o-mini-tts", model="gpt-4o-mini-tts"),
        _speech("tts-1", model="tts-1"),
        _speech("tts-1-hd", model="tts-1-hd"),
    ),
}


# ── Looking a name up ────────────────────────────────────────────────────────────────────────────


def list_models(service: Service) -> Iterator[NamedModel]:
    """Every model that can be named at the service: its own, and the job types."""
    yield from MODELS[service]
    for name in JOB_TYPES:
        yield NamedModel(f"{OWN_OWNER}/{name}", name)


def find_model(service: Service, name: str) -> NamedModel:
    """The model of that name. Raises NotFoundError with a model like it, or else all names."""
    found = next((one for one in list_models(service) if one.name == name), None)
    if found is None:
        names = [one.name for one in list_models(service)]
        near = suggest_model(name, names)
        advice = f"did you mean {near}?" if near else f"there are: {', '.join(names)}."
        raise NotFoundError(f"There is no model {name[:100]!r} here; {advice}")
    return found


def suggest_model(given: str, names: Sequence[str]) -> str | None:
    """The nearest name of the same owner, family and direction; None where there is none.

    A clip's model is no replacement for a picture's because the letters of their names are alike.
    """
    wanted = given.lower().strip("/").split("/")
    family = [name for name in names if _is_akin(wanted, name.lower().split("/"))]
    found = get_close_matches("/".join(wanted)[:100], family, n=1, cutoff=0.6)
    return found[0] if found else None


def _is_akin(wanted: Sequence[str], parts: Sequence[str]) -> bool:
    """True where owner and family are alike, and the direction, if one is named, is the same."""
    if len(wanted) < min(2, len(parts)):
        return False
    direction = wanted[-1] if wanted[-1] in _DIRECTIONS else None
    if direction and parts[-1] != direction:
        return False
    pairs = list(zip(wanted, parts, strict=False))[:2]
    return all(
        SequenceMatcher(a=one[:100], b=other).ratio() >= _LEAST_LIKENESS for one, other in pairs
    )


def name_model(service: Service, job_type: str, model: str | None) -> str:
    """The name at the service of the model that a job is of; the job type's if it has none."""
    wanted = "image-generation" if job_type == "batch-generation" else job_type
    for one in MODELS[service]:
        if one.model is not None and (one.job_type, one.model) == (wanted, model):
            return one.name
    return f"{OWN_OWNER}/{job_type}"
