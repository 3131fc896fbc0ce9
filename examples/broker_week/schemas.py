"""The two shapes of a trade: as the booking system exports it, and as a transaction report needs it."""

from libs.common.vocabulary.schemas import SchemaField, SchemaSpec

SOURCE = SchemaSpec(
    fields=(
        SchemaField(name="trade_id", type="text", required=True, max_length=52),
        SchemaField(name="version", type="integer", required=True),
        SchemaField(name="action", type="text", required=True, description="NEW or CANCEL"),
        SchemaField(name="executed_at", type="timestamp", required=True),
        SchemaField(name="booked_at", type="timestamp", required=True),
        SchemaField(name="book", type="text"),
        SchemaField(name="trader", type="text", required=True, max_length=33),
        SchemaField(name="algo", type="text", max_length=50),
        SchemaField(name="side", type="text", required=True, description="B or S, as the broker sees it"),
        SchemaField(name="isin", type="text", required=True),
        SchemaField(name="quantity", type="decimal", required=True, precision=18, scale=5),
        SchemaField(name="price", type="decimal", required=True, precision=18, scale=6),
        SchemaField(name="price_ccy", type="text", required=True),
        SchemaField(name="venue", type="text", required=True),
        SchemaField(name="venue_tx_id", type="text", max_length=52),
        SchemaField(name="counterparty", type="text", required=True),
        SchemaField(name="client", type="text", description="filled when the broker acts for a client"),
        SchemaField(name="capacity", type="text", required=True),
        SchemaField(name="short_sale", type="text"),
        SchemaField(name="settlement_date", type="date"),
    )
)


def _party(side: str) -> tuple[SchemaField, ...]:
    return (
        SchemaField(name=f"{side}_lei", type="text", max_length=20),
        SchemaField(name=f"{side}_person_id", type="text", max_length=35, personal=True),
        SchemaField(name=f"{side}_first_names", type="text", max_length=140, personal=True),
        SchemaField(name=f"{side}_surnames", type="text", max_length=140, personal=True),
        SchemaField(name=f"{side}_birth_date", type="date", personal=True),
        SchemaField(name=f"{side}_branch_country", type="text", max_length=2),
    )


TARGET = SchemaSpec(
    fields=(
        SchemaField(name="report_status", type="text", required=True, description="RTS 22 field 1: NEWT or CANC"),
        SchemaField(name="transaction_reference", type="text", required=True, max_length=52, description="field 2"),
        SchemaField(name="venue_transaction_id", type="text", max_length=52, description="field 3"),
        SchemaField(name="executing_entity", type="text", required=True, max_length=20, description="field 4"),
        SchemaField(name="investment_firm", type="boolean", required=True, description="field 5"),
        SchemaField(name="submitting_entity", type="text", required=True, max_length=20, description="field 6"),
        *_party("buyer"),
        *_party("seller"),
        SchemaField(name="order_transmitted", type="boolean", required=True, description="field 25"),
        SchemaField(name="traded_at", type="timestamp", required=True, description="field 28"),
        SchemaField(name="capacity", type="text", required=True, max_length=4, description="field 29"),
        SchemaField(name="quantity", type="decimal", required=True, precision=18, scale=5, description="field 30"),
        SchemaField(name="price", type="decimal", required=True, precision=18, scale=6, description="field 33"),
        SchemaField(name="price_currency", type="text", required=True, max_length=3, description="field 34"),
        SchemaField(name="venue", type="text", required=True, max_length=4, description="field 36"),
        SchemaField(name="venue_member_country", type="text", max_length=2, description="field 37"),
        SchemaField(name="instrument", type="text", required=True, max_length=12, description="field 41"),
        SchemaField(name="decision_algorithm", type="text", max_length=50, description="field 57"),
        SchemaField(name="decision_person", type="text", max_length=35, description="field 57"),
        SchemaField(name="execution_algorithm", type="text", max_length=50, description="field 59"),
        SchemaField(name="execution_person", type="text", max_length=35, description="field 59"),
        SchemaField(name="person_country", type="text", required=True, max_length=2, description="fields 58 and 60"),
        SchemaField(name="short_sale", type="text", max_length=4, description="field 62"),
        SchemaField(name="financing", type="boolean", required=True, description="field 65"),
    )
)
"""The fields of Delegated Regulation (EU) 2017/590 (RTS 22), annex I, that a report about shares fills."""
