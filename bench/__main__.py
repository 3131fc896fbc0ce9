"""All benchmarks, one after the other: ratios against baselines measured in the same run. What `make bench` runs.

`python -m bench NAME ...` runs some of them, `python -m bench NAME -- ARGUMENT ...` one with arguments of its own, such as
a smaller size (`-- --help` names them). Exits with 1 when a bar was missed. bench/README.md lists the bars.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

SUITE = {
    **{
        name: name
        for name in ("run_latency", "run_list", "verification", "logins", "events", "data_path", "exceptions")
    },
    **{name: name for name in ("rules", "rules_large", "jail")},
    "try": "try_rule",  # no module can be called by a keyword
}
"""Benchmarks by name → module; the order is theirs."""
_ROOT = Path(__file__).parents[1]


def main() -> int:
    """Run the chosen benchmarks and say which missed a bar."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(SUITE))
    place = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    own = sys.argv[place + 1 :]
    chosen = parser.parse_args(sys.argv[1:place]).names or list(SUITE)
    if unknown := set(chosen) - set(SUITE):
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    if own and len(chosen) > 1:
        parser.error("arguments go to one benchmark")
    missed = []
    for name in chosen:
        print(f"\n=== {name}", flush=True)
        started = time.monotonic()
        if subprocess.run([sys.executable, "-m", f"bench.{SUITE[name]}", *own], cwd=_ROOT, check=False).returncode:  # noqa: S603 - ours
            missed.append(name)
        print(f"=== {name}: {time.monotonic() - started:.0f} s", flush=True)
    print(f"\n{'missed: ' + ', '.join(missed) if missed else 'every bar is met'}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
