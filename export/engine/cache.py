"""Plans that were built before: found by everything that decides what is in them.

A plan's folder appears whole, by a rename, or not at all; a lock for each plan lets one process
build it while others wait. What killed processes leave is swept away by the next one.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex

from export.engine.entry import (
    LOG,
    SIDECAR,
    Entry,
    load_engine,
    read_entry,
    read_sidecar,
    write_sidecar,
)
from export.engine.lock import hold_lock, try_lock
from export.engine.plan import Built, Engine
from export.engine.recipe import Recipe
from export.progress import Progress
from sdk.errors import BackendError, FramescoreError, SinkError

_log = logging.getLogger("framescore")

Build = Callable[[Path], Built]
"""Writes the plan and the builder's log into a folder."""


def cache_folder() -> Path:
    """Where plans are kept: `framescore/engines` in XDG_CACHE_HOME, or in ~/.cache."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification has relative paths ignored.
    root = Path(base) if Path(base).is_absolute() else Path.home() / ".cache"
    return root / "framescore" / "engines"


class PlanCache:
    """The plans on this machine.

    Args:
        folder: Where they are; `cache_folder()` by default.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or cache_folder()

    def get_or_build(self, recipe: Recipe, build: Build, progress: Progress) -> Engine:
        """Return the plan of a recipe; build it if it is not there, once for all processes.

        Args:
            recipe: What the plan is made from.
            build: Builds it.
            progress: Told while another process builds the same plan.

        Raises:
            SinkError: The folder cannot be written.
        """
        with _readable_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = self.folder / f".{recipe.entry}.lock"
            with hold_lock(lock, lambda: progress("waiting for another build", 0, 0)):
                return self._find(recipe) or self._build(recipe, build)

    def entries(self) -> list[Entry]:
        """Return what is there, by name; the plans' checksums are verified."""
        if not self.folder.is_dir():
            return []
        return [read_entry(path) for path in self._folders()]

    def remove(self, entry: Entry) -> None:
        """Remove an entry; one that a process is just building or reading stays whole for it.

        Raises:
            SinkError: It cannot be removed.
        """
        with _readable_errors(self.folder):
            trash = self.folder / f".{entry.path.name}.{token_hex(6)}.part"
            entry.path.rename(trash)
            shutil.rmtree(trash)

    def sweep(self) -> None:
        """Remove what builds left that were killed or failed, and locks that nobody holds."""
        with _readable_errors(self.folder):
            for log in self.folder.glob("*.failed.log"):
                log.unlink(missing_ok=True)
            for lock in self.folder.glob(".*.lock"):
                with lock.open("a") as file:
                    if try_lock(file.fileno()):
                        self._remove_drafts(lock.name[1 : -len(".lock")])
                        lock.unlink(missing_ok=True)

    def _find(self, recipe: Recipe) -> Engine | None:
        """Return the plan of a recipe if it is there and whole; say why if it isn't."""
        path = self.folder / recipe.entry
        if not path.exists():
            self._say_what_changed(recipe)
            return None
        entry = read_entry(path)
        if entry.info is not None and entry.info.recipe == recipe and not entry.problem:
            return load_engine(path, entry.info, from_cache=True)
        reason = entry.problem or "its sidecar tells of another recipe"
        _log.warning("the plan %s is built again: %s", path.name, reason)
        return None

    def _folders(self) -> Iterator[Path]:
        for path in sorted(self.folder.iterdir()):
            if path.is_dir() and not path.name.startswith("."):
                yield path

    def _say_what_changed(self, recipe: Recipe) -> None:
        """Tell of the newest plan of the same request that is of no use any more."""
        infos = [read_sidecar(path / SIDECAR) for path in self._folders()]
        same = [info for info in infos if info and recipe.is_same_request(info.recipe)]
        if same:
            newest = max(same, key=lambda info: info.created)
            _log.warning(
                "the plan of %s in the cache does not fit any more and a new one is built: %s",
                recipe.model, recipe.changes(newest.recipe),
            )  # fmt: skip

    def _build(self, recipe: Recipe, build: Build) -> Engine:
        self._remove_drafts(recipe.entry)
        draft = self.folder / f".{recipe.entry}.{token_hex(6)}.part"
        draft.mkdir()
        try:
            info = write_sidecar(draft, recipe, build(draft))
            _sync(draft)
            path = self.folder / recipe.entry
            if path.exists():
                shutil.rmtree(path)
            draft.rename(path)
        except Exception as error:
            self._keep_log(draft, recipe.entry, error)
            raise
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        return load_engine(path, info, from_cache=False)

    def _keep_log(self, draft: Path, entry: str, error: Exception) -> None:
        """Keep the log of a build that failed, and say where it is."""
        if isinstance(error, BackendError) and (draft / LOG).exists():
            log = self.folder / f"{entry}.failed.log"
            (draft / LOG).replace(log)
            error.hint = f"{error.hint} The builder's log: {log}".strip()

    def _remove_drafts(self, entry: str) -> None:
        """Remove what builds of this plan left that were killed; its lock must be held."""
        for draft in self.folder.glob(f".{entry}.*.part"):
            shutil.rmtree(draft, ignore_errors=True)


def _sync(folder: Path) -> None:
    """Have the files on the disk before the rename makes them a plan: power may fail."""
    for file in folder.iterdir():
        with file.open("rb") as stream:
            os.fsync(stream.fileno())


@contextmanager
def _readable_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except (FramescoreError, BrokenPipeError):
        raise
    except OSError as error:
        raise SinkError(
            f"The cache of engines {folder} cannot be written: {error.strerror or error}.",
            hint="Check its permissions and the free space, or set XDG_CACHE_HOME.",
        ) from error
