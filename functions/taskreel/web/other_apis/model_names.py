"""The models of other services by their names there, and the jobs that serve them.

`taskreel/{jobType}` names any job type; its input is that type's own request. For all other names
the input has the fields that are usual at those services: `FIELD_NAMES` and `_OPTION_FORMS` say
which of them have other names and other forms here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from taskreel.domain.errors import InvalidError, NotFoundError
from taskreel.domain.validation_messages import suggest_name
from taskreel.jobtypes import JOB_TYPES
from taskreel.jobtypes.job_type import JobType
from taskreel.web.documented_bodies import spread_fields
from taskreel.web.job_submission import SubmissionBody, validate_submission

Service = Literal["fal", "openai", "replicate"]
OWN_OWNER = "taskreel"
#: A single job type makes one image; several of one prompt are a batch.
_MOST_IMAGES = 10


@dataclass(frozen=True, slots=True)
class NamedModel:
    """A model's name, and the job type and the model here that serve it."""

    name: str
    job_type: str
    #: None leaves the choice to the deployment.
    model: str | None = None

    @property
    def is_own(self) -> bool:
        """True for a job type by its own name, whose input is its request."""
        return self.name.startswith(f"{OWN_OWNER}/")


_image = partial(NamedModel, job_type="image-generation")
_video = partial(NamedModel, job_type="video-generation")
_upscale = partial(NamedModel, job_type="image-upscale")
_speech = partial(NamedModel, job_type="audio-synthesis")

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
        _image("stability-ai/stable-diffusion-3.5-large", model="sd3.5-large"),
        _image("stability-ai/stable-diffusion-3.5-large-turbo", model="sd3.5-large-turbo"),
        _image("stability-ai/stable-diffusion-3.5-medium", model="sd3.5-medium"),
        _image("google/nano-banana", model="gemini-3.1-flash-image"),
        _image("google/nano-banana-pro", model="gemini-3-pro-image"),
        _image("openai/gpt-image-2", model="gpt-image-2"),
        _video("google/veo-3.1", model="veo-3.1"),
        _video("google/veo-3.1-fast", model="veo-3.1-fast"),
        _video("runwayml/gen4-turbo", model="gen4_turbo"),
        _video("runwayml/gen-4.5", model="gen4.5"),
        _upscale("nightmareai/real-esrgan", model="real-esrgan"),
    ),
    "fal": (
        _image("fal-ai/flux/schnell", model="flux-schnell"),
        _image("fal-ai/flux/dev", model="flux-dev"),
        _image("fal-ai/flux-pro/v1.1", model="flux-1.1-pro"),
        _image("fal-ai/flux-pro/v1.1-ultra", model="flux-1.1-pro-ultra"),
        _image("fal-ai/flux-2-pro", model="flux-2-pro"),
        _image("fal-ai/nano-banana", model="gemini-3.1-flash-image"),
        _image("fal-ai/nano-banana-pro", model="gemini-3-pro-image"),
        _video("fal-ai/veo3.1", model="veo-3.1"),
        _video("fal-ai/veo3.1/fast", model="veo-3.1-fast"),
        _video("fal-ai/veo3.1/image-to-video", model="veo-3.1"),
        _upscale("fal-ai/esrgan", model="esrgan"),
        _speech("fal-ai/elevenlabs/tts/multilingual-v2", model="eleven_multilingual_v2"),
        _speech("fal-ai/elevenlabs/tts/eleven-v3", model="eleven_v3"),
    ),
    "openai": (
        _image("gpt-image-2", model="gpt-image-2"),
        _image("gpt-image-2.5-flare", model="gpt-image-2.5-flare"),
        _image("gpt-image-2.5-sunburst", model="gpt-image-2.5-sunburst"),
        _image("gpt-image-2.6-flare", model="gpt-image-2.6-flare"),
        _image("gpt-image-2.6-sunburst", model="gpt-image-2.6-sunburst"),
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

#: Usual names of inputs → the fields and options of job types.
FIELD_NAMES: Mapping[str, str] = {
    "num_inference_steps": "steps",
    "guidance_scale": "guidance",
    "upscale_factor": "scale",
    "face_enhancement": "face_enhance",
    "generate_audio": "audio",
    "voice_id": "voice",
}
#: The field for a picture to work from, by job type.
_PICTURE_FIELDS: Mapping[str, str] = {
    "image-upscale": "image_url",
    "video-generation": "image_urls",
}
_PICTURE_NAMES = ("image", "image_url", "input_image", "start_image", "first_frame_image")
_COUNT_NAMES = ("num_images", "num_outputs", "n")
#: fal's names of sizes.
_SIZES: Mapping[str, tuple[int, int]] = {
    "square_hd": (1024, 1024),
    "square": (512, 512),
    "portrait_4_3": (768, 1024),
    "portrait_16_9": (576, 1024),
    "landscape_4_3": (1024, 768),
    "landscape_16_9": (1024, 576),
}


def _parse_seconds(given: Any) -> Any:
    """`8`, `"8"` or `"8s"` as a number; anything else unchanged, for the model to refuse."""
    try:
        return float(given.removesuffix("s")) if isinstance(given, str) else given
    except ValueError:
        return given


#: Options whose values have other forms.
_OPTION_FORMS: Mapping[str, Callable[[Any], Any]] = {
    "duration": _parse_seconds,
    "output_format": lambda given: "jpeg" if given == "jpg" else given,
}


# ── Looking a name up ────────────────────────────────────────────────────────────────────────────


def list_models(service: Service) -> Iterator[NamedModel]:
    """Every model that can be named at the service: its own, and the job types."""
    yield from MODELS[service]
    for name in JOB_TYPES:
        yield NamedModel(f"{OWN_OWNER}/{name}", name)


def find_model(service: Service, name: str) -> NamedModel:
    """The model of that name. Raises NotFoundError with the names that there are."""
    found = next((one for one in list_models(service) if one.name == name), None)
    if found is None:
        names = [one.name for one in list_models(service)]
        raise NotFoundError(
            f"There is no model {name!r} here{suggest_name(name, names)}. "
            f"There are: {', '.join(names)}."
        )
    return found


def name_model(service: Service, job_type: str, model: str | None) -> str:
    """The name at the service of the model that a job is of; the job type's if it has none."""
    wanted = "image-generation" if job_type == "batch-generation" else job_type
    for one in MODELS[service]:
        if one.model is not None and (one.job_type, one.model) == (wanted, model):
            return one.name
    return f"{OWN_OWNER}/{job_type}"


# ── Translating an input ─────────────────────────────────────────────────────────────────────────


def translate_input(
    named: NamedModel, given: Mapping[str, Any], *, at: str = "input"
) -> tuple[JobType[Any], SubmissionBody]:
    """The job type and its request for the input of a model.

    Inputs that no provider here has a use for are `ignored`. Raises InvalidError, whose paths begin
    with `at`.
    """
    try:
        if named.is_own:
            own_type = JOB_TYPES[named.job_type]
            return own_type, validate_submission(given, own_type, [])
        job_type, fields = _rename_fields(named, given)
        if named.model is not None:
            fields["model"] = named.model
        request, dropped = spread_fields(job_type.submission, {}, fields, at=at)
        dropped = [one.removeprefix(".") for one in dropped]
        return job_type, validate_submission(request, job_type, dropped)
    except InvalidError as error:
        raise error.under(at) from None


def _rename_fields(
    named: NamedModel, given: Mapping[str, Any]
) -> tuple[JobType[Any], dict[str, Any]]:
    picture_field = _PICTURE_FIELDS.get(named.job_type)
    fields: dict[str, Any] = {}
    count: Any = 1
    for name, value in given.items():
        # These clients send null for what is not set.
        if value is None:
            continue
        if name in _COUNT_NAMES:
            count = value
        elif name == "image_size":
            fields |= _parse_size(value)
        elif name in _PICTURE_NAMES and picture_field is not None:
            fields[picture_field] = [value] if picture_field == "image_urls" else value
        else:
            own_name = FIELD_NAMES.get(name, name)
            form = _OPTION_FORMS.get(own_name)
            fields[own_name] = form(value) if form else value
    if named.job_type != "image-generation" or count == 1:
        return JOB_TYPES[named.job_type], fields
    if not isinstance(count, int) or not 1 <= count <= _MOST_IMAGES:
        raise InvalidError.at("num_images", f"must be a whole number from 1 to {_MOST_IMAGES}")
    fields["prompts"] = [fields.pop("prompt", "")] * count
    return JOB_TYPES["batch-generation"], fields


def _parse_size(given: Any) -> dict[str, Any]:
    """`{"width", "height"}`, or fal's name of a size."""
    if isinstance(given, Mapping):
        return {name: given[name] for name in ("width", "height") if name in given}
    if not isinstance(given, str) or given not in _SIZES:
        names = ", ".join(_SIZES)
        raise InvalidError.at("image_size", f"must have width and height, or be one of: {names}")
    width, height = _SIZES[given]
    return {"width": width, "height": height}
