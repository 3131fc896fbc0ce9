"""Guessing passwords is slow, for one account and for one address (S10)."""

import asyncio
import random
import statistics
import time
from datetime import timedelta
from uuid import uuid4

import httpx
import pytest
from altcha import Challenge, Payload, solve_challenge
from argon2 import extract_parameters

from libs.common.context import Context, utc_now
from libs.common.ids import SYSTEM_TENANT
from services.auth import passwords
from services.auth.devices import COOKIE
from services.auth.metrics import LOGINS
from services.auth.store import attempts
from tests.auth.work import Work, noted, watching
from tests.auth.world import PASSWORD, Tenant, World
from tests.tenancy.strangers import Times, compared

WRONG = "another password here"


async def guess(
    world: World, email: str, password: str = WRONG, address: str | None = None, device: str = "", solution: str = ""
) -> httpx.Response:
    async with world.client(address) as http:
        headers = {"Cookie": f"{COOKIE}={device}"} if device else {}
        body = {"email": email, "password": password, **({"challenge": solution} if solution else {})}
        return await http.post("/v1/login", json=body, headers=headers)


async def solve(world: World, refusal: httpx.Response) -> str:
    """Return the solution of the challenge that a refusal names."""
    async with world.client() as http:
        answer = await http.get(refusal.json()["challenge"])
    assert answer.status_code == 200, answer.text
    challenge = Challenge.from_dict(answer.json())
    solution = await asyncio.to_thread(solve_challenge, challenge)
    assert solution is not None
    return Payload(challenge, solution).to_base64()


async def test_five_failures_close_an_account(tenant: Tenant, world: World) -> None:
    """The sixth try waits, the right password too, and says for how long (S10)."""
    for _ in range(5):
        assert (await guess(world, tenant.email)).status_code == 401
    refused = await guess(world, tenant.email, PASSWORD)
    assert refused.status_code == 429
    assert 0 < int(refused.headers["retry-after"]) <= 900
    assert refused.headers["content-type"] == "application/problem+json"


async def test_unknown_accounts_close_alike(world: World) -> None:
    """Whether an account exists does not show in when it is closed (S10)."""
    email = f"nobody-{uuid4().hex}@example.com"
    statuses = [(await guess(world, email)).status_code for _ in range(6)]
    assert statuses == [401] * 5 + [429]


