"""What a demo says when it is ready."""

from pathlib import Path

from headrace.addresses import Addresses
from headrace.demo import Demo, introduction


def test_the_place_of_redis_is_shown_without_its_password() -> None:
    ready = Addresses("http://h:1", "h:2", "redis://ann:hush@h:3/0", ())
    shown = introduction(ready, Demo(Path("state"), None, 1.0, 1, 1, 0))
    assert "redis://h:3/0" in shown
    assert "hush" not in shown
