"""Turn a tenant's data key where `regent keys` does not reach: `python -m services.catalog.keys rotate-dek TENANT`."""

from libs.common.crypto import turning
from services.catalog.sealed import SEALED
from services.catalog.settings import Settings


def main() -> None:
    """Read the command line and run, with the environment of the service."""
    turning.main("catalog", Settings.load, SEALED)


if __name__ == "__main__":
    main()
