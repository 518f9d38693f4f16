"""The 25 distortions of KADID-10k at their five published levels.

Source: Lin, Hosu, Saupe, "KADID-10k: A Large-scale Artificially Distorted IQA Database" (QoMEX
2019). Parameters are the generator's. Two operations differ and say so: ``denoise`` (non-local
means where the generator runs a DnCNN, whose weights we do not have) and ``quantise`` (an exact
optimum of the same criterion). A level is a setting, not a severity: for mean shift and contrast
the middle level is best.

Every operation takes and returns float32 RGB ``[H, W, 3]`` in 0..1 and draws from the given
generator only.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.interpolate import CubicSpline

Picture = NDArray[np.float32]  # [H, W, 3] RGB, 0..1
Operation = Callable[[Picture, float, np.random.Generator], Picture]


def to_bytes(image: Picture) -> NDArray[np.uint8]:
    """Round 0..1 to 8 bits."""
    return np.clip(image * 255 + 0.5, 0, 255).astype(np.uint8)


def from_bytes(image: NDArray[np.uint8]) -> Picture:
    """8 bits to 0..1."""
    return image.astype(np.float32) / np.float32(255)


def stretch(image: Picture) -> Picture:
    """Map the smallest value to 0 and the largest to 1, over all channels together."""
    low, high = float(image.min()), float(image.max())
    return image if high - low < 1e-6 else (image - low) / np.float32(high - low)


def _to_lab(image: Picture) -> Picture:
    return cv2.cvtColor(np.clip(image, 0, 1), cv2.COLOR_RGB2Lab)


def _from_lab(lab: Picture) -> Picture:
    return np.clip(cv2.cvtColor(lab, cv2.COLOR_Lab2RGB), 0, 1)


def _filter(image: Picture, kernel: NDArray[np.float32]) -> Picture:
    return cv2.filter2D(image, -1, kernel, borderType=cv2.BORDER_REPLICATE)


def gaussian_blur(image: Picture, sigma: float, rng: np.random.Generator) -> Picture:
    size = 2 * math.ceil(2 * sigma) + 1
    return cv2.GaussianBlur(image, (size, size), sigma, borderType=cv2.BORDER_REPLICATE)


def disk(radius: float) -> NDArray[np.float32]:
    """Anti-aliased disk kernel, sum 1."""
    reach = math.ceil(radius)
    fine = (np.arange((2 * reach + 1) * 8) + 0.5) / 8 - reach - 0.5
    inside = (fine[:, None] ** 2 + fine[None] ** 2 <= (radius + 0.25) ** 2).astype(np.float32)
    kernel = inside.reshape(2 * reach + 1, 8, 2 * reach + 1, 8).mean(axis=(1, 3))
    return kernel / kernel.sum()


def lens_blur(image: Picture, radius: float, rng: np.random.Generator) -> Picture:
    return _filter(image, disk(radius))


def motion_blur(image: Picture, length: float, rng: np.random.Generator) -> Picture:
    angle = math.radians(int(rng.integers(0, 180)))
    reach = math.ceil(length / 2)
    span = np.arange(-reach, reach + 1, dtype=np.float32)
    along = span[None] * math.cos(angle) - span[:, None] * math.sin(angle)
    across = span[None] * math.sin(angle) + span[:, None] * math.cos(angle)
    ends = np.maximum(np.abs(along) - (length - 1) / 2, 0)
    kernel = np.clip(1 - np.hypot(across, ends), 0, None).astype(np.float32)
    return _filter(image, kernel / kernel.sum())


def colour_diffusion(image: Picture, amount: float, rng: np.random.Generator) -> Picture:
    lab = _to_lab(image)
    sigma = 1.5 * amount + 2
    chroma = cv2.GaussianBlur(lab[..., 1:], (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    return _from_lab(np.concatenate([lab[..., :1], np.clip(chroma * amount, -127, 127)], axis=-1))


def colour_shift(image: Picture, amount: float, rng: np.random.Generator) -> Picture:
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    edges = np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))
    mask = cv2.GaussianBlur(edges, (0, 0), 4)
    mask = np.clip(mask / max(float(mask.max()), 1e-6) * 2, 0, 1)
    angle = rng.uniform(0, math.pi / 2)
    move = np.float32([[1, 0, amount * math.cos(angle)], [0, 1, amount * math.sin(angle)]])
    size = (image.shape[1], image.shape[0])
    green = cv2.warpAffine(image[..., 1], move, size, borderMode=cv2.BORDER_REPLICATE)
    out = image.copy()
    out[..., 1] = green * mask + image[..., 1] * (1 - mask)
    return out


def colour_quantise(image: Picture, colours: float, rng: np.random.Generator) -> Picture:
    picture = Image.fromarray(to_bytes(image))
    palette = picture.quantize(int(colours), method=Image.Quantize.MEDIANCUT)
    dithered = picture.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)
    return from_bytes(np.asarray(dithered.convert("RGB")))


def saturation_hsv(image: Picture, factor: float, rng: np.random.Generator) -> Picture:
    value = image.max(axis=-1, keepdims=True)  # HSV with S scaled, H and V kept
    return np.clip(value - np.float32(factor) * (value - image), 0, 1)


def saturation_lab(image: Picture, factor: float, rng: np.random.Generator) -> Picture:
    lab = _to_lab(image)
    lab[..., 1:] = np.clip(lab[..., 1:] * factor, -127, 127)
    return _from_lab(lab)


def jpeg2000(image: Picture, ratio: float, rng: np.random.Generator) -> Picture:
    store = io.BytesIO()
    options = {"quality_mode": "rates", "quality_layers": [ratio], "irreversible": True}
    Image.fromarray(to_bytes(image)).save(store, "JPEG2000", **options)
    return from_bytes(np.asarray(Image.open(store).convert("RGB")))


def jpeg(image: Picture, quality: float, rng: np.random.Generator) -> Picture:
    bgr = cv2.cvtColor(to_bytes(image), cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, int(quality)])
    return from_bytes(cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB))


def _normal(image: Picture, variance: float, rng: np.random.Generator) -> Picture:
    return rng.standard_normal(image.shape, dtype=np.float32) * np.float32(math.sqrt(variance))


def white_noise(image: Picture, variance: float, rng: np.random.Generator) -> Picture:
    return np.clip(image + _normal(image, variance, rng), 0, 1)


def white_noise_ycbcr(image: Picture, variance: float, rng: np.random.Generator) -> Picture:
    ycc = cv2.cvtColor(image, cv2.COLOR_RGB2YCrCb)
    return np.clip(cv2.cvtColor(ycc + _normal(image, variance, rng), cv2.COLOR_YCrCb2RGB), 0, 1)


def impulse_noise(image: Picture, density: float, rng: np.random.Generator) -> Picture:
    draw = rng.random(image.shape, dtype=np.float32)
    out = np.where(draw < density / 2, np.float32(0), image)
    return np.where(draw > 1 - density / 2, np.float32(1), out)


def speckle(image: Picture, variance: float, rng: np.random.Generator) -> Picture:
    return np.clip(image + image * _normal(image, variance, rng), 0, 1)


def denoise(image: Picture, variance: float, rng: np.random.Generator) -> Picture:
    """Add noise, then remove it by non-local means per channel (the generator uses a DnCNN)."""
    noisy = to_bytes(white_noise(image, variance, rng))
    strength = 0.75 * 255 * math.sqrt(variance)
    clean = [cv2.fastNlMeansDenoising(c, None, strength, 5, 13) for c in cv2.split(noisy)]
    return from_bytes(np.dstack(clean))


def _curve(x: Picture, knots: list[tuple[float, float]]) -> Picture:
    at, value = zip(*knots, strict=True)
    table = CubicSpline(at, value)(np.linspace(0, 1, 4096)).clip(0, 1).astype(np.float32)
    return table[np.clip(x * 4095 + 0.5, 0, 4095).astype(np.int32)]


def brighten(image: Picture, amount: float, rng: np.random.Generator) -> Picture:
    knots = [(0.0, 0.0), (0.5, 0.5 + amount / 2), (1.0, 1.0)]
    lab = _to_lab(image)
    lab[..., 0] = 100 * _curve(lab[..., 0] / 100, knots)
    return (2 * _curve(image, knots) + _from_lab(lab)) / 3


def darken(image: Picture, amount: float, rng: np.random.Generator) -> Picture:
    return _curve(image, [(0.0, 0.0), (0.5, 0.5 - amount / 2), (1.0, 1.0)])


def mean_shift(image: Picture, amount: float, rng: np.random.Generator) -> Picture:
    return np.clip(image + np.float32(amount), 0, 1)


def jitter(image: Picture, sigma: float, rng: np.random.Generator) -> Picture:
    height, width = image.shape[:2]
    columns, rows = np.meshgrid(
        np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)
    )
    for _ in range(5):
        dx, dy = rng.standard_normal((2, height, width), dtype=np.float32) * np.float32(sigma)
        image = cv2.remap(
            image, columns + dx, rows + dy, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
        )
    return np.clip(image, 0, 1)


def patch_shift(image: Picture, count: float, rng: np.random.Generator) -> Picture:
    """Non-eccentricity patch: ``count`` 16x16 patches replaced by one at most 8 px away."""
    out, side = image.copy(), 16
    height, width = image.shape[0] - side, image.shape[1] - side
    for _ in range(int(count)):
        row, column = int(rng.integers(0, height + 1)), int(rng.integers(0, width + 1))
        r = int(np.clip(row + rng.integers(-8, 9), 0, height))
        c = int(np.clip(column + rng.integers(-8, 9), 0, width))
        out[row : row + side, column : column + side] = image[r : r + side, c : c + side]
    return out


def pixelate(image: Picture, strength: float, rng: np.random.Generator) -> Picture:
    scale = 0.95 - strength**0.6
    size = (image.shape[1], image.shape[0])
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_NEAREST)
    return cv2.resize(small, size, interpolation=cv2.INTER_NEAREST)


def optimal_levels(histogram: NDArray[np.float64], classes: int) -> NDArray[np.int64]:
    """Boundaries of the ``classes`` bins that minimise the variance within them (multi-Otsu's
    criterion), exact by dynamic programming over 256 grey values; ``[classes - 1]`` cuts."""
    bins = np.arange(histogram.size)
    weight = np.concatenate([[0.0], np.cumsum(histogram)])
    first = np.concatenate([[0.0], np.cumsum(histogram * bins)])
    gain = np.full((histogram.size, histogram.size + 1), -np.inf)  # of the class [start, stop)
    for start in range(histogram.size):
        mass = weight[start + 1 :] - weight[start]
        total = first[start + 1 :] - first[start]
        gain[start, start + 1 :] = np.divide(
            total**2, mass, out=np.zeros_like(mass), where=mass > 0
        )
    best, back = gain[0].copy(), []
    for _ in range(classes - 1):
        options = best[:-1, None] + gain  # [start, stop]
        back.append(options.argmax(axis=0))
        best = options.max(axis=0)
    cuts, stop = [], histogram.size
    for choice in reversed(back):
        stop = int(choice[stop])
        cuts.append(stop)
    return np.array(cuts[::-1], dtype=np.int64)


def quantise(image: Picture, thresholds: float, rng: np.random.Generator) -> Picture:
    data = to_bytes(image)
    histogram = np.bincount(data.ravel(), minlength=256).astype(np.float64)
    cuts = optimal_levels(histogram, int(thresholds) + 1)
    label = np.searchsorted(cuts, np.arange(256), side="right")
    mass = np.bincount(label, histogram, minlength=len(cuts) + 1)
    mean = np.bincount(label, histogram * np.arange(256), minlength=len(cuts) + 1) / np.maximum(
        mass, 1
    )
    return (mean[label] / 255).astype(np.float32)[data]


def colour_blocks(image: Picture, count: float, rng: np.random.Generator) -> Picture:
    out, side = image.copy(), 32
    for _ in range(int(count)):
        row = int(rng.integers(0, max(image.shape[0] - side, 1)))
        column = int(rng.integers(0, max(image.shape[1] - side, 1)))
        out[row : row + side, column : column + side] = rng.random(3, dtype=np.float32)
    return out


def sharpen(image: Picture, amount: float, rng: np.random.Generator) -> Picture:
    soft = cv2.GaussianBlur(image, (0, 0), 3, borderType=cv2.BORDER_REPLICATE)
    return np.clip(image + np.float32(amount) * (image - soft), 0, 1)


def contrast(image: Picture, amount: float, rng: np.random.Generator) -> Picture:
    knots = [(0.0, 0.0), (0.3, 0.25 - amount / 4), (0.5, 0.5), (0.7, 0.75 + amount / 4), (1.0, 1.0)]
    return _curve(image, knots)


# type: (name, operation, parameter of levels 1..5)
TYPES: dict[int, tuple[str, Operation, tuple[float, ...]]] = {
    1: ("gaussian_blur", gaussian_blur, (0.1, 0.5, 1, 2, 5)),
    2: ("lens_blur", lens_blur, (1, 2, 4, 6, 8)),
    3: ("motion_blur", motion_blur, (1, 2, 4, 6, 10)),
    4: ("colour_diffusion", colour_diffusion, (1, 3, 6, 8, 12)),
    5: ("colour_shift", colour_shift, (1, 3, 6, 8, 12)),
    6: ("colour_quantisation", colour_quantise, (64, 48, 32, 16, 8)),
    7: ("saturation_hsv", saturation_hsv, (0.4, 0.2, 0.1, 0, -0.4)),
    8: ("saturation_lab", saturation_lab, (1, 2, 3, 6, 9)),
    9: ("jpeg2000", jpeg2000, (16, 32, 45, 120, 400)),
    10: ("jpeg", jpeg, (43, 36, 24, 7, 4)),
    11: ("white_noise", white_noise, (0.001, 0.002, 0.003, 0.005, 0.01)),
    12: ("white_noise_ycbcr", white_noise_ycbcr, (0.0001, 0.0005, 0.001, 0.002, 0.003)),
    13: ("impulse_noise", impulse_noise, (0.001, 0.005, 0.01, 0.02, 0.03)),
    14: ("multiplicative_noise", speckle, (0.001, 0.005, 0.01, 0.02, 0.05)),
    15: ("denoise", denoise, (0.01, 0.03, 0.05, 0.1, 0.15)),
    16: ("brighten", brighten, (0.1, 0.2, 0.4, 0.7, 1.1)),
    17: ("darken", darken, (0.05, 0.1, 0.2, 0.4, 0.8)),
    18: ("mean_shift", mean_shift, (0.15, 0.08, 0, -0.08, -0.15)),
    19: ("jitter", jitter, (0.05, 0.1, 0.2, 0.5, 1)),
    20: ("patch_shift", patch_shift, (20, 40, 60, 80, 100)),
    21: ("pixelate", pixelate, (0.01, 0.05, 0.1, 0.2, 0.5)),
    22: ("quantisation", quantise, (20, 16, 13, 10, 7)),
    23: ("colour_block", colour_blocks, (2, 4, 6, 8, 10)),
    24: ("high_sharpen", sharpen, (1, 2, 3, 6, 12)),
    25: ("contrast", contrast, (0.3, 0.15, 0, -0.4, -0.6)),
}


def distort(image: Picture, kind: int, level: int, rng: np.random.Generator) -> Picture:
    """Apply KADID type ``kind`` at ``level``, stretched before and after as published.

    Args:
        image: float32 RGB ``[H, W, 3]``, 0..1.
        kind: Distortion type.
        level: Setting of the type.
        rng: Source of every random draw.

    Returns:
        float32 RGB of the same shape, 0..1.
    """
    if kind not in TYPES or not 1 <= level <= 5:
        raise ValueError(f"KADID type {kind} level {level}: types are 1..25 and levels 1..5.")
    _, operation, levels = TYPES[kind]
    return stretch(operation(stretch(image), levels[level - 1], rng).astype(np.float32, copy=False))
