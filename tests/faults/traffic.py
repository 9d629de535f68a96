"""Load and a viewer: threads that post events and ask for feeds, and say what became of each."""

import json
import threading
import time
from collections import Counter
from typing import Any, Self

import httpx
import numpy as np

from tests.integration.user_logs import KINDS, NOW_MS

_PAUSE_S = 0.05


class _Thread:
    """Something done again and again until the block ends."""

    def __init__(self, url: str) -> None:
        self.http = httpx.Client(base_url=url, timeout=15.0, trust_env=False)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._error: BaseException | None = None

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self.once()
                self._stop.wait(_PAUSE_S)
        except BaseException as e:
            self._error = e

    def once(self) -> None:
        raise NotImplementedError

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def end(self) -> None:
        """Stop, once what is under way is answered."""
        self._stop.set()
        self._thread.join(30)

    def __exit__(self, *_: object) -> None:
        self.end()
        self.http.close()
        if self._error is not None:
            raise self._error


class Load(_Thread):
    """Posts events of some people; what is refused is sent again with the same ids until it is taken.

    Attributes:
        accepted: ids that were answered with 202.
        refused: (when, status, headers, body) of every other answer.
    """

    def __init__(self, url: str, name: str, people: int = 40, batch: int = 20) -> None:
        super().__init__(url)
        self.users = {f"{name}-{i}" for i in range(people)}
        self.accepted: list[str] = []
        self.refused: list[tuple[float, int, httpx.Headers, str]] = []
        self._name, self._people, self._batch = name, people, batch
        self._rng, self._sent = np.random.default_rng(1), 0
        self._waiting: list[dict[str, Any]] = []

    def once(self) -> None:
        if not self._waiting:
            self._waiting = [self._event() for _ in range(self._batch)]
        try:
            answer = self.http.post("/v1/events", content=json.dumps(self._waiting))
        except httpx.HTTPError as e:
            self.refused.append((time.monotonic(), 0, httpx.Headers(), repr(e)))
            return
        if answer.status_code == 202:
            self.accepted += [event["event_id"] for event in self._waiting]
            self._waiting = []
        else:
            refusal = (time.monotonic(), answer.status_code, answer.headers, answer.text)
            self.refused.append(refusal)

    def _event(self) -> dict[str, Any]:
        self._sent += 1
        return {
            "event_id": f"{self._name}-{self._sent}",
            "user_id": f"{self._name}-{self._rng.integers(self._people)}",
            "event_type": KINDS[self._rng.integers(len(KINDS))],
            "timestamp": NOW_MS + self._sent * 50,
            "video_id": f"v{self._rng.integers(25)}",
        }


class Feeds(_Thread):
    """Viewers who ask for their first page, one after the other.

    Attributes:
        seen: (when, rung, seconds) of every page; rung "full" or what `degraded` says.
        failed: every answer that was no page.
    """

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._name = f"viewer-{time.time_ns()}"  # they have seen nothing yet
        self.seen: list[tuple[float, str, float]] = []
        self.failed: list[str] = []

    def once(self) -> None:
        began = time.monotonic()
        try:
            user = f"{self._name}-{len(self.seen)}"
            params: dict[str, Any] = {"user_id": user, "limit": 5}
            answer = self.http.get("/v1/recommendations/feed", params=params)
        except httpx.HTTPError as e:
            self.failed.append(repr(e))
            return
        if answer.status_code != 200 or not answer.json()["items"]:
            self.failed.append(answer.text)
            return
        rung = answer.json()["degraded"] or "full"
        self.seen.append((began, rung, time.monotonic() - began))

    def rungs(self, since: float, until: float = float("inf")) -> Counter[str]:
        """How many pages of each rung were asked for in between."""
        return Counter(rung for at, rung, _ in self.seen if since <= at < until)

    def slowest_ms(self, since: float, until: float = float("inf")) -> int:
        """Of the pages asked for in between."""
        return round(1000 * max((s for at, _, s in self.seen if since <= at < until), default=0))


def until_fresh(url: str, user: str, timeout_s: float = 60.0) -> float:
    """Seconds until an event that is posted from now on is in its person's state, and in a feed."""
    began = time.monotonic()
    event = {
        "event_id": f"{user}-1", "user_id": user, "event_type": "watch_complete",
        "timestamp": int(time.time() * 1000), "video_id": "v1",
    }  # fmt: skip
    with httpx.Client(base_url=url, timeout=10.0, trust_env=False) as http:
        while time.monotonic() - began < timeout_s:
            answer = http.post("/v1/events", json=event)
            if answer.status_code == 202:
                break
            time.sleep(0.05)
        while time.monotonic() - began < timeout_s:
            known = http.get(f"/v1/users/{user}")
            if known.status_code == 200 and known.json()["statistics"]["events"] == 1:
                params: dict[str, Any] = {"user_id": user, "limit": 50}
                page = http.get("/v1/recommendations/feed", params=params).json()
                if page["degraded"] is None:
                    assert "v1" not in [item["video_id"] for item in page["items"]]
                    return time.monotonic() - began
            time.sleep(0.02)
    raise AssertionError(f"an event of {user} was not in a feed within {timeout_s} s")
