from datetime import datetime

from libs.common.events.envelope import Data
from libs.common.events.keyring import KEYRING_EVENTS


class CheckpointSigned(Data):
    """A tenant's tree was signed at a size; `key` is where the note stands in the object store."""

    size: int
    root: str
    key: str


class EntriesExported(Data):
    """Entries left the system."""

    first: int
    count: int
    purpose: str = ""


class TreeVerified(Data):
    """Somebody had the tree verified."""

    size: int
    result: str
    checkpoint_size: int | None = None


class KeyCreated(Data):
    """The key that signs checkpoints came to be."""

    name: str
    public_key: str
    created_at: datetime


EVENTS: dict[str, type[Data]] = {
    **KEYRING_EVENTS,
    "checkpoint.signed": CheckpointSigned,
    "entry.exported": EntriesExported,
    "tree.verified": TreeVerified,
    "key.created": KeyCreated,
}