async def test_parallel_guesses_do_not_overshoot(tenant: Tenant, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of forty guesses at once at most five are verified (S10)."""
    passwords = world.runtime.extras["auth"].passwords
    verified = 0
    original = type(passwords).verify

    async def counted(self: object, password_hash: str | None, password: str) -> bool:
        nonlocal verified
        verified += 1
        right: bool = await original(self, password_hash, password)  # type: ignore[arg-type]
        return right

    monkeypatch.setattr(type(passwords), "verify", counted)
    answers = await asyncio.gather(*(guess(world, tenant.email) for _ in range(40)))
    assert verified == 5
    assert sum(answer.status_code == 401 for answer in answers) == 5


async def test_other_spellings_are_the_same_account(tenant: Tenant, world: World) -> None:
    """Case, spaces and full-width letters do not give more guesses (S10)."""
    for email in (
        tenant.email.upper(),
        f" {tenant.email} ",
        tenant.email.replace("o", "\uff4f"),
        tenant.email,
        tenant.email,
    ):
        assert (await guess(world, email)).status_code == 401
    assert (await guess(world, tenant.email, PASSWORD)).status_code == 429


async def test_success_resets_and_others_are_unaffected(tenant: Tenant, world: World) -> None:
    """Two failures and a success leave five failures again (S10)."""
    other = await world.tenant()
    for _ in range(2):
        await guess(world, tenant.email)
    assert (await guess(world, tenant.email, PASSWORD)).status_code == 200
    for _ in range(5):
        assert (await guess(world, tenant.email)).status_code == 401
    assert (await guess(world, other.email, PASSWORD)).status_code == 200


async def test_spraying_from_one_address_is_stopped(world: World) -> None:
    """A hundred failures over many accounts close the address, IPv6 by /64 (S10)."""
    throttle = world.runtime.extras["auth"].throttle
    bucket = throttle.mark("address", "2001:db8:1:2::/64")
    async with world.runtime.database.transaction(
        Context(SYSTEM_TENANT, "anonymous", utc_now() - timedelta(minutes=1))
    ) as tx:
        for _ in range(99):
            await attempts.add(tx, bucket, uuid4())
    statuses = [
        (await guess(world, f"{uuid4().hex}@example.com", address=f"2001:db8:1:2::{host}")).status_code
        for host in ("1", "2")
    ]
    assert statuses == [401, 429]
    assert (await guess(world, f"{uuid4().hex}@example.com", address="2001:db8:1:3::1")).status_code == 401


async def test_failures_are_events_without_addresses(tenant: Tenant, world: World) -> None:
    """A failure is announced in the person's tenant; an unknown address in the system tenant, as a keyed hash (S39)."""
    unknown = f"ghost-{uuid4().hex}@example.com"
    await guess(world, tenant.email)
    await guess(world, unknown)
    own = [event for event in await world.outbox(tenant.id) if event["type"] == "auth.session.failed.v1"]
    assert [event["data"]["reason"] for event in own] == ["wrong-secret"]
    foreign = [event for event in await world.outbox(SYSTEM_TENANT) if event["type"] == "auth.session.failed.v1"]
    mark = world.runtime.extras["auth"].throttle.mark("account", unknown).hex()[:32]
    assert any(event["data"]["subject"] == f"account:{mark}" for event in foreign)
    assert unknown not in str(foreign)


async def test_after_three_failures_a_challenge_is_asked_for(tenant: Tenant, world: World) -> None:
    """The fourth try is not even looked at without a solution; with one the right password opens (S10)."""
    answers = [await guess(world, tenant.email) for _ in range(3)]
    assert ["challenge" in answer.json() for answer in answers] == [False, False, True]
    unsolved = await guess(world, tenant.email, PASSWORD)
    assert (unsolved.status_code, unsolved.json()["type"]) == (401, "urn:regent:problem:challenge-required")
    assert (await guess(world, tenant.email, PASSWORD, solution=await solve(world, unsolved))).status_code == 200


async def test_unknown_accounts_are_asked_alike(tenant: Tenant, world: World) -> None:
    """What a challenge says does not tell whether the account exists (S10)."""
    shown = []
    for email in (tenant.email, f"nobody-{uuid4().hex}@example.com"):
        answers = [(await guess(world, email)).json() for _ in range(4)]
        shown.append([(one["type"], one["detail"], sorted(one), len(str(one))) for one in answers])
    assert shown[0] == shown[1]


async def test_a_solution_counts_once(tenant: Tenant, world: World) -> None:
    """The same solution opens no second try (S10)."""
    answers = [await guess(world, tenant.email) for _ in range(3)]
    solution = await solve(world, answers[-1])
    assert (await guess(world, tenant.email, solution=solution)).json()["type"].endswith(":login-failed")
    again = await guess(world, tenant.email, PASSWORD, solution=solution)
    assert again.json()["type"].endswith(":challenge-required")


async def test_parallel_uses_of_a_solution_count_once(tenant: Tenant, world: World) -> None:
    """Of several tries with one solution at once, one is looked at (S10)."""
    answers = [await guess(world, tenant.email) for _ in range(3)]
    solution = await solve(world, answers[-1])
    results = await asyncio.gather(*(guess(world, tenant.email, solution=solution) for _ in range(2)))
    assert sorted(one.json()["type"].rpartition(":")[2] for one in results) == ["challenge-required", "login-failed"]


@pytest.mark.parametrize("spoil", ["foreign", "expired", "altered", "nonsense", "other-action"])
async def test_another_solution_does_not_count(tenant: Tenant, world: World, spoil: str) -> None:
    """A solution is for its account and action, five minutes long, unaltered (S10)."""
    challenges = world.runtime.extras["auth"].challenges
    for _ in range(3):
        refusal = await guess(world, tenant.email)
    mark = refusal.json()["challenge"].rpartition("=")[2]
    made = {
        "foreign": lambda: challenges.make("login", "0" * 64, utc_now()),
        "expired": lambda: challenges.make("login", mark, utc_now() - timedelta(minutes=6)),
        "other-action": lambda: challenges.make("reset", mark, utc_now()),
    }.get(spoil, lambda: challenges.make("login", mark, utc_now()))()
    if spoil == "altered":
        made["parameters"]["keyPrefix"] = "0"
    challenge = Challenge.from_dict(made)
    solution = await asyncio.to_thread(solve_challenge, challenge)
    assert solution is not None
    text = "e30=" if spoil == "nonsense" else Payload(challenge, solution).to_base64()
    refused = await guess(world, tenant.email, PASSWORD, solution=text)
    assert refused.json()["type"].endswith(":challenge-required")


async def test_a_stranger_cannot_lock_the_owner_out_of_a_known_browser(tenant: Tenant, world: World) -> None:
    """Where the owner logged in before, only failures in that browser count (S10)."""
    first = await guess(world, tenant.email, PASSWORD)
    cookie = first.headers["set-cookie"]
    assert all(part in cookie for part in (f"{COOKIE}=", "HttpOnly", "Secure", "Path=/", "SameSite=strict"))
    device = cookie.partition("=")[2].partition(";")[0]
    for _ in range(5):
        await guess(world, tenant.email)
    assert (await guess(world, tenant.email, PASSWORD)).status_code == 429
    assert (await guess(world, tenant.email, PASSWORD, device=device)).status_code == 200


async def test_a_known_browser_has_five_failures_too(tenant: Tenant, world: World) -> None:
    """A stolen device cookie gives no more guesses than any browser has (S10)."""
    first = await guess(world, tenant.email, PASSWORD)
    device = first.headers["set-cookie"].partition("=")[2].partition(";")[0]
    statuses = [(await guess(world, tenant.email, device=device)).status_code for _ in range(6)]
    assert statuses == [401] * 5 + [429]


async def test_a_cookie_of_another_account_or_our_own_making_is_no_known_browser(tenant: Tenant, world: World) -> None:
    """A device cookie is signed and bound to its address (S10)."""
    other = await world.tenant()
    first = await guess(world, other.email, PASSWORD)
    device = first.headers["set-cookie"].partition("=")[2].partition(";")[0]
    for _ in range(5):
        await guess(world, tenant.email)
    for cookie in (device, "x.1.y", "a.b", device + "0"):
        assert (await guess(world, tenant.email, PASSWORD, device=cookie)).status_code == 429


async def test_many_right_logins_at_once_are_not_failures(tenant: Tenant, world: World) -> None:
    """Tries that are being made are waited for, not taken for failures."""
    answers = await asyncio.gather(*(guess(world, tenant.email, PASSWORD) for _ in range(12)))
    assert [answer.status_code for answer in answers] == [200] * 12


async def in_turns(world: World, rounds: int) -> list[tuple[Work, Work]]:
    """Return what guesses at a known account and at an unknown one make the service do, asked for in turns."""
    pairs = []
    for round_ in range(rounds):
        emails = [(await world.tenant()).email, f"nobody-{uuid4().hex}@example.com"]
        done: dict[str, Work] = {}
        for email in emails if round_ % 2 else reversed(emails):
            with noted() as done[email]:
                assert (await guess(world, email)).status_code == 401
        pairs.append((done[emails[0]], done[emails[1]]))
    return pairs


@pytest.mark.usefixtures("dear_hashes")
async def test_a_refusal_takes_as_much_work_for_an_unknown_account(world: World) -> None:
    """The same statements, one hash of the same cost, as much CPU time, where a hash costs what it does in earnest (S10)."""
    dear = extract_parameters(passwords.hash_password(PASSWORD))
    with watching():
        pairs = await in_turns(world, 12)
    for known, unknown in pairs:
        assert known.statements == unknown.statements
        assert len(known.statements) > 10  # it sees them
        assert known.verified == unknown.verified == [dear]
    shares = [known.cpu_seconds / unknown.cpu_seconds for known, unknown in pairs]
    assert 1 / 1.3 < statistics.median(shares) < 1.3


@pytest.mark.long
@pytest.mark.usefixtures("dear_hashes")
async def test_a_refusal_takes_as_long_for_an_unknown_account(world: World) -> None:
    """The same by the clock: time at an address that is known differs from nobody's by no more than nobody's do (S10)."""
    measured: Times = ([], [], [])
    for _ in range(60):
        emails = [(await world.tenant()).email, *(f"nobody-{uuid4().hex}@example.com" for _ in range(2))]
        for which in random.sample(range(3), 3):
            began = time.perf_counter()
            assert (await guess(world, emails[which])).status_code == 401
            measured[which].append(time.perf_counter() - began)
    assert not (told := compared(measured, errors=3.0))[0], told[1]


async def test_throttled_tries_are_counted(tenant: Tenant, world: World) -> None:
    """Every refusal shows in the metrics with its kind (S10)."""
    before = {kind: LOGINS.labels("password", kind)._value.get() for kind in ("wrong-secret", "locked", "throttled")}
    for _ in range(6):
        await guess(world, tenant.email)
    after = {kind: LOGINS.labels("password", kind)._value.get() for kind in before}
    assert {kind: after[kind] - before[kind] for kind in before} == {"wrong-secret": 3, "locked": 2, "throttled": 1}
    events = [event for event in await world.outbox(tenant.id) if event["type"] == "auth.session.failed.v1"]
    assert [event["data"]["reason"] for event in events] == ["wrong-secret"] * 3 + ["locked"] * 2 + ["throttled"]


async def test_a_throttled_account_is_told_of_once_a_minute(tenant: Tenant, world: World) -> None:
    """Tries that cost nothing don't fill the trail: what is throttled is announced, then counted (S10)."""
    for _ in range(5):
        await guess(world, tenant.email)
    began = utc_now()
    for _ in range(12):
        assert (await guess(world, tenant.email)).status_code == 429
    minutes = 1 + int(utc_now().replace(second=0, microsecond=0) > began.replace(second=0, microsecond=0))
    told = [event["data"] for event in await world.outbox(tenant.id) if event["type"] == "auth.session.failed.v1"]
    throttled = [data for data in told if data["reason"] == "throttled"]
    assert 1 <= len(throttled) <= minutes
    assert throttled[0]["subject"].startswith("user:")
    assert throttled[0]["address"]
