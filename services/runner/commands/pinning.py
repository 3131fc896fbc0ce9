"""As-of versions: what a run will use is decided once, when it is created."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from libs.common.database.transaction import Row, Transaction
from libs.common.definitions import copies
from libs.common.definitions.copies import Pinned
from libs.common.errors import Conflict, FieldProblem, Invalid
from libs.common.vocabulary.reports import ReportSpec, XmlOutput
from services.runner.library import REPORT, Library


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
    row = await _in_force(tx, "report", report_id, business_date)
    if row["archived"] and not archived_too:
        raise Conflict("The report is archived; no new runs start.", type="report-archived")
    report = Pinned.from_row(row)
    spec = await library.read(report, REPORT)
    others = [Pinned.from_row(await _in_force(tx, *reference, business_date)) for reference in _references(spec)]
    return Pinning(row["name"], (report, *others))


async def _in_force(tx: Transaction, kind: str, id: UUID, on: date) -> Row:  # noqa: A002
    found = await copies.in_force(tx, kind, id, on)
    if found is not None:
        return found
    named = kind.replace("_", " ")
    if await copies.newest(tx, kind, id) is None:
        fields = [FieldProblem("/report_id", f"the {named} {id} is not known here (yet)")]
        raise NotYetVisible(f"The {named} {id} is not known here yet; try again.", fields=fields, retry_after=2)
    if (arrived := await copies.in_force(tx, kind, id, on)) is not None:  # between the two looks
        return arrived
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
