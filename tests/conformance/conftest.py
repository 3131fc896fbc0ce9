"""The same auth service as its own tests have; who asks here are clients that others wrote."""

from tests.auth.conftest import mailbox, nats_server, tenant, world

__all__ = ["mailbox", "nats_server", "tenant", "world"]
