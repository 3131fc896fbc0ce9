"""What others say of their drafts."""

from libs.common.database.transaction import Transaction
from libs.common.events.definitions import DefinitionDeleted, DefinitionDrafted, DefinitionPublished
from libs.common.events.envelope import Event
from services.runner.store import backtests


async def on_drafted(tx: Transaction, event: Event) -> None:
    """Learn a draft, by reference."""
    data = DefinitionDrafted.model_validate(event.data)
    if data.draft is None:
        return
    draft = data.draft
    values = {"id": data.id, "kind": data.kind, "name": data.name, "revision": data.revision}
    await backtests.keep_draft(tx, {**values, "number": draft.number, "object_key": draft.key, "sha256": draft.sha256})


async def on_settled(tx: Transaction, event: Event) -> None:
    """Learn that a draft became a version, or is gone."""
    kind = DefinitionPublished if event.name.endswith(".published") else DefinitionDeleted
    await backtests.forget_draft(tx, kind.model_validate(event.data).id)
