from __future__ import annotations

import re
from pathlib import Path

import av
import pytest
from PIL import Image

from e2e.processes import taskreel, wait_for_processes_to_end
from installed_programs import require_firestore_emulator
from nightly_tests import skip_by_day

#: Every type runs on Google's emulators by day, too: test_every_type.py.
GOOGLE = pytest.param(
    ["--google-emulators"], marks=[pytest.mark.emulator, skip_by_day("the same films once more")]
)


@pytest.mark.parametrize("stack", [[], GOOGLE], ids=str)
def test_the_demo_makes_real_files_and_tells_what_they_cost(
    tmp_path: Path, stack: list[str]
) -> None:
    if stack:
        require_firestore_emulator()
    told = taskreel("demo", "a lighthouse in a storm", "--data", str(tmp_path), *stack, seconds=300)
    assert told.returncode == 0, told.stderr
    out = tmp_path / "output" / "a-lighthouse-in-a-storm"
    for name, size in {
        "image.png": (1024, 768),
        "upscaled.png": (2048, 1536),
        "image-001.jpg": (768, 512),
    }.items():
        with Image.open(out / name) as picture:
            picture.load()
            assert picture.size == size
    with av.open(str(out / "video.mp4")) as video:
        assert video.duration is not None
        assert abs(video.duration / av.time_base - 5) < 0.2
        assert sum(1 for _ in video.decode(video=0)) == 5 * 30
    assert set(re.findall(r"[\w-]+\.(?:png|jpg|mp4)", told.stdout)) == {
        file.name for file in out.iterdir()
    }
    assert re.search(r"Credits: 100 before, 89 after \(11 spent\)", told.stdout)
    assert wait_for_processes_to_end(tmp_path)
