"""For warm parents: what their jobs do not need is hidden from them, as if it were not installed.

Libraries import what they find, though nobody asks for it, and every fork copies the tables of all that is loaded.
"""

import sys
from collections.abc import Collection, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType


class _Hiding(MetaPathFinder):
    def __init__(self, names: Collection[str]) -> None:
        self._names = names

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,  # noqa: ARG002 - it is the same wherever it lies
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        if fullname in self._names:
            raise ModuleNotFoundError(f"{fullname} is not for these jobs", name=fullname)
        return None


def hide_pandas() -> None:
    """Hide pandas, for jobs that need no data frames: Arrow imports it, 80 MB."""
    sys.meta_path.insert(0, _Hiding({"pandas"}))


def hide_all_but_tables() -> None:
    """Hide data frames, arrays, and Arrow's clients of stores elsewhere, for jobs that read files that they are handed."""
    stores = {f"pyarrow._{name}" for name in ("azurefs", "gcsfs", "hdfs", "s3fs")}
    sys.meta_path.insert(0, _Hiding({"pandas", "numpy", *stores}))
