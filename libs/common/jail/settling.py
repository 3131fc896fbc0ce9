"""Before the first fork: everything loaded, nothing running beside, the house moved into."""

import ctypes
import gc
import importlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from libs.common.jail import child, namespaces, seccomp
from libs.common.jail.confinement import interpreter_paths
from libs.common.jail.isolation import House, layers_of
from libs.common.jail.settings import WarmParent

_SLEEPERS = {"polars-ooc-clea"}  # waits to tidy up spilled files, which a parent of jobs has none of


def settle(settings: WarmParent, *, listening: bool) -> tuple[child.JobFunction, House]:
    """Move into the house, load everything there, close the doors."""
    readable = (*interpreter_paths(), *settings.readable)
    layers = layers_of(settings.isolation, readable)
    housed = layers == namespaces.LAYERS
    if housed:
        namespaces.move_in()
    function = _prepare(settings)
    if housed:
        namespaces.furnish(readable)
    if listening:
        seccomp.forbid_contacts()
    return function, House(readable, layers)


def _threads() -> list[str]:
    """Return the names of this process's threads but those that are known to sleep and to hold nothing."""
    names = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
    return [name for name in names if name not in _SLEEPERS]


def load(name: str) -> Any:
    """Return what `name` ("module:attribute") stands for."""
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


def preload(names: Sequence[str]) -> None:
    """Import modules, and call functions ("module:function") in between."""
    for name in names:
        if ":" in name:
            load(name)()
        else:
            importlib.import_module(name)


def _prepare(settings: WarmParent) -> child.JobFunction:
    ctypes.CDLL("libgcc_s.so.1")  # the end of a thread wants it, and children can load nothing any more
    preload(settings.preload)
    function: child.JobFunction = load(settings.entry)
    if settings.warm:
        load(settings.warm)()
    os.environ.clear()
    threads = _threads()
    if len(threads) != 1:
        raise RuntimeError(f"preloading started threads ({threads}): a fork would copy their locks, not them")
    gc.collect()
    gc.freeze()
    return function
