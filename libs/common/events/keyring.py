"""What a service that keeps secrets says of its key ring: ids and numbers, never a key."""

from libs.common.events.envelope import Data


class KeyRingChanged(Data):
    """A key came into the ring, became active, took rows over, or left.

    After `rewrapped`, `rows` is how many rows went over to the key at once, in the transaction that says so.
    """

    key_id: str
    rows: int | None = None


class DataKeyChanged(Data):
    """A tenant's data key got another version, which took secrets over and is the only one in the end.

    After `resealed`, `rows` is how many secrets went over at once, in the transaction that says so.
    """

    version: int
    rows: int | None = None


KEYRING_EVENTS: dict[str, type[Data]] = {
    "keyring.extended": KeyRingChanged,
    "keyring.activated": KeyRingChanged,
    "keyring.rewrapped": KeyRingChanged,
    "keyring.retired": KeyRingChanged,
    "keyring.turning": DataKeyChanged,
    "keyring.resealed": DataKeyChanged,
    "keyring.turned": DataKeyChanged,
}
