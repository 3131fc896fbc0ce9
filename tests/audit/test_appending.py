"""Appending to the trees, and who may do what to them, on a real PostgreSQL."""

from itertools import product

import asyncpg
import pytest

from libs.common.database.guard import declared_exceptions, isolation_faults
from libs.common.ids import SYSTEM_TENANT
from libs.common.migrations import service_folder
from services.audit import commands, proofs, signing, store
from services.audit.domain import Received, read
from services.audit.tree import Frontier, extend, leaf_hash, verify_consistency, verify_inclusion
from tests.audit.world import OTHER, TENANT, Store, context, event_body, received

ROLES = ("server", "writer", "signer", "relay")


async def fill(audit: Store, messages: list[Received], tenant: object = TENANT) -> int:
    async with audit.role("writer") as writer, writer.transaction(context(tenant)) as tx:  # type: ignore[arg-type]
        return await commands.append(tx, [read(message) for message in messages])


async def test_tree_grows(audit: Store) -> None:
    """However entries come in, the stored head is the tree of their exact bytes (S39)."""
    messages = [received(number) for number in range(1, 701)]
    await fill(audit, messages[:3])
    await fill(audit, messages[3:600])
    await fill(audit, messages[600:])
    async with audit.role("server") as server, server.transaction(context()) as tx:
        head = await store.head(tx)
    assert head.frontier == extend(Frontier(), [leaf_hash(each.body) for each in messages]).frontier
    assert head.noteworthy_size == 700


async def test_proofs_from_stored_hashes(audit: Store) -> None:
    """Inclusion and consistency proofs read from the database verify, across stored levels."""
    messages = [received(number) for number in range(1, 1301)]
    await fill(audit, messages)
    leaves = [leaf_hash(each.body) for each in messages]
    roots = {size: extend(Frontier(), leaves[:size]).frontier.root() for size in (1, 255, 256, 257, 1024, 1300)}
    async with audit.role("server") as server, server.transaction(context()) as tx:
        for size, root in roots.items():
            assert await proofs.root(tx, size) == root
            indices = [index for index in (0, 100, 255, 256, 1023, 1299) if index < size]
            paths = await proofs.include(tx, indices, size)
            for index, path in zip(indices, paths, strict=True):
                assert verify_inclusion(leaves[index], index, size, path, root)
            path = await proofs.continuation(tx, size, 1300)
            assert verify_consistency(size, 1300, root, roots[1300], path)


async def test_published_twice(audit: Store) -> None:
    """An event that the stream holds twice is one entry, in one batch and across batches (S39)."""
    message = received(1)
    assert await fill(audit, [message, message]) == 1
    assert await fill(audit, [message]) == 0
    forged = received(2, id=read(message).event.id)  # type: ignore[union-attr]
    assert await fill(audit, [forged, forged]) == 2
    async with audit.role("server") as server, server.transaction(context()) as tx:
        rows = await tx.connection.fetch("SELECT seq, event_id, fault FROM entry ORDER BY seq")
    assert [row["fault"] is None for row in rows] == [True, False, False]
    assert rows[1]["event_id"] is None


async def test_unreadable_messages_are_stored(audit: Store) -> None:
    """Bytes that are no event are entries too, byte for byte, flagged."""
    bodies = [b"", b"\x00\xff", b"{}", event_body(subject="a\x00b")]
    messages = [Received(1, f"evt.{TENANT}.a\x00.b.c", body, context().now) for body in bodies]
    assert await fill(audit, messages) == 4
    async with audit.role("server") as server, server.transaction(context()) as tx:
        rows = await tx.connection.fetch("SELECT body, fault, type FROM entry ORDER BY seq")
    assert [bytes(row["body"]) for row in rows] == bodies
    assert all(row["fault"] and row["type"] is None for row in rows)


async def test_rows_of_other_tenants(audit: Store) -> None:
    """A tenant sees its own trail only; without a tenant nothing is seen."""
    await fill(audit, [received(1), received(2)])
    await fill(audit, [received(3, OTHER)], OTHER)
    async with audit.role("server") as server:
        for tenant, expected in ((TENANT, 2), (OTHER, 1), (SYSTEM_TENANT, 0)):
            async with server.transaction(context(tenant)) as tx:
                assert await tx.connection.fetchval("SELECT count(*) FROM entry") == expected
                assert (await store.head(tx)).frontier.size == expected
        async with server.connection() as connection:
            for table in ("entry", "node", "tree_head", "checkpoint"):
                assert await connection.fetchval(f"SELECT count(*) FROM {table}") == 0


