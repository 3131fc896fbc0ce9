"""Second factors come, are used and go. The transaction is the system tenant's; events go to the person's tenant."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal
from uuid import UUID, uuid4

from libs.common.database.transaction import Row, Transaction
from libs.common.errors import Conflict, FieldProblem, Invalid, NotFound
from libs.common.events.auth import FactorChanged
from libs.common.ids import SYSTEM_TENANT
from services.auth import totp
from services.auth.authority import Authority
from services.auth.mail.outbox import Letter, shown_moment
from services.auth.passkeys import Registered, named
from services.auth.store import accounts, factors

MOST = 10
_CODES, _GROUP = 10, 5
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
_PLACE = {"table": "second_factor", "column": "sealed"}
_TOO_SHORT = "Without a second factor your password is too short: change it to one of at least 15 characters, then remove the factor."
_SAID = {"totp": "An authenticator app", "passkey": "A passkey"}
Event = Literal["factor.enrolled", "factor.removed", "factor.used", "factor.refused", "factor.codes_replaced"]
Kind = Literal["totp", "passkey", "recovery_code"]


@dataclass(frozen=True, slots=True)
class Person:
    """Whose factors these are, and the tenant that hears of it."""

    id: UUID
    tenant: UUID


@dataclass(frozen=True, slots=True)
class Enrolment:
    """An authenticator app to be: its secret is shown once."""

    id: UUID
    secret: bytes


async def enrol_totp(tx: Transaction, auth: Authority, person: Person, name: str) -> Enrolment:
    """Begin to add an authenticator app; it counts once a code of it was shown.

    Raises:
        Conflict: the person has as many factors as anybody may.
    """
    if len(await factors.of_person(tx, person.id, lock=True)) >= MOST:
        raise Conflict(f"Nobody has more than {MOST} factors.", type="too-many-factors")
    made = Enrolment(uuid4(), totp.new_secret())
    sealed = await auth.vault.seal(tx, row=str(made.id), secret=made.secret, **_PLACE)
    await factors.add_totp(tx, made.id, person.id, name, sealed)
    return made


async def waiting_totp(
    tx: Transaction,
    auth: Authority,
    person: Person,
    id: UUID | None,  # noqa: A002
) -> Enrolment | None:
    """Return the app of this id that waits for its first code; None where there is none, or another one by now."""
    held = await factors.of_person(tx, person.id, lock=True)
    waiting = next(
        (one for one in held if one["id"] == id and one["kind"] == "totp" and one["confirmed_at"] is None), None
    )
    if waiting is None:
        return None
    return Enrolment(
        waiting["id"], await auth.vault.open(tx, row=str(waiting["id"]), sealed=waiting["sealed"], **_PLACE)
    )


async def confirm_totp(tx: Transaction, auth: Authority, person: Person, id: UUID, code: str) -> list[str]:  # noqa: A002
    """Let an authenticator app count; returns recovery codes where it is the first factor.

    Raises:
        NotFound: the person has no such app that waits to be confirmed.
        Invalid: the code is not the app's.
    """
    held = await factors.of_person(tx, person.id, lock=True)
    waiting = next((one for one in held if one["id"] == id and one["confirmed_at"] is None), None)
    if waiting is None:
        raise NotFound("There is no factor of this id to confirm.")
    if not await _uses_totp(tx, auth, waiting, code):
        raise Invalid("The code is not the app's.", type="wrong-code", fields=[FieldProblem("/code", "is not right")])
    return await confirmed(tx, auth, person, waiting, first=not any(one["confirmed_at"] for one in held))


async def confirmed(tx: Transaction, auth: Authority, person: Person, factor: Row, *, first: bool) -> list[str]:
    """Let a factor count that was shown to work; returns recovery codes where it is the first."""
    await factors.confirm(tx, factor["id"])
    codes = await _new_codes(tx, auth, person) if first else []
    await _tell(tx, auth, person, f"{_SAID[factor['kind']]} was added")
    await say(tx, person, "factor.enrolled", factor["kind"], factor["id"])
    return codes


async def add_passkey(
    tx: Transaction, auth: Authority, person: Person, name: str, made: Registered | None
) -> tuple[UUID, list[str]]:
    """Keep a passkey that its browser has shown to work; returns its id, and recovery codes where it is the first.

    Raises:
        Invalid: the browser's answer is not to what was asked.
        Conflict: somebody has this passkey, or the person has as many factors as anybody may.
    """
    if made is None:
        wrong = [FieldProblem("/credential", "does not answer what was asked")]
        raise Invalid("The passkey cannot be added.", type="passkey-refused", fields=wrong)
    held = await factors.of_person(tx, person.id, lock=True)
    id_ = uuid4()
    if len(held) >= MOST or not await factors.add_passkey(tx, id_, person.id, name, made):
        raise Conflict("The passkey is known, or there are too many factors.", type="passkey-exists")
    row = {"id": id_, "kind": "passkey"}
    return id_, await confirmed(tx, auth, person, row, first=not confirmed_ones(held))


async def use_passkey(
    tx: Transaction, auth: Authority, person: Person, challenge: bytes, credential: dict[str, Any]
) -> bool:
    """Accept what one of the person's passkeys signed; says in the person's tenant that it was used."""
    for factor in confirmed_ones(await factors.of_person(tx, person.id, lock=True)):
        if factor["kind"] == "passkey" and named(credential) == factor["credential"]:
            count = auth.passkeys.sign_count(challenge, credential, factor)
            if count is not None:
                await factors.note_signed(tx, factor["id"], count)
                await say(tx, person, "factor.used", "passkey", factor["id"])
                return True
    return False


async def remove(tx: Transaction, auth: Authority, person: Person, id: UUID) -> None:  # noqa: A002
    """Remove a factor; with the last one the recovery codes go.

    Raises:
        NotFound: the person has no such factor.
        Conflict: it is the last one, and the password is too short to be alone.
    """
    await factors.of_person(tx, person.id, lock=True)
    gone = await factors.remove(tx, person.id, id)
    if gone is None:
        raise NotFound("There is no such factor.")
    if not confirmed_ones(await factors.of_person(tx, person.id)):
        if not await accounts.password_stands_alone(tx, person.id):
            raise Conflict(_TOO_SHORT, type="password-too-short")
        await factors.replace_codes(tx, person.id, [])
    if gone["confirmed_at"] is not None:
        await _tell(tx, auth, person, f"{_SAID[gone['kind']]} was removed")
    await say(tx, person, "factor.removed", gone["kind"], id)


async def replace_codes(tx: Transaction, auth: Authority, person: Person) -> list[str]:
    """Give a person other recovery codes, shown once.

    Raises:
        Conflict: there is no factor that they could stand in for.
    """
    if not confirmed_ones(await factors.of_person(tx, person.id, lock=True)):
        raise Conflict("Recovery codes stand in for a second factor, and there is none.", type="no-factor")
    codes = await _new_codes(tx, auth, person)
    await _tell(tx, auth, person, "New recovery codes were made")
    await say(tx, person, "factor.codes_replaced", "recovery_code", None)
    return codes


async def use_code(tx: Transaction, auth: Authority, person: Person, code: str) -> bool:
    """Use a code of an app, or a recovery code, up; says in the person's tenant that it was used."""
    for factor in confirmed_ones(await factors.of_person(tx, person.id, lock=True)):
        if factor["kind"] == "totp" and await _uses_totp(tx, auth, factor, code):
            await say(tx, person, "factor.used", "totp", factor["id"])
            return True
    if await factors.use_code(tx, person.id, _mark(auth, person, code)):
        await _tell(tx, auth, person, "A recovery code was used")
        await say(tx, person, "factor.used", "recovery_code", None)
        return True
    return False


