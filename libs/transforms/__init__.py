"""What can be said of a tenant's transform before it runs: nothing of it is compiled or executed here."""

from libs.transforms.flaws import Flaw
from libs.transforms.modules import ALLOWED, is_allowed
from libs.transforms.python_text import python_flaws
from libs.transforms.query_text import RECORDS, guarded_query, query_flaws

__all__ = ["ALLOWED", "RECORDS", "Flaw", "guarded_query", "is_allowed", "python_flaws", "query_flaws"]
