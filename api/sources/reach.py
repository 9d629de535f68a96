"""How far a source has to reach so that later pages do not run dry."""

import numpy as np

from contracts.batch import Ids
from contracts.funnel import Query
from contracts.ids import fold32_array
from operators.features.seen import seen


def reach(query: Query, n: int) -> int:
    """Rows to ask for, so that about `n` are left when what was shown and watched is taken out."""
    return n + len(query.served) + min(remembered(query), n)


def remembered(query: Query) -> int:
    """Videos that the viewer's state remembers as watched or shown, at most."""
    if query.state is None:
        return 0
    return int(query.state["watched_n"].sum()) + int(query.state["shown_n"].sum())


def unserved(query: Query, ids: Ids, n: int) -> Ids:
    """The first `n` that no earlier page showed, in order."""
    if len(query.served):
        ids = ids[~np.isin(fold32_array(ids), query.served)]
    return ids[:n]


def unseen(query: Query, ids: Ids, shown_for_h: float) -> Ids:
    """Those that the viewer has not watched, nor was shown in the last hours, in order."""
    if query.state is None:
        return ids
    return ids[~seen(query.state, ids, query.now_ms, shown_for_h)]


def distinct(ids: Ids) -> Ids:
    """First occurrences, in order: [7, 9, 7] -> [7, 9]."""
    _, first = np.unique(ids, return_index=True)
    return ids[np.sort(first)]
