"""Tokens of distorted photographs on disk, for trainings that change only what reads them.

Trunk and branches of ``glint-edge`` stay as they are, so their tokens are computed once: 226 kB a
frame. A store belongs to one set of weights, photographs and settings; it says so and refuses
others.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from iqa.data.photos import Photo
from iqa.data.store import views_of
from iqa.distortions.kadid import Picture, distort
from iqa.models.glint_edge import GlintEdge
from iqa.qfm.adapters import GlintEdgeTokens
from iqa.whole_file import whole_file
from sdk.errors import UsageError

Key = Callable[[NDArray[np.uint8]], NDArray[np.float32]]  # RGB [H, W, 3] -> [K]
Setting = tuple[int, int]  # KADID type and level
LONG_SIDE = 512  # KADID's own size, at which its raters saw what the settings do


@dataclass(frozen=True, slots=True)
class Plan:
    """Which frames are made: every photograph under its settings, photograph by photograph.

    Attributes:
        photos: Clean photographs.
        settings: Of each photograph; all have the same number.
        seed: Of the distortions.
    """

    photos: tuple[Photo, ...]
    settings: tuple[tuple[Setting, ...], ...]
    seed: int

    def frames(self, photo: int, clean: Picture) -> list[Picture]:
        """A photograph under each of its settings; always the same pixels."""
        return [
            distort(clean, *setting, np.random.default_rng([self.seed, photo, *setting]))
            for setting in self.settings[photo]
        ]

    def clean(self, photo: int) -> Picture:
        """A photograph with a long side of at most :data:`LONG_SIDE`."""
        image = self.photos[photo].read()
        scale = min(LONG_SIDE / max(image.shape[:2]), 1.0)
        return cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)

    def identity(self) -> str:
        """What tells this plan from others."""
        names = [f"{p.path.name} {p.path.stat().st_size}" for p in self.photos]
        words = json.dumps([names, self.settings, self.seed, LONG_SIDE])
        return hashlib.sha256(words.encode()).hexdigest()


def random_settings(
    photos: int, each: int, settings: Sequence[Setting], seed: int
) -> tuple[tuple[Setting, ...], ...]:
    """``each`` different settings for every photograph, drawn evenly."""
    drawn = [
        np.random.default_rng([seed, photo]).permutation(len(settings))[:each]
        for photo in range(photos)
    ]
    return tuple(tuple(settings[i] for i in sorted(rows)) for rows in drawn)


@dataclass(frozen=True, slots=True)
class TokenStore:
    """Memory-mapped tokens of ``P`` photographs under ``S`` settings each.

    Attributes:
        tokens: float16 ``[P * S, 196, D]``.
        keys: float32 ``[P, K]``, what the clean photographs show.
        settings: ``[P * S, 2]``, types and levels.
    """

    tokens: NDArray[np.float16]
    keys: NDArray[np.float32]
    settings: NDArray[np.int64]

    @property
    def photos(self) -> int:
        """P."""
        return len(self.keys)

    def photo_of(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The photograph of each row."""
        return rows // (len(self.settings) // self.photos)

    def batch(self, rows: NDArray[np.int64]) -> torch.Tensor:
        """Tokens of ``rows``, float32 ``[B, 196, D]``."""
        return torch.from_numpy(self.tokens[rows].astype(np.float32))


def open_store(
    folder: Path,
    plan: Plan,
    model: GlintEdge,
    key: Key,
    identity: str,
    progress: Callable[[int, int], object] = lambda *_: None,
) -> TokenStore:
    """A store as planned; what a stopped run has finished is not computed again.

    Args:
        folder: Of the store; made where it is not there.
        plan: Its frames.
        model: In evaluation mode; its trunk and branches make the tokens.
        key: What a clean photograph shows, from its reduced view.
        identity: Of the weights behind ``model`` and ``key``.
        progress: Told the photographs done, and all.

    Raises:
        UsageError: The folder holds tokens of other weights, photographs or settings.
    """
    folder.mkdir(parents=True, exist_ok=True)
    settings = np.array([s for each in plan.settings for s in each], np.int64)
    tokens, keys = _maps(folder, plan, model, key, f"{plan.identity()} {identity}")
    done, each = folder / "done", len(plan.settings[0])
    first = int(done.read_text()) if done.is_file() else 0
    for photo in range(first, len(plan.photos)):
        progress(photo, len(plan.photos))
        clean = plan.clean(photo)
        tokens[photo * each : (photo + 1) * each] = tokens_of(model, plan.frames(photo, clean))
        keys[photo] = key(views_of(clean)[1])
        tokens.flush()
        keys.flush()
        with whole_file(done) as stream:
            stream.write(str(photo + 1).encode())
    progress(len(plan.photos), len(plan.photos))
    return TokenStore(tokens, keys, settings)


def tokens_digest(model: GlintEdge) -> str:
    """SHA-256 of the tensors that make tokens; heads may change without making a store stale."""
    digest = hashlib.sha256()
    for part in (model.trunk, model.local, model.context):
        for name, value in part.state_dict().items():
            digest.update(name.encode() + value.float().numpy().tobytes())
    return digest.hexdigest()


@torch.inference_mode()
def tokens_of(model: GlintEdge, frames: Sequence[Picture]) -> NDArray[np.float16]:
    """Frames of any size to ``[B, 196, D]``, what the integration of ``model`` reads."""
    views = [np.stack(view) for view in zip(*map(views_of, frames), strict=True)]
    fragments, resize = (model.shallow(torch.from_numpy(view)) for view in views)
    found = GlintEdgeTokens(model).tokens((*fragments, resize[1]))
    return found.patches.numpy().astype(np.float16)


def _maps(
    folder: Path, plan: Plan, model: GlintEdge, key: Key, claim: str
) -> tuple[NDArray[np.float16], NDArray[np.float32]]:
    """The store's two arrays, opened or begun."""
    owner = folder / "owner"
    if owner.is_file():
        if owner.read_text() != claim:
            raise UsageError(
                f"Folder {folder} holds tokens of other weights, photographs or settings.",
                hint="Give another folder, or delete this one.",
            )
        tokens, keys = (np.load(folder / f"{n}.npy", mmap_mode="r+") for n in ("tokens", "keys"))
        return tokens, keys
    clean = plan.clean(0)
    shape = tokens_of(model, [clean]).shape[1:]
    count = sum(map(len, plan.settings))
    tokens = open_memmap(folder / "tokens.npy", "w+", np.float16, (count, *shape))
    width = len(key(views_of(clean)[1]))
    keys = open_memmap(folder / "keys.npy", "w+", np.float32, (len(plan.photos), width))
    owner.write_text(claim)
    return tokens, keys
