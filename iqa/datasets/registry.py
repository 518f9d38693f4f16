"""Every reader by the name of its set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from iqa.datasets import authentic, synthetic
from iqa.datasets.columns import Columns, read_columns
from iqa.datasets.entry import RatedSet
from sdk.errors import UsageError

CSV: Final = "csv"
READERS: Final[Mapping[str, Callable[[Path], RatedSet]]] = {
    "live": synthetic.read_live,
    "csiq": synthetic.read_csiq,
    "tid2013": synthetic.read_tid2013,
    "kadid10k": synthetic.read_kadid10k,
    "pipal": synthetic.read_pipal,
    "clive": authentic.read_clive,
    "koniq10k": authentic.read_koniq10k,
    "spaq": authentic.read_spaq,
    "bid": authentic.read_bid,
    "flive": authentic.read_flive,
}
NAMES: Final = (*READERS, CSV)


def read_set(name: str, root: Path, columns: Columns | None = None) -> RatedSet:
    """Read a data set as it was distributed.

    Args:
        name: One of `NAMES`.
        root: Its folder.
        columns: For "csv": where its file has what.

    Raises:
        UsageError: An unknown name.
        SourceError: The folder is not as it should be; the message says what is missing.
    """
    if name == CSV:
        return read_columns(root, columns or Columns())
    if name not in READERS:
        raise UsageError(f"There is no reader for {name!r}; there are {', '.join(NAMES)}.")
    return READERS[name](root)
