"""A columnar catalog, filled and compared with a dictionary of videos."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from contracts.ids import hash32, hash64, hash64_many, pack_country, pack_language
from contracts.videos import Video
from operators.catalog import Catalog

DIM = 8
NOW_MS = 1_790_000_000_000


def vector(video: Video) -> NDArray[np.float32]:
    rng = np.random.default_rng(abs(hash64(video.video_id + video.title)) % 2**32)
    return rng.standard_normal(DIM).astype(np.float16).astype(np.float32)


def put(catalog: Catalog, *batch: Video, version: tuple[int, int] = (0, 0)) -> list[bool]:
    vectors = np.array([vector(v) for v in batch], np.float32).reshape(len(batch), DIM)
    accepted: list[bool] = catalog.upsert(batch, vectors, [version] * len(batch)).tolist()
    return accepted


def row_of(catalog: Catalog, video_id: str) -> int:
    return int(catalog.rows_of(hash64_many([video_id]))[0])


def expected(v: Video) -> dict[str, object]:
    tags = [hash32(t) for t in v.tags[:4]]
    return {
        "creator": hash32(v.creator_id) if v.creator_id else 0,
        "category": hash32(v.category) if v.category else 0,
        "tags": tags + [0] * (4 - len(tags)),
        "language": pack_language(v.language),
        "published_ms": v.published_at,
        "duration_ms": v.duration_ms or 0,
        "min_age": v.min_age,
        "sponsored": v.sponsored,
    }


def assert_holds(catalog: Catalog, model: Mapping[str, Video]) -> None:
    assert len(catalog) == len(model)
    assert set(catalog.live_ids().tolist()) == {hash64(v) for v in model}
    for video_id, video in model.items():
        row = row_of(catalog, video_id)
        rows = np.array([row], np.intp)
        columns = catalog.columns(rows)
        assert {name: column[0].tolist() for name, column in columns.items()} == expected(video)
        assert (catalog.video_id(row), catalog.title(row)) == (video_id, video.title)
        assert catalog.thumbnail_url(row) == video.thumbnail_url
        np.testing.assert_array_equal(catalog.vectors(rows)[0], vector(video))
        allowed = {c.upper() for c in video.countries}
        for country in ("DE", "AT", "FR"):
            ok = catalog.allowed_in(pack_country(country), rows)[0]
            assert ok == (not allowed or country in allowed)
        assert catalog.allowed_in(0, rows)[0] == (not allowed)
    newest = sorted((v.published_at for v in model.values()), reverse=True)
    at = {hash64(v.video_id): v.published_at for v in model.values()}
    assert [at[i] for i in catalog.newest(5).tolist()] == newest[:5]
    wanted = np.array([hash32("c1"), hash32("c2"), hash32("c1")], np.uint32)
    theirs = [v.published_at for v in model.values() if v.creator_id in ("c1", "c2")]
    found = catalog.by_creators(wanted, 20).tolist()
    assert len(found) == len(set(found))
    assert [at[i] for i in found] == sorted(theirs, reverse=True)
