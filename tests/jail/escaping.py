"""Escapes as jobs: runs a case's code as an attacker would who already has all of Python in the child.

As a program it is the positive control: it runs cases without a jail, each in a process of its own, and tells which took
effect.
"""

import ctypes
import json
import os
import signal
import socket
import sys
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

SCHEMA = pa.schema([pa.field("_ordinal", pa.int64()), pa.field("key", pa.string())])


def run(job: dict[str, Any], files: Sequence[int]) -> Any:
    """Run the code of `job` and tell whether it says to have done something that it must not."""
    names = _names(job["facts"], files)
    try:
        exec(compile(job["code"], "escape", "exec"), names)  # noqa: S102 - the point of it
    except Exception as error:  # refused
        return {"escaped": False, "why": type(error).__name__}
    return names["VALUE"] if names["VALUE"] is not None else {"escaped": bool(names["evidence"])}


def _names(facts: dict[str, Any], files: Sequence[int]) -> dict[str, Any]:
    others = [number for number in range(3, 64) if _is_open(number) and number not in files]
    given = {0, 1, 2, *files, *others[:1]}
    return {
        "os": os, "ctypes": ctypes, "signal": signal, "socket": socket, "pa": pa, "schema": SCHEMA,
        "INPUT": files[0], "OUTPUT": files[1], "RESULT": others[0] if others else 1, "GIVEN": given,
        "is_open": _is_open, "foreign": lambda number: number not in given and _is_open(number),
        "answer": lambda data: _answer(others[0], data), "output": lambda data: _output(files[1], data),
        "parquet": _parquet, "evidence": None, "VALUE": None, **facts,
    }  # fmt: skip


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def _answer(result: int, data: bytes) -> None:
    os.pwrite(result, len(data).to_bytes(8, "little") + data, 0)
    os._exit(0)


def _output(file: int, data: bytes) -> None:
    os.pwrite(file, data, 0)


def _parquet(schema: pa.Schema) -> bytes:
    columns = [pa.array([None, None], field.type) for field in schema]
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_arrays(columns, schema=schema), sink)
    return bytes(sink.getvalue())


def main() -> None:
    """Run the cases on standard input without a jail; print the names of those that took effect."""
    given = json.load(sys.stdin)
    took = [name for name, code in given["cases"].items() if _alone(code, given["facts"])]
    print(json.dumps(took))  # noqa: T201 - its answer


def _alone(code: str, facts: dict[str, Any]) -> bool:
    pid = os.fork()
    if pid == 0:
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 1)
        os.dup2(null, 2)
        signal.alarm(10)
        try:
            escaped = run({"code": code, "facts": facts}, [null, null])
            os._exit(0 if escaped == {"escaped": True} else 1)
        finally:
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


if __name__ == "__main__":
    main()
