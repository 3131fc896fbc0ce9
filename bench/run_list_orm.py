"""The baseline of `bench.run_list`: the same list as most would write it, with SQLAlchemy's ORM and Pydantic models."""

import base64
import os
import sys
import time
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from typing import Annotated, Any, ClassVar
from uuid import UUID

import httpx
import orjson
import uvicorn
from fastapi import Depends, FastAPI, Query, Request
from pydantic import BaseModel, ConfigDict
from sqlalchemy import DateTime, event, literal, select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, SessionTransaction, mapped_column

from libs.common.identity.principal import Principal
from libs.common.identity.state import IdentityState
from libs.common.identity.verifier import Verifier


class Base(DeclarativeBase):
    """The declarative base; instants have a zone."""

    type_annotation_map: ClassVar[dict[Any, Any]] = {datetime: DateTime(timezone=True)}


class Run(Base):
    """A run as the ORM sees it."""

    __tablename__ = "run"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    report_id: Mapped[UUID]
    report_name: Mapped[str]
    report_version: Mapped[int | None]
    business_date: Mapped[date]
    status: Mapped[str]
    step: Mapped[str]
    code: Mapped[str]
    reason: Mapped[str]
    trigger: Mapped[str]
    parent_id: Mapped[UUID | None]
    records_in: Mapped[int | None]
    records_out: Mapped[int | None]
    records_held: Mapped[int | None]
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]


class RunModel(BaseModel):
    """A run as the answer shows it."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    report_id: UUID
    report_name: str
    report_version: int | None
    business_date: date
    status: str
    step: str
    code: str
    reason: str
    trigger: str
    parent_id: UUID | None
    records_in: int | None
    records_out: int | None
    records_held: int | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


class RunPage(BaseModel):
    """A page of runs."""

    items: list[RunModel]
    next: str | None


URL = os.environ.get("BENCH_DATABASE_URL", "").replace("postgresql://", "postgresql+asyncpg://")
ISSUER = os.environ.get("BENCH_ISSUER", "")
app = FastAPI()


@event.listens_for(Session, "after_begin")
def _set_tenant(session: Session, _transaction: SessionTransaction, connection: Any) -> None:
    connection.execute(
        text("SELECT set_config('app.tenant_id', :tenant, true)"), {"tenant": str(session.info["tenant"])}
    )


async def caller(request: Request) -> Principal:
    """Verify the token as every service does."""
    verifier: Verifier = app.state.verifier
    token = request.headers["authorization"].removeprefix("Bearer ")
    app.state.identity.fresh_at = time.monotonic()  # nobody refreshes it here
    return verifier.verify(token, datetime.now(UTC), writes=False)


async def session(principal: Annotated[Principal, Depends(caller)]) -> AsyncIterator[AsyncSession]:
    """Open the tenant's session."""
    async with app.state.sessions(info={"tenant": principal.tenant_id}) as opened, opened.begin():
        yield opened


@app.get("/healthz")
async def healthz() -> str:
    """Say that the server lives."""
    return "ok"


@app.get("/v1/runs")
async def list_runs(
    opened: Annotated[AsyncSession, Depends(session)],
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    cursor: str | None = None,
) -> RunPage:
    """List runs, newest first."""
    statement = select(Run).order_by(Run.created_at.desc(), Run.id.desc()).limit(limit + 1)
    if cursor:
        created, id_ = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        after = tuple_(literal(datetime.fromisoformat(created), Run.created_at.type), literal(UUID(id_), Run.id.type))
        statement = statement.where(tuple_(Run.created_at, Run.id) < after)
    rows = (await opened.scalars(statement)).all()
    following = None
    if len(rows) > limit:
        content = orjson.dumps([rows[limit - 1].created_at, str(rows[limit - 1].id)])
        following = base64.urlsafe_b64encode(content).decode().rstrip("=")
    return RunPage(items=[RunModel.model_validate(row) for row in rows[:limit]], next=following)


def main() -> None:
    """Serve on the port of the first argument."""
    engine = create_async_engine(URL, pool_size=10, connect_args={"server_settings": {"search_path": "runner"}})
    app.state.sessions = async_sessionmaker(engine, expire_on_commit=False)
    state = IdentityState()
    keys = httpx.get(f"{ISSUER}/.well-known/jwks.json").raise_for_status().json()["keys"]
    state.replace({f"key.{key['kid']}": {"jwk": key} for key in keys})
    app.state.identity, app.state.verifier = state, Verifier(state, ISSUER)
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=False, log_level="warning")


if __name__ == "__main__":
    main()
