"""The user flow as a process, on real Kafka and Redis: nothing lost, nothing counted twice."""

import signal
import time

import numpy as np
import pytest

from contracts.topics import EVENTS
from tests.integration.running import Deployment, eventually
from tests.integration.user_logs import (
    assert_equal_user_by_user,
    clean_fold,
    encoded,
    log_of,
    with_catalog,
)


def test_the_state_equals_a_clean_fold_of_the_log(engine: Deployment) -> None:
    with_catalog(engine)
    engine.start("user-state")
    events = log_of(3000, 40)
    ends = engine.send_events(events)
    eventually(lambda: engine.folded_up_to(ends))
    assert_equal_user_by_user(engine, events)


@pytest.mark.faults
def test_killed_at_random_moments_under_load_the_state_equals_a_clean_fold(
    engine: Deployment,
) -> None:
    with_catalog(engine)
    events = log_of(20_000, 300, seed=2)
    rng = np.random.default_rng(3)
    sources = [f"events:{p}" for p in range(EVENTS.partitions)]
    ends: dict[str, int] = {}
    for part in range(0, len(events), 4000):
        ends |= engine.send_events(events[part : part + 4000])
        process = engine.start_to_work(
            "user-state",
            lambda: engine.positions("user-state", sources),
            HEADRACE_STREAM__BATCH_EVENTS="100",
        )
        time.sleep(float(rng.uniform(0.0, 0.3)))
        process.kill()
        process.wait()
    engine.start("user-state")
    eventually(lambda: engine.folded_up_to(ends), 60)
    assert_equal_user_by_user(engine, events)


@pytest.mark.faults
def test_an_old_worker_that_wakes_up_after_a_new_one_took_over_is_fenced(
    engine: Deployment,
) -> None:
    with_catalog(engine)
    events = log_of(6000, 50, seed=4)
    old = engine.start("user-state", HEADRACE_STREAM__BATCH_EVENTS="100")
    ends = engine.send_events(events[:2000])
    eventually(lambda: engine.folded_up_to(ends))
    old.send_signal(signal.SIGSTOP)
    engine.start("user-state")
    ends |= engine.send_events(events[2000:4000])
    eventually(lambda: engine.folded_up_to(ends))
    old.send_signal(signal.SIGCONT)
    ends |= engine.send_events(events[4000:])
    eventually(lambda: engine.folded_up_to(ends))
    time.sleep(1.0)  # what the old one still had in hand must not land either
    assert_equal_user_by_user(engine, events)


@pytest.mark.faults
def test_a_redis_that_was_emptied_is_filled_again_from_the_log(engine: Deployment) -> None:
    with_catalog(engine)
    engine.start("user-state")
    events = log_of(2000, 30, seed=5)
    ends = engine.send_events(events[:1500])
    eventually(lambda: engine.folded_up_to(ends))
    client = engine.redis
    for key in client.scan_iter(f"{engine.settings.redis.namespace}:*"):
        client.delete(key)
    client.close()
    ends |= engine.send_events(events[1500:])
    eventually(lambda: engine.folded_up_to(ends))
    assert_equal_user_by_user(engine, events)


@pytest.mark.faults
def test_a_redis_that_came_back_older_is_replayed_forward(engine: Deployment) -> None:
    with_catalog(engine)
    engine.start("user-state")
    events = log_of(3000, 30, seed=6)
    ends = engine.send_events(events[:1000])
    eventually(lambda: engine.folded_up_to(ends))
    client = engine.redis
    keys = list(client.scan_iter(f"{engine.settings.redis.namespace}:*"))
    copy = {key: client.dump(key) for key in keys}
    ends |= engine.send_events(events[1000:2000])
    eventually(lambda: engine.folded_up_to(ends))
    with client.pipeline(transaction=True) as pipe:  # the older copy, all at once
        for key, value in copy.items():
            assert value is not None
            pipe.restore(key, 0, value, replace=True)
        pipe.execute()
    client.close()
    ends |= engine.send_events(events[2000:])
    eventually(lambda: engine.folded_up_to(ends))
    assert_equal_user_by_user(engine, events)


def test_two_processes_share_the_partitions_and_the_users(engine: Deployment) -> None:
    with_catalog(engine)
    for k in "01":
        engine.start(
            "user-state", HEADRACE_STREAM__PROCESS_INDEX=k, HEADRACE_STREAM__PROCESS_COUNT="2"
        )
    events = log_of(3000, 40, seed=7)
    # Keys of another hash than ours: a person's events lie in several partitions.
    ends = engine.produce([("events", f"{i}".encode(), e) for i, e in enumerate(encoded(events))])
    eventually(lambda: engine.folded_up_to(ends))
    users = sorted({e.user_id for e in events})
    stored, clean = engine.users(users), clean_fold(events, users)
    for name in ("events", "watches", "completes", "likes", "skips", "clicks", "hist_n"):
        np.testing.assert_array_equal(stored[name], clean[name], err_msg=name)