async def test_writer_writes_for_its_tenant_only(audit: Store) -> None:
    """The writer cannot put an entry into a tenant's trail while another tenant is set, nor without one."""
    async with audit.role("writer") as writer:
        for tenant in (OTHER, SYSTEM_TENANT):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                async with writer.transaction(context(tenant)) as tx:
                    await tx.connection.execute(
                        "INSERT INTO tree_head (tenant_id, size, frontier, noteworthy_size) VALUES ($1, 0, '{}', 0)",
                        TENANT,
                    )


@pytest.fixture
async def filled(audit: Store) -> Store:
    await fill(audit, [received(number) for number in range(1, 301)])
    async with audit.role("signer") as signer, signer.transaction(context(SYSTEM_TENANT)) as tx:
        await signing.ensure(tx, audit.ring)
    return audit


async def test_nobody_changes_the_past(filled: Store) -> None:
    """No role that works can update, delete or truncate entries, nodes or checkpoints (S39)."""
    changes = ("UPDATE {} SET tenant_id = tenant_id", "DELETE FROM {}", "TRUNCATE {}")
    for role in ROLES:
        async with filled.role(role) as database:
            for change, table in product(changes, ("entry", "node", "checkpoint")):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    async with database.transaction(context()) as tx:
                        await tx.connection.execute(change.format(table))


async def test_the_owner_changes_nothing(filled: Store) -> None:
    """The owner sees no row to update or delete, and with a policy of its own, or by truncating, meets the triggers."""
    async with filled.role("owner") as owner, owner.connection() as connection:
        assert await connection.execute("DELETE FROM entry") == "DELETE 0"
        await connection.execute("CREATE POLICY greedy ON entry TO audit_owner USING (true)")
        for change in ("UPDATE entry SET type = 'x'", "DELETE FROM entry", "TRUNCATE entry"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
                await connection.execute(change)


async def test_a_superuser_needs_force(filled: Store) -> None:
    """Even a superuser, even one that pretends to replicate, is stopped by the triggers until it disables them."""
    connection = await asyncpg.connect(filled.admin, server_settings={"search_path": "audit"})
    try:
        for mode in ("origin", "replica"):
            await connection.execute(f"SET session_replication_role = {mode}")
            for change in ("UPDATE entry SET type = 'x'", "DELETE FROM node", "TRUNCATE checkpoint"):
                with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
                    await connection.execute(change)
    finally:
        await connection.close()


@pytest.mark.parametrize(
    ("role", "across"),
    [
        ("server", []),
        ("writer", []),
        ("signer", ["policy due on table tree_head finds by nothing that was presented"]),
        ("relay", ["policy relay on table outbox lets the serving role write whatever the tenant"]),
    ],
)
async def test_roles_are_isolated(audit: Store, role: str, across: list[str]) -> None:
    """The server's role passes the check that the service makes before it starts; of the workers', what was declared."""
    exceptions = declared_exceptions(service_folder("audit") / "roles.sql")
    async with audit.role(role) as database, database.connection() as connection:
        assert await isolation_faults(connection, "audit", exceptions) == across


async def test_the_server_does_not_see_sealed_keys(filled: Store) -> None:
    """The role that answers requests reads public keys and cannot read the sealed ones."""
    async with filled.role("server") as server, server.transaction(context()) as tx:
        assert await tx.connection.fetchval("SELECT count(public_key) FROM signing_key") == 1
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await tx.connection.fetch("SELECT sealed FROM signing_key")


async def test_two_writers(audit: Store) -> None:
    """A writer whose idea of the tree is stale changes nothing."""
    await fill(audit, [received(1)])
    entry = read(received(2))
    growth = extend(Frontier(), [entry.leaf_hash])
    async with audit.role("writer") as writer:
        with pytest.raises((store.LostRaceError, asyncpg.UniqueViolationError)):
            async with writer.transaction(context()) as tx:
                await store.append(tx, store.Head(Frontier()), [entry], growth)
