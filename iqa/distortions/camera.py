"""Faults that cameras have and KADID-10k lacks, each on a continuous severity in 0..1.

Nobody rated these, so training uses them by rank within one fault and one picture; the number
beside each is only a weak anchor for where the scale ends. Models: haze I = J t + A (1 - t)
(Koschmieder), underwater the same with per-channel attenuation and a veiling light; the rest are
what the names say. Severity 0 leaves the picture as it is. Pictures are float32 RGB ``[H, W, 3]``
in 0..1.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from iqa.distortions.kadid import Picture, disk, from_bytes, jpeg, to_bytes

Fault = Callable[[Picture, float, np.random.Generator], Picture]


def depth_map(shape: tuple[int, ...], rng: np.random.Generator) -> Picture:
    """A smooth plausible depth ``[H, W, 1]`` in 0.3..1, farther towards the top."""
    height, width = shape[:2]
    bumps = cv2.resize(
        rng.random((5, 7), dtype=np.float32), (width, height), interpolation=cv2.INTER_CUBIC
    )
    ramp = np.linspace(1, 0, height, dtype=np.float32)[:, None]
    depth = 0.6 * ramp + 0.4 * np.clip(bumps, 0, 1)
    return (0.3 + 0.7 * depth)[..., None]


def haze(image: Picture, severity: float, rng: np.random.Generator) -> Picture:
    airlight = np.float32(rng.uniform(0.7, 0.95)) + rng.uniform(-0.04, 0.04, 3).astype(np.float32)
    through = np.exp(-np.float32(3.0 * severity) * depth_map(image.shape, rng))
    return np.clip(image * through + airlight * (1 - through), 0, 1)


def underwater(image: Picture, severity: float, rng: np.random.Generator) -> Picture:
    """Colour cast, veil and forward scatter of turbid water, greenish to bluish."""
    green = rng.uniform(0, 1)
    loss = np.array([1.6, 0.35 + 0.4 * (1 - green), 0.35 + 0.6 * green], dtype=np.float32)
    veil = np.array([0.10, 0.35 + 0.2 * green, 0.55 - 0.25 * green], dtype=np.float32)
    veil *= np.float32(rng.uniform(0.7, 1.3))
    depth = depth_map(image.shape, rng)
    through = np.exp(-np.float32(2.2 * severity) * loss * depth)
    scattered = np.exp(-np.float32(2.2 * severity * rng.uniform(0.5, 1.2)) * depth)
    water = image * through + veil * (1 - scattered)
    sigma = severity * rng.uniform(0.5, 2.5) * max(image.shape) / 700
    return np.clip(cv2.GaussianBlur(water, (0, 0), max(sigma, 0.05)), 0, 1)


def low_contrast(image: Picture, severity: float, rng: np.random.Generator) -> Picture:
    pivot = np.float32(rng.uniform(0.25, 0.75))
    return pivot + (image - pivot) * np.float32(1 - 0.88 * severity)


def defocus(image: Picture, severity: float, rng: np.random.Generator) -> Picture:
    radius = 0.3 + severity**1.5 * 0.014 * max(image.shape)
    return cv2.filter2D(image, -1, disk(radius), borderType=cv2.BORDER_REPLICATE)


def upscale(image: Picture, severity: float, rng: np.random.Generator) -> Picture:
    """Reduce by 1..8 and enlarge again with one of four kernels."""
    size = (image.shape[1], image.shape[0])
    factor = 8.0**severity
    small = tuple(max(round(n / factor), 8) for n in size)
    kernels = (cv2.INTER_NEAREST, cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4)
    kernel = kernels[int(rng.integers(len(kernels)))]
    reduced = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
    return np.clip(cv2.resize(reduced, size, interpolation=kernel), 0, 1)


def banding(image: Picture, severity: float, rng: np.random.Generator) -> Picture:
    """Too few grey levels per channel after smoothing, as weak encoders leave in skies."""
    steps = 48 * (4 / 48) ** severity
    soft = cv2.bilateralFilter(image, 5, 0.06, 2.0)
    return np.clip(np.round(soft * steps) / np.float32(steps), 0, 1)


def low_light(image: Picture, severity: float, rng: np.random.Generator) -> Picture:
    """Fewer photons: shot and read noise, part of the gain restored, 8-bit storage."""
    exposure = np.float32(1 - 0.93 * severity)
    linear = image ** np.float32(2.2) * exposure
    shot = np.sqrt(linear * np.float32(0.004 * severity) + np.float32((0.012 * severity) ** 2))
    noisy = np.clip(linear + rng.standard_normal(image.shape, dtype=np.float32) * shot, 0, 1)
    gain = np.float32(rng.uniform(1, 1 / float(exposure) ** 0.7))
    return np.clip(
        from_bytes(to_bytes(noisy ** np.float32(1 / 2.2))) * gain ** np.float32(1 / 2.2), 0, 1
    )


def over_exposure(image: Picture, severity: float, rng: np.random.Generator) -> Picture:
    linear = image ** np.float32(2.2) * np.float32(1 + 7 * severity)
    return np.clip(linear, 0, 1) ** np.float32(1 / 2.2)


def colour_cast(image: Picture, severity: float, rng: np.random.Generator) -> Picture:
    """A wrong white balance: gains of one colour direction."""
    direction = rng.standard_normal(3).astype(np.float32)
    direction -= direction.mean()
    direction /= max(float(np.abs(direction).max()), 1e-6)
    return np.clip(image * np.exp2(np.float32(1.3 * severity) * direction), 0, 1)


def weak_stream(image: Picture, severity: float, rng: np.random.Generator) -> Picture:
    """A starved encoder: reduced resolution, strong compression, enlarged again."""
    size = (image.shape[1], image.shape[0])
    factor = 1 + 2.0 * severity * rng.uniform(0.3, 1)
    small = tuple(max(round(n / factor), 16) for n in size)
    coded = jpeg(cv2.resize(image, small, interpolation=cv2.INTER_AREA), 70 * 0.12**severity, rng)
    return np.clip(cv2.resize(coded, size, interpolation=cv2.INTER_LINEAR), 0, 1)


# name: (operation, MOS at severity 1 as a weak anchor)
FAULTS: dict[str, tuple[Fault, float]] = {
    "haze": (haze, 1.6),
    "underwater": (underwater, 1.3),
    "low_contrast": (low_contrast, 1.7),
    "defocus": (defocus, 1.3),
    "upscale": (upscale, 1.5),
    "banding": (banding, 1.9),
    "low_light": (low_light, 1.4),
    "over_exposure": (over_exposure, 1.6),
    "colour_cast": (colour_cast, 2.0),
    "weak_stream": (weak_stream, 1.4),
}
