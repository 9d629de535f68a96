"""How far a source has to reach so that later pages do not run dry."""

import numpy as np

from contracts.batch import Ids
from contracts.funnel import Query
from contracts.ids import fold32_array


def reach(query: Query, n: int) -> int:
    """Rows to ask for, so that about `n` are left when what was shown and watched is taken out."""
    remembered = 0
    if query.state is not None:
        remembered = int(query.state["watched_n"].sum()) + int(query.state["shown_n"].sum())
    return n + len(query.served) + min(remembered, n)


def unserved(query: Query, ids: Ids, n: int) -> Ids:
    """The first `n` that no earlier page showed, in order."""
    if len(query.served):
        ids = ids[~np.isin(fold32_array(ids), query.served)]
    return ids[:n]


def distinct(ids: Ids) -> Ids:
    """First occurrences, in order: [7, 9, 7] -> [7, 9]."""
    _, first = np.unique(ids, return_index=True)
    return ids[np.sort(first)]
