"""HDR to BT.709: a lookup table from PQ or HLG in BT.2020 to what ordinary screens show.

Tone mapping follows ITU-R BT.2390 (its curve, on the brightest of the three colours): light up to
about 90 cd/m² stays, brighter light is compressed, so that paper white (203 cd/m², BT.2408) stays
bright and lamps and skies retain their shape.
"""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.float64]

#: Transfer characteristics, ITU-T H.273.
PQ, HLG = 16, 18
TABLE_SIDE = 33
PEAK_NITS, WHITE_NITS = 1000.0, 203.0
SCREEN_GAMMA = 2.2
_BT2020_TO_BT709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]]
)
_LUMA_2020 = np.array([0.2627, 0.6780, 0.0593])
# SMPTE ST 2084.
_M1, _M2, _C1, _C2, _C3 = 0.1593017578125, 78.84375, 0.8359375, 18.8515625, 18.6875


@cache
def write_table(transfer: int) -> Path:
    """Write the table as a .cube file, once a process, and return its path."""
    axis = np.linspace(0, 1, TABLE_SIDE)
    blue, green, red = np.meshgrid(axis, axis, axis, indexing="ij")  # red varies fastest
    colours = map_tones(np.stack([red, green, blue], axis=-1).reshape(-1, 3), transfer)
    rows = "\n".join(f"{r:.6f} {g:.6f} {b:.6f}" for r, g, b in colours)
    with tempfile.NamedTemporaryFile(
        "w", prefix="taskreel-hdr-", suffix=".cube", delete=False
    ) as file:
        file.write(f"LUT_3D_SIZE {TABLE_SIDE}\n{rows}\n")
    return Path(file.name)


def map_tones(coded: Array, transfer: int) -> Array:
    """Map coded BT.2020 colours of shape (n, 3), 0 to 1, to coded BT.709."""
    nits = _decode_pq(coded) if transfer == PQ else _decode_hlg(coded)
    brightest = np.maximum(nits.max(axis=1, keepdims=True), 1e-6)
    mapped = nits * (_compress(brightest) / brightest)
    linear = np.clip(mapped @ _BT2020_TO_BT709.T / WHITE_NITS, 0, 1)
    return np.asarray(linear ** (1 / SCREEN_GAMMA))


def _compress(nits: Array) -> Array:
    """The curve of BT.2390 from PEAK_NITS to WHITE_NITS."""
    top = float(_encode_pq(np.array(PEAK_NITS)))
    signal = np.minimum(_encode_pq(nits) / top, 1)
    most = float(_encode_pq(np.array(WHITE_NITS))) / top
    knee = 1.5 * most - 0.5
    t = np.clip((signal - knee) / (1 - knee), 0, 1)
    bent = (
        (2 * t**3 - 3 * t**2 + 1) * knee
        + (t**3 - 2 * t**2 + t) * (1 - knee)
        + (-2 * t**3 + 3 * t**2) * most
    )
    return _decode_pq(np.where(signal < knee, signal, bent) * top)


def _decode_pq(coded: Array) -> Array:
    root = np.clip(coded, 0, 1) ** (1 / _M2)
    return np.asarray(10_000 * (np.maximum(root - _C1, 0) / (_C2 - _C3 * root)) ** (1 / _M1))


def _encode_pq(nits: Array) -> Array:
    root = (nits / 10_000) ** _M1
    return np.asarray(((_C1 + _C2 * root) / (1 + _C3 * root)) ** _M2)


def _decode_hlg(coded: Array) -> Array:
    """The light of an HLG signal on a screen of PEAK_NITS (BT.2100: system gamma 1.2)."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(coded <= 0.5, coded**2 / 3, (np.exp((coded - c) / a) + b) / 12)
    luma = np.maximum(scene @ _LUMA_2020, 1e-9)[:, None]
    return np.asarray(PEAK_NITS * scene * luma**0.2)
