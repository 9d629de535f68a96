"""The best of what was found: by cosine, and by label where cosines are equal."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from index_updater.ranking import best

found = st.lists(st.tuples(st.integers(0, 1 << 40), st.integers(-9, 9)), unique_by=lambda f: f[0])


@given(found, st.integers(0, 40))
def test_the_best_come_first_and_equals_by_label(found: list[tuple[int, int]], k: int) -> None:
    labels = np.array([label for label, _ in found], np.int64)
    sims = np.array([tenths / 10 for _, tenths in found], np.float32)
    got, their = best(labels, sims, k)
    assert their.tolist() == sorted(sims.tolist(), reverse=True)[:k]
    assert len(set(got.tolist())) == len(got)
    of = dict(zip(labels.tolist(), sims.tolist(), strict=True))
    assert [of[label] for label in got.tolist()] == their.tolist()
    pairs = list(zip((-their).tolist(), got.tolist(), strict=True))
    assert pairs == sorted(pairs)