def confirmed_ones(held: Sequence[Row]) -> list[Row]:
    """Return the factors that count."""
    return [one for one in held if one["confirmed_at"] is not None]


async def say(tx: Transaction, person: Person, event: Event, kind: Kind, id: UUID | None) -> None:  # noqa: A002
    """Announce what happened to a factor in the person's tenant."""
    context = tx.context
    await tx.become(replace(context, tenant_id=person.tenant))
    await tx.emit(event, FactorChanged(user_id=person.id, factor_id=id, kind=kind), entity=person.id)
    await tx.become(replace(context, tenant_id=SYSTEM_TENANT))


async def _tell(tx: Transaction, auth: Authority, person: Person, what: str) -> None:
    """Let a mail tell the person, who may not be the one who did it."""
    values = {"what": what, "when": shown_moment(tx.context.now), "link": auth.outbox.page("/account/forgot")}
    await auth.outbox.queue(tx, Letter("factor-changed", await accounts.email_of(tx, person.id), values))


async def _uses_totp(tx: Transaction, auth: Authority, factor: Row, code: str) -> bool:
    secret = await auth.vault.open(tx, row=str(factor["id"]), sealed=factor["sealed"], **_PLACE)
    step = totp.matching_step(secret, code.replace(" ", ""), tx.context.now, factor["last_step"])
    return step is not None and await factors.use_step(tx, factor["id"], step)


async def _new_codes(tx: Transaction, auth: Authority, person: Person) -> list[str]:
    texts = ["".join(secrets.choice(_ALPHABET) for _ in range(2 * _GROUP)) for _ in range(_CODES)]
    await factors.replace_codes(tx, person.id, [_mark(auth, person, text) for text in texts])
    return [f"{text[:_GROUP]}-{text[_GROUP:]}" for text in texts]


def _mark(auth: Authority, person: Person, code: str) -> bytes:
    plain = "".join(one for one in code.casefold() if one.isalnum())
    return auth.throttle.mark("recovery-code", f"{person.id}:{plain}")
