"""The `providerOptions` that no caller may send: they would change what was priced and agreed.

`providerOptions` go into a provider's request word for word, after our own fields. Names that
choose the model, the number, size, length or quality of results, or that name addresses, are
refused. Each provider's `models.py` has its list, which begins with the ones here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

#: Refused for every model, also one whose price is unknown: another model, more results than the
#: unit bought, an address that the result is sent to, an answer in another shape.
RESERVED_ALWAYS = frozenset(
    {
        *("model", "model_id", "model_name", "version", "n", "num_images", "num_outputs"),
        *("num_videos", "num_results", "number_of_images", "number_of_videos", "number_of_results"),
        *("max_images", "image_count", "sample_count", "samples", "batch_size", "candidate_count"),
        *("output_count", "num_variants"),
        *("webhook", "webhook_url", "webhook_secret", "webhook_events_filter", "webhook_event"),
        *("callback", "callback_url", "notify_url", "stream", "sync_mode", "background", "store"),
    }
)
#: Refused for every model with a price: the size, length and quality that it was counted for.
RESERVED_IN_PRICE = RESERVED_ALWAYS | {
    *("width", "height", "size", "image_size", "resolution", "megapixels", "max_pixels"),
    *("quality", "hd", "duration", "duration_seconds", "seconds", "length", "num_frames"),
    *("frames", "scale", "upscale_factor", "outscale", "audio", "generate_audio", "enable_audio"),
    *("service_tier", "tier"),
}
#: Refused for every model that works on a file: another than the one that was checked and measured.
RESERVED_INPUTS = frozenset(
    {
        *("source", "source_url", "cloud_storage_url", "file", "file_url", "input_image"),
        *("image", "image_url", "image_uri", "video", "video_url", "video_uri", "audio_url"),
    }
)
_SEPARATORS = re.compile(r"[^a-z0-9]+")


def find_reserved_names(options: Mapping[str, Any], reserved: frozenset[str]) -> list[str]:
    """The names of `options` that are reserved, in any spelling: `numImages`, `num-images`."""
    known = {_normalise(name) for name in reserved}
    return [name for name in options if _normalise(str(name)) in known]


def explain_reserved(provider: str) -> str:
    """The reason, for the caller, without a path."""
    return (
        f"cannot be passed on to {provider}: it would change the work that was priced, its input, "
        "or where its result goes; use the job's own fields and options"
    )


def _normalise(name: str) -> str:
    return _SEPARATORS.sub("", name.lower())
