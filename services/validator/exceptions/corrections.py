"""Correction runs as the queue knows them: which resubmission they carry out, and where its records stand in them."""

from uuid import UUID

from sqlalchemy import select

from libs.common.database.transaction import Row, Transaction
from services.validator.exceptions.tables import resubmission


async def of_correction(tx: Transaction, run_id: UUID) -> Row | None:
    """Return the resubmission that a correction run carries out, if it is one."""
    return await tx.row(select(resubmission).where(resubmission.c.correction_run_id == run_id))


def places(row: Row) -> dict[int, int]:
    """Return where the records of a run stand in its correction: ordinal there → ordinal here."""
    return {ordinal: place for place, ordinal in enumerate(row["ordinals"], start=1)}
