"""As-of versions: what a run will use is decided once, when it is created."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import NoReturn
from uuid import UUID

from libs.common.database.transaction import Row, Transaction
from libs.common.definitions import copies
from libs.common.definitions.copies import Pinned
from libs.common.errors import Conflict, FieldProblem, Invalid
from libs.common.vocabulary.reports import ReportSpec, XmlOutput
from services.runner.library import REPORT, Library

# of the versions effective on the day the latest, of equal ones the newest: the same choice as `copies.in_force`
_IN_FORCE = """
SELECT DISTINCT ON (k.kind, k.id) k.* FROM known_definition AS k
JOIN unnest($2::text[], $3::uuid[]) AS wanted (kind, id) ON k.kind = wanted.kind AND k.id = wanted.id
WHERE k.tenant_id = $1 AND k.effective_from <= $4
ORDER BY k.kind, k.id, k.effective_from DESC, k.number DESC
"""


_NEWEST = "SELECT max(number) FROM known_definition WHERE tenant_id = $1 AND id = $2"


class NotYetVisible(Conflict):
    """A version that the run needs has not been heard of yet."""

    type = "definition-not-yet-visible"
    title = "A definition is not visible yet"


@dataclass(frozen=True, slots=True)
class Pinning:
    """All versions that a run will use; the first is the report's."""

    name: str
    versions: tuple[Pinned, ...]

    @property
    def report(self) -> Pinned:
        """The report's version."""
        return self.versions[0]


async def pin(
    tx: Transaction, library: Library, report_id: UUID, business_date: date, *, archived_too: bool = False
) -> Pinning:
    """Choose the versions in force on the business date.

    `archived_too` is for what was scheduled or pinned before: it keeps running.

    Raises:
        NotYetVisible: a definition is not known (yet).
        Invalid: a definition is known, but none of its versions is in force on that day.
        Conflict: the report is archived.
    """
    (row,) = await _in_force(tx, [("report", report_id)], business_date)
    if row["archived"] and not archived_too:
        raise Conflict("The report is archived; no new runs start.", type="report-archived")
    report = Pinned.from_row(row)
    spec = await library.read(report, REPORT)
    others = await _in_force(tx, list(_references(spec)), business_date)
    return Pinning(row["name"], (report, *(Pinned.from_row(other) for other in others)))


async def require_known(tx: Transaction, at_least: Mapping[UUID, int]) -> None:
    """Refuse to choose versions before these are known here: definition → the lowest number that will do.

    Raises:
        NotYetVisible: a version so new has not been heard of (yet).
    """
    for id_, number in at_least.items():
        found = await tx.connection.fetchval(_NEWEST, tx.tenant_id, id_)
        if found is None or found < number:
            fields = [FieldProblem(f"/at_least/{id_}", f"version {number} is not known here (yet)")]
            raise NotYetVisible("A version is not known here yet; try again.", fields=fields, retry_after=2)


async def _in_force(tx: Transaction, wanted: list[tuple[str, UUID]], on: date) -> list[Row]:
    """Return the versions in force on a day, in the order wanted, by one statement."""
    kinds, ids = [kind for kind, _ in wanted], [id_ for _, id_ in wanted]
    rows = await tx.connection.fetch(_IN_FORCE, tx.tenant_id, kinds, ids, on)
    found = {(row["kind"], row["id"]): row for row in rows}
    for kind, id_ in wanted:
        if (kind, id_) not in found:
            await _refuse(tx, kind, id_, on)
    return [found[reference] for reference in wanted]


async def _refuse(tx: Transaction, kind: str, id: UUID, on: date) -> NoReturn:  # noqa: A002
    named = kind.replace("_", " ")
    unknown = await copies.newest(tx, kind, id) is None
    # a version may have arrived between the two looks
    if unknown or await copies.in_force(tx, kind, id, on) is not None:
        fields = [FieldProblem("/report_id", f"the {named} {id} is not known here (yet)")]
        raise NotYetVisible(f"The {named} {id} is not known here yet; try again.", fields=fields, retry_after=2)
    problem = FieldProblem("/business_date", f"no version of the {named} {id} is in force on {on}")
    raise Invalid(f"No version of the {named} is in force on {on}.", type="nothing-in-force", fields=[problem])


def _references(spec: ReportSpec) -> Iterator[tuple[str, UUID]]:
    """Yield what a report refers to and the runner reads, each once."""
    yield "connector", spec.source.connector_id
    yield from (("schema", id_) for id_ in dict.fromkeys((spec.source_schema_id, spec.target_schema_id)))
    yield from (("mapping", id_) for id_ in dict.fromkeys(spec.mappings.values()))
    sets = (output.xsd_set_id for output in spec.outputs if isinstance(output, XmlOutput) and output.xsd_set_id)
    yield from (("xsd_set", id_) for id_ in dict.fromkeys(sets))
    yield from (("destination", id_) for id_ in spec.destinations)
