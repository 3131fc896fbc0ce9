"""For warm parents whose jobs need no data frames: pandas is hidden from them.

Arrow imports pandas wherever that is installed, though nobody asks for it: 80 MB that every fork copies the tables of.
"""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType


class _Hiding(MetaPathFinder):
    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,  # noqa: ARG002 - it is the same wherever it lies
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        if fullname == "pandas":
            raise ModuleNotFoundError("pandas is not for these jobs", name=fullname)
        return None


def hide_pandas() -> None:
    """Have pandas look as if it were not installed, in this process from now on."""
    sys.meta_path.insert(0, _Hiding())
