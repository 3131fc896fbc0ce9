"""What a spare does before it waits for a job, well or badly."""

import threading
import time


def rehearse() -> None:
    """Touch some memory."""
    bytearray(1 << 20)


def fail_to_rehearse() -> None:
    """Fail."""
    raise ValueError("no")


def rehearse_with_a_thread() -> None:
    """Leave a thread behind."""
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
