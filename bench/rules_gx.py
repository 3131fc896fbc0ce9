"""The ten rules of the rules bench in Great Expectations; runs in a virtual environment of its own, knows nothing of ours.

`python rules_gx.py <data.parquet>` prints one line of JSON: CPU seconds with loading and without, failing ordinals by rule.
"""

import json
import logging
import os
import sys
import time
import warnings

os.environ["GX_ANALYTICS_ENABLED"] = "false"
os.environ["TQDM_DISABLE"] = "1"
warnings.simplefilter("ignore")
logging.disable(logging.CRITICAL)

import great_expectations as gx  # noqa: E402
import great_expectations.expectations as gxe  # noqa: E402
import pandas as pd  # noqa: E402

EXPECTATIONS = {
    "price_0": gxe.ExpectColumnValuesToBeBetween(column="price", min_value=0, strict_min=True),
    "quantity_0": gxe.ExpectColumnValuesToBeBetween(column="quantity", min_value=0, strict_min=True),
    "large_0": gxe.ExpectColumnValuesToBeBetween(column="quantity", max_value=1_000_000, strict_max=True),
    "version_0": gxe.ExpectColumnValuesToBeBetween(column="version", min_value=1, max_value=9),
    "side_0": gxe.ExpectColumnValuesToBeInSet(column="side", value_set=["B", "S", "Q0"]),
    "ccy_0": gxe.ExpectColumnValuesToBeInSet(column="ccy", value_set=["EUR", "USD", "GBP", "CHF", "Q0"]),
    "venue_0": gxe.ExpectColumnValuesToBeInSet(column="venue", value_set=["XLON", "XETR", "XPAR", "XSWX", "Q0"]),
    "isin_0": gxe.ExpectColumnValuesToMatchRegex(column="isin", regex="^[A-Z]{2}[A-Z0-9]{9}[0-9]$"),
    "id_0": gxe.ExpectColumnValueLengthsToBeBetween(column="trade_id", min_value=10),
    "dates_0": gxe.ExpectColumnPairValuesAToBeGreaterThanB(column_A="settled", column_B="booked", or_equal=True),
}


def load(path: str) -> pd.DataFrame:
    """Read the data as its users do; the price as a float, which it compares faster."""
    frame = pd.read_parquet(path)
    frame["price"] = frame["price"].astype("float64")
    return frame


def judge(frame: pd.DataFrame, result_format: dict[str, object]) -> dict[str, object]:
    """Validate all ten in one suite."""
    context = gx.get_context(mode="ephemeral")
    source = context.data_sources.add_pandas("bench")
    batch = (
        source.add_dataframe_asset("records")
        .add_batch_definition_whole_dataframe("all")
        .get_batch({"dataframe": frame})
    )
    suite = gx.ExpectationSuite(name="ten", expectations=list(EXPECTATIONS.values()))
    return batch.validate(suite, result_format=result_format).to_json_dict()


def main() -> None:
    """Measure once with counts only, then ask for the failing records."""
    started = time.process_time()
    frame = load(sys.argv[1])
    loaded = time.process_time()
    judge(frame, {"result_format": "BASIC", "partial_unexpected_count": 0})
    judged = time.process_time()
    told = judge(
        frame,
        {"result_format": "COMPLETE", "unexpected_index_column_names": ["_ordinal"], "include_unexpected_rows": False},
    )
    verdicts = {}
    for name, result in zip(EXPECTATIONS, told["results"], strict=True):
        rows = result["result"].get("unexpected_index_list") or []
        if rows:
            verdicts[name] = sorted(row["_ordinal"] for row in rows)
    print(
        json.dumps(
            {"whole": judged - started, "judging": judged - loaded, "version": gx.__version__, "verdicts": verdicts}
        )
    )


if __name__ == "__main__":
    main()
