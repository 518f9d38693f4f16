"""What people said of distortions: their mean, and what contents differ by."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from iqa.data.labels import MOS_CLEAN, fault_label
from iqa.distortions.kadid import TYPES
from iqa.evaluate import LEVELS
from iqa.second_stage.samples import Frame
from sdk.errors import UsageError

CLEAN_SETTING = (1, 1)  # changes next to nothing


@dataclass(frozen=True, slots=True)
class Opinion:
    """What people gave one KADID setting: mean and deviation over contents, MOS points."""

    mean: float
    deviation: float


Opinions = dict[tuple[int, int], Opinion]


def read_opinions(path: Path) -> Opinions:
    """Mean and deviation of each KADID (type, level) from rows ``type,level,mean,std``.

    Raises:
        UsageError: The file cannot be read, a column or a setting is missing.
    """
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            found = {
                (int(r["type"]), int(r["level"])): Opinion(float(r["mean"]), float(r["std"]))
                for r in csv.DictReader(stream)
            }
    except (OSError, UnicodeDecodeError, KeyError, TypeError, ValueError) as error:
        reason = f"no column {error}" if isinstance(error, KeyError) else error
        raise UsageError(
            f"Human scores {path} cannot be used: {reason}.",
            hint="Needed is a CSV with the columns type, level, mean, std.",
        ) from error
    missing = [(t, level) for t in TYPES for level in LEVELS if (t, level) not in found]
    if missing:
        raise UsageError(
            f"Human scores {path} lack {len(missing)} of 125 settings, the first type "
            f"{missing[0][0]} level {missing[0][1]}.",
            hint="Give a row for each of 25 types and 5 levels.",
        )
    return found


def opinion_of(frame: Frame, opinions: Opinions) -> Opinion:
    """That of the frame's setting; a camera fault, which nobody rated, has an anchor of ours."""
    if frame.fault:
        return Opinion(fault_label(*frame.fault).mos, 0.0)
    if frame.setting:
        return opinions[frame.setting]
    return Opinion(MOS_CLEAN, opinions[CLEAN_SETTING].deviation)
