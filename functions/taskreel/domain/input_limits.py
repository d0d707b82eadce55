"""Limits on the files that one job starts from. Declared here; settings may change each.

A job beyond one of them is refused with a sentence that names the limit, the field and the amount.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from taskreel.domain.errors import PermanentError
from taskreel.domain.record import Record

#: Error code of a job whose input files are beyond a limit.
INPUT_TOO_LARGE = "input_too_large"
MIB: Final = 1 << 20
_MEGAPIXEL: Final = 1_000_000

#: The setting of each limit, for error texts.
SETTINGS: Mapping[str, str] = {
    "max_files": "MAX_JOB_INPUT_FILES",
    "max_file_bytes": "MAX_INPUT_FILE_MB",
    "max_job_bytes": "MAX_JOB_INPUT_MB",
    "max_job_pixels": "MAX_JOB_INPUT_MEGAPIXELS",
    "max_job_seconds": "MAX_JOB_INPUT_SECONDS",
}


class InputLimits(Record, kw_only=True):
    """Limits on the input files of one job, and on the size of each file."""

    max_files: int = 200
    max_file_bytes: int = 200 * MIB
    max_job_bytes: int = 500 * MIB
    #: Width times height of every picture, and of one frame of every video.
    max_job_pixels: int = 2000 * _MEGAPIXEL
    #: Play time of all sounds and videos.
    max_job_seconds: float = 6 * 3600.0


class _FileTotals(msgspec.Struct):
    bytes: int = 0
    pixels: int = 0
    seconds: float = 0.0


class InputTotals(msgspec.Struct):
    """The input files of one run so far, by a key of the caller's; a key counts once.

    Every method that adds raises PermanentError when a limit is exceeded. `label` names the file
    in the sentence.
    """

    limits: InputLimits
    _files: dict[str, _FileTotals] = msgspec.field(default_factory=dict)

    @property
    def bytes(self) -> int:
        """The bytes of all files so far."""
        return sum(one.bytes for one in self._files.values())

    def get_seconds(self, key: str) -> float:
        """The play time of a file; 0 for one that has none, or that is unreadable."""
        return self._files[key].seconds if key in self._files else 0.0

    def start_file(self, key: str) -> None:
        """Start to count a file; one that is downloaded again is counted from nothing."""
        self._files[key] = _FileTotals()

    def add_bytes(self, key: str, size: int, label: str) -> None:
        """Count bytes of a file, before they are stored."""
        one = self._files.setdefault(key, _FileTotals())
        one.bytes += size
        if one.bytes > self.limits.max_file_bytes:
            raise _refuse(
                f"{label} has at least {_mib(one.bytes)} MiB; one input file may have at most "
                f"{self.limits.max_file_bytes // MIB} MiB",
                "max_file_bytes",
            )
        total = self.bytes
        if total > self.limits.max_job_bytes:
            raise _refuse(
                f"With {label}, the input files of this job have at least {_mib(total)} MiB; "
                f"together they may have at most {self.limits.max_job_bytes // MIB} MiB",
                "max_job_bytes",
            )

    def set_size(self, key: str, label: str, *, pixels: int, seconds: float) -> None:
        """Count the pixels and the seconds of a file."""
        one = self._files.setdefault(key, _FileTotals())
        one.pixels, one.seconds = pixels, seconds
        total_pixels = sum(each.pixels for each in self._files.values())
        if total_pixels > self.limits.max_job_pixels:
            raise _refuse(
                f"With {label}, the input files of this job have "
                f"{total_pixels / _MEGAPIXEL:,.1f} megapixels; together they may have at most "
                f"{self.limits.max_job_pixels / _MEGAPIXEL:,.1f}",
                "max_job_pixels",
            )
        total_seconds = sum(each.seconds for each in self._files.values())
        if total_seconds > self.limits.max_job_seconds:
            raise _refuse(
                f"With {label}, the input files of this job play {total_seconds:,.0f} s; "
                f"together they may play at most {self.limits.max_job_seconds:,.0f} s",
                "max_job_seconds",
            )


def find_fields(value: Any, wanted: str, at: str = "") -> Iterator[str]:
    """The paths of the value `wanted` in a payload: `inputFiles[3]`, `scenes[0].audio`."""
    if isinstance(value, Mapping):
        for name, one in value.items():
            yield from find_fields(one, wanted, f"{at}.{name}" if at else name)
    elif isinstance(value, list | tuple):
        for index, one in enumerate(value):
            yield from find_fields(one, wanted, f"{at}[{index}]")
    elif value == wanted:
        yield at


def explain_too_many_files(count: int, limits: InputLimits) -> str:
    """The sentence that refuses a job of so many input files."""
    return (
        f"the job starts from {count} files; it may start from at most {limits.max_files} "
        f"({SETTINGS['max_files']})"
    )


def _refuse(sentence: str, limit: str) -> PermanentError:
    advice = "Use smaller or fewer files, or several jobs."
    return PermanentError(f"{sentence} ({SETTINGS[limit]}). {advice}", code=INPUT_TOO_LARGE)


def _mib(size: int) -> int:
    """Whole MiB, rounded up: what is over a limit never shows as the limit itself."""
    return -(-size // MIB)
