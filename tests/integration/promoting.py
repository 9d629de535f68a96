"""A sandbox on the tests' Kafka, with bundles to promote, and viewers who never stop asking."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

import httpx
import psutil
from confluent_kafka import Producer
from prometheus_client.parser import text_string_to_metric_families

from api.tokens import Tokens
from model_runtime import bundles
from model_runtime.day0 import Day0
from model_runtime.item_tower import TextWeights
from model_runtime.store import Store
from tests.integration.running import eventually

SMALL = Day0(dim=32)  # vectors of another size: whoever mixes them with the others fails
TUNED = Day0(text=TextWeights(category=3.0))  # of the same size, and another space
VIDEOS, VIEWERS = 300, 24
CATEGORIES = ("cooking", "chess", "cats", "cars", "comedy")


@dataclass
class Answer:
    """What a viewer got."""

    status: int
    bundle: str = ""
    degraded: str | None = None
    tokens: set[str] = field(default_factory=set)
    videos: tuple[str, ...] = ()


class Box:
    """The sandbox, its command line, and a client's view of it."""

    def __init__(self, folder: Path, bootstrap: str) -> None:
        self.folder, self.prefix = folder, f"t{uuid.uuid4().hex[:10]}."
        self.environ = {k: v for k, v in os.environ.items() if not k.startswith("HEADRACE_")} | {
            "HEADRACE_KAFKA__BOOTSTRAP": bootstrap,
            "HEADRACE_KAFKA__TOPIC_PREFIX": self.prefix,
            "HEADRACE_KAFKA__FETCH_WAIT_MS": "10",
            "HEADRACE_MODEL__REPEAT_PER_S": "100",
            "HEADRACE_USER__SHOWN_FOR_H": "0.000001",  # the same few viewers ask again and again
            # A busy machine must not look like a broken law.
            "HEADRACE_FEED__DEADLINE_MS": "20000",
            "HEADRACE_FEED__SOURCE_DEADLINE_MS": "10000",
            "HEADRACE_FEED__AFTER_WAIT_MS": "20000",
            "HEADRACE_REDIS__TIMEOUT_S": "5",
        }
        with (folder.parent / "sandbox.log").open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "headrace", "sandbox", "--no-simulator", "--workers", "2",
                 "--state-dir", str(folder)],
                env=self.environ, stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip
        try:
            eventually((folder / "sandbox.json").exists, 180, "sandbox.json")
        except AssertionError:
            self.process.terminate()
            self.process.wait(60)
            raise
        self.addresses: dict[str, Any] = json.loads((folder / "sandbox.json").read_text())
        self.http = httpx.Client(base_url=self.addresses["api"], timeout=30)
        self.producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 1})
        self.registry = Store(self.addresses["registry"])
        secret = (folder / "token.secret").read_text().encode()
        self.tokens = Tokens(blake2b(secret, digest_size=32, person=b"headrace").digest())

    def fill(self) -> None:
        """Videos, and a history for every viewer."""
        bundles.publish_day0(self.registry, "small", SMALL)
        bundles.publish_day0(self.registry, "tuned", TUNED)
        for i in range(VIDEOS):
            self.video(i)
        assert self.producer.flush(30) == 0
        eventually(lambda: self.known(VIDEOS - 1), 60, "the last video")
        for n in range(VIEWERS):
            for k in range(3):
                self.watch(f"viewer{n}", f"v{(5 * k + n) % VIDEOS}", f"h{n}-{k}")
        viewers = [f"viewer{n}" for n in range(VIEWERS)]
        eventually(lambda: all(self.watched(v) == 3 for v in viewers), 90, "histories")

    def video(self, i: int, category: str | None = None) -> None:
        category = category or CATEGORIES[i % len(CATEGORIES)]
        value = {
            "video_id": f"v{i}", "title": f"{category} clip {i}", "category": category,
            "creator_id": f"c{i % 17}", "duration_ms": 30_000, "language": "en",
            "published_at": int(time.time() * 1000) - i * 60_000,
        }  # fmt: skip
        self.producer.produce(self.prefix + "videos", json.dumps(value), f"v{i}")

    def remove(self, i: int) -> None:
        self.producer.produce(self.prefix + "videos", None, f"v{i}")

    def known(self, i: int) -> bool:
        params: dict[str, Any] = {"video_id": f"v{i}"}
        return self.http.get("/v1/recommendations/similar", params=params).status_code == 200

    def watch(self, user: str, video: str, event_id: str) -> str:
        event = {
            "event_id": event_id, "user_id": user, "video_id": video, "event_type": "watch",
            "timestamp": int(time.time() * 1000), "watch_ms": 29_000, "duration_ms": 30_000,
        }  # fmt: skip
        answer = self.http.post("/v1/events", json=event)
        assert answer.status_code == 202, answer.text
        position: str = answer.json()["position"]
        return position

    def watched(self, user: str) -> int:
        answer = self.http.get(f"/v1/users/{user}")
        return int(answer.json()["statistics"]["watches"]) if answer.status_code == 200 else 0

    def feed(self, user: str, http: httpx.Client | None = None, **params: Any) -> Answer:
        answer = (http or self.http).get(
            "/v1/recommendations/feed", params={"user_id": user, "limit": 10, **params}
        )
        if answer.status_code != 200:
            return Answer(answer.status_code)
        page = answer.json()
        tokens = {self.tokens.open_tracking(i["tracking_token"]).bundle for i in page["items"]}
        videos = tuple(i["video_id"] for i in page["items"])
        return Answer(200, page["bundle"], page["degraded"], tokens, videos)

    def live(self) -> set[str]:
        """What both workers answer from: connections are new each time."""
        seen = set()
        for _ in range(12):
            with httpx.Client(base_url=self.addresses["api"], timeout=30) as http:
                seen.add(self.feed("viewer0", http).bundle)
        return seen

    def metric(self, name: str, **labels: str) -> float:
        """Summed over all processes that say it."""
        total = 0.0
        for url in self.addresses["metrics"]:
            for family in text_string_to_metric_families(httpx.get(url, timeout=10).text):
                total += sum(
                    s.value
                    for s in family.samples
                    if s.name == name and labels.items() <= s.labels.items()
                )
        return total

    def models(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`headrace models ...`, to its end."""
        return subprocess.run(
            self._command(*arguments), env=self.environ, capture_output=True, text=True,
            timeout=150, check=False,
        )  # fmt: skip

    def promotion(self, bundle: str) -> subprocess.Popen[bytes]:
        """One that is under way: vectors are being made."""
        made = self.metric("headrace_vectors_total", what="repeated")
        started = self.begin("promote", bundle)
        eventually(
            lambda: self.metric("headrace_vectors_total", what="repeated") > made, 60, "vectors"
        )
        return started

    def begin(self, *arguments: str) -> subprocess.Popen[bytes]:
        """The same, and do not wait."""
        return subprocess.Popen(
            self._command(*arguments), env=self.environ, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def _command(self, *arguments: str) -> list[str]:
        return [
            sys.executable, "-m", "headrace", "models", *arguments, "--state-dir", str(self.folder)
        ]  # fmt: skip

    def alone(self, bundle: str) -> None:
        """This bundle is live everywhere, and nothing is held beside it."""
        done = self.models("promote", bundle)
        assert done.returncode == 0, done.stderr
        assert self.models("release").returncode == 0
        eventually(lambda: self.live() == {bundle}, 60, f"{bundle} to be live")

    def pid_of(self, *words: str) -> int:
        """The child whose command line ends with these words."""
        for child in psutil.Process(self.process.pid).children(recursive=True):
            if child.cmdline()[-len(words) :] == list(words):
                return child.pid
        raise AssertionError(f"no process {words}")

    def worker(self) -> int:
        """One of the serving processes below `headrace serve`."""
        parent = psutil.Process(self.pid_of("headrace", "serve"))
        return max(parent.children(), key=lambda p: p.memory_info().rss).pid

    @contextmanager
    def asked(self, threads: int = 2) -> Iterator[list[Answer]]:
        """Viewers ask for feeds while inside; every answer is in the list. A lost connection is none."""
        answers, stop = list[Answer](), threading.Event()

        def ask(seed: int) -> None:
            rng = random.Random(seed)
            with httpx.Client(base_url=self.addresses["api"], timeout=30) as http:
                while not stop.is_set():
                    try:
                        answers.append(self.feed(f"viewer{rng.randrange(VIEWERS)}", http))
                    except httpx.HTTPError:
                        answers.append(Answer(0))

        asking = [threading.Thread(target=ask, args=(i,)) for i in range(threads)]
        for thread in asking:
            thread.start()
        try:
            yield answers
        finally:
            stop.set()
            for thread in asking:
                thread.join(60)

    def stop(self) -> None:
        self.http.close()
        left = psutil.Process(self.process.pid).children(recursive=True)
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(60) == 0, "the sandbox ends cleanly"
        _, alive = psutil.wait_procs(left, timeout=10)
        assert alive == [], "and leaves no process"
