"""The photographs of the demo: files that scikit-image installs, free to use, never downloaded.

| file            | subject                      | terms (as scikit-image states them)         |
|-----------------|------------------------------|---------------------------------------------|
| `coffee.png`    | coffee cup, Rachel Michetti  | CC0 by the photographer                     |
| `astronaut.png` | Eileen Collins, NASA         | no known copyright restrictions, public domain |
| `chelsea.png`   | a cat, Stefan van der Walt   | CC0 by the photographer                     |
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sdk.errors import FramescoreError

REPORT_HINT: Final = "Install it: pip install 'framescore[report]'"


def load_photograph(name: str) -> NDArray[np.uint8]:
    """Read one of scikit-image's photographs.

    Args:
        name: File name in its folder `data`.

    Returns:
        BGR picture [H, W, 3].

    Raises:
        FramescoreError: scikit-image isn't installed or brings no such file.
    """
    import cv2

    path = _data_folder() / name
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise FramescoreError(
            f"The demo's photograph {path} is missing or damaged.", hint=REPORT_HINT
        )
    return np.asarray(picture, dtype=np.uint8)


def _data_folder() -> Path:
    # Found, not imported: the package itself isn't needed, and takes a second to load.
    spec = importlib.util.find_spec("skimage")
    if spec is None or not spec.submodule_search_locations:
        raise FramescoreError(
            "The demo needs scikit-image, which brings its photographs.", hint=REPORT_HINT
        )
    return Path(spec.submodule_search_locations[0]) / "data"
