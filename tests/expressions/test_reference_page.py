from pathlib import Path

from libs.expressions.functions import FUNCTIONS
from libs.expressions.reference import with_functions

PAGE = Path(__file__).parents[2] / "docs" / "expressions.md"


def test_page_is_current() -> None:
    """The reference page holds the table that the code declares."""
    page = PAGE.read_text(encoding="utf-8")
    assert with_functions(page) == page


def test_page_names_every_function() -> None:
    """No function is missing from the page, and each has a summary that is a sentence."""
    page = PAGE.read_text(encoding="utf-8")
    for function in FUNCTIONS.values():
        assert f"`{function.signature}`" in page
        assert function.summary.endswith(".")
