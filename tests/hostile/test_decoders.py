"""Any bytes: a value or the one declared error; and what decodes folds to finite numbers."""

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.hostile import seeds, values
from tests.hostile.targets import TARGETS, user_messages

SEEDS = seeds.seeds()
QUICK = settings(max_examples=40, suppress_health_check=list(HealthCheck))
JSON: dict[str, list[msgspec.Struct]] = {
    "an_event": [seeds.EVENT, seeds.SEARCH], "a_profile": [seeds.PROFILE], "a_video": [seeds.VIDEO],
}  # fmt: skip
PACKED = ("an_impression", "a_vector", "statistics")


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_every_target_has_an_honest_seed(name: str) -> None:
    for seed in SEEDS[name]:
        TARGETS[name](seed)


@pytest.mark.parametrize("name", sorted(TARGETS))
@given(data=st.data())
@QUICK
def test_any_bytes_are_a_value_or_the_declared_error(name: str, data: st.DataObject) -> None:
    damaged = st.sampled_from(SEEDS[name]).flatmap(values.damaged)
    TARGETS[name](data.draw(st.binary(max_size=300) | st.text().map(str.encode) | damaged))


@pytest.mark.parametrize("name", sorted(JSON))
@given(data=st.data())
@settings(QUICK, max_examples=100)
def test_json_with_hostile_fields_is_refused_or_folds(name: str, data: st.DataObject) -> None:
    good = data.draw(st.sampled_from(JSON[name]))
    TARGETS[name](data.draw(values.changed(seeds.as_json(good))))


@pytest.mark.parametrize("name", PACKED)
@given(data=st.data())
@settings(QUICK, max_examples=100)
def test_msgpack_with_hostile_fields_is_refused_or_folds(name: str, data: st.DataObject) -> None:
    TARGETS[name](data.draw(values.repacked(SEEDS[name][0])))


@given(st.lists(values.changed(seeds.as_json(seeds.EVENT)), max_size=8))
@QUICK
def test_a_hostile_message_does_not_take_its_neighbours_with_it(payloads: list[bytes]) -> None:
    user_messages("events", [SEEDS["an_event"][0], *payloads, b"", None])
