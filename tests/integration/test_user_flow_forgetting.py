"""How a person's state ends: idle for long, or with a tombstone in place of the profile."""

from contracts.events import Event
from contracts.ids import hash64
from tests.integration.running import Deployment, eventually
from tests.integration.user_logs import NOW_MS


def test_an_idle_persons_state_expires(engine: Deployment) -> None:
    engine.start("user-state", HEADRACE_USER__TTL_DAYS="0.00002")  # 1.7 seconds
    ends = engine.send_events([Event("e1", "ann", "click", NOW_MS, "v0")])
    eventually(lambda: engine.folded_up_to(ends))
    eventually(lambda: engine.users(["ann"])["events"][0] == 0, 10, "the state to expire")


def test_a_profile_is_taken_over_and_a_tombstone_forgets(engine: Deployment) -> None:
    engine.start("user-state")
    profile = b'{"user_id":"ann","country":"DE","age":27,"interests":["cooking"]}'
    ends = engine.produce([("profiles", b"ann", profile)])
    ends |= engine.send_events([Event("e1", "ann", "click", 1_700_000_000_000, "v0")])
    eventually(lambda: engine.folded_up_to(ends))
    assert (engine.users(["ann"])["age"][0], engine.users(["ann"])["events"][0]) == (27, 1)
    ends |= engine.produce([("profiles", b"ann", None)])
    eventually(lambda: engine.folded_up_to(ends))
    record = engine.users(["ann"])
    assert record["events"][0] == 0
    assert record["forgotten_ms"][0] > 0
    assert hash64("v0") not in record["hist_video"][0]
