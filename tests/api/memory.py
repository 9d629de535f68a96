"""The log and the user store in memory: implementations of the API's two I/O Protocols."""

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from contracts.engine_records import decode_impression
from contracts.errors import UnavailableError
from contracts.ids import hash64
from contracts.models import Bundle
from contracts.profiles import decode_profile
from contracts.settings import UserSettings
from contracts.user_record import user_dtype
from operators.blobs import from_blobs
from operators.catalog import Catalog
from operators.derive import derive
from operators.event_columns import RawMessages, decode_events
from operators.features.seen import fold_shown
from operators.offsets import slot_key
from operators.profile_fold import fold_profile
from operators.user_fold import UserFold
from streams.positions import Position


@dataclass(frozen=True)
class Written:
    """One message of the log."""

    topic: str
    key: bytes
    value: bytes | None
    place: int

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self.place


@dataclass
class MemoryLog:
    """One partition a topic. `down`: takes nothing."""

    down: bool = False
    messages: list[Written] = field(default_factory=list)

    def of(self, topic: str) -> list[Written]:
        return [m for m in self.messages if m.topic == topic]

    def produce(
        self,
        topic: str,
        key: bytes,
        value: bytes | None,
        on_ack: Callable[[Any, Any], None] | None = None,
    ) -> None:
        if self.down:
            raise UnavailableError("the queue is full")
        written = Written(topic, key, value, len(self.of(topic)))
        self.messages.append(written)
        if on_ack is not None:
            on_ack(None, written)

    async def send(
        self, topic: str, key: bytes, value: bytes | None, timeout_s: float
    ) -> tuple[int, int]:
        self.produce(topic, key, value)
        return 0, self.messages[-1].place


@dataclass
class SilentLog(MemoryLog):
    """Takes messages and never acknowledges one."""

    def produce(
        self,
        topic: str,
        key: bytes,
        value: bytes | None,
        on_ack: Callable[[Any, Any], None] | None = None,
    ) -> None:
        super().produce(topic, key, value)


@dataclass
class MemoryUsers:
    """Folds the log's events and profiles with the engine's own fold, unless they are held back.

    Attributes:
        pages: what was shown is folded too; else every page may say the same again.
        asked: set once somebody waits for what is not folded yet.
    """

    log: MemoryLog
    bundle: Bundle
    catalog: Catalog
    now_ms: Callable[[], int]
    held: bool = False
    pages: bool = False
    asked: threading.Event = field(default_factory=threading.Event)
    records: dict[str, Any] = field(default_factory=dict)
    folded: int = 0

    async def get(self, user_id: str) -> Any | None:
        self._catch_up()
        return self.records.get(user_id)

    async def wait_for(self, user_id: str, position: Position, deadline_s: float) -> bool:
        until = time.monotonic() + deadline_s
        while not self._has(position):
            if time.monotonic() > until:
                return False
            self.asked.set()
            await asyncio.sleep(0.002)
        return True

    def _has(self, position: Position) -> bool:
        self._catch_up()
        done = [m for m in self.log.messages[: self.folded] if m.topic == position.topic]
        return len(done) > position.offset

    def _catch_up(self) -> None:
        while not self.held and self.folded < len(self.log.messages):
            self.folded += 1
            self._fold(self.log.messages[self.folded - 1])

    def _fold(self, message: Written) -> None:
        user = message.key.decode()
        dtype = user_dtype(self.bundle.users.hidden, self.bundle.users.dim)
        before = self.records.get(user)
        records = from_blobs([None if before is None else before.tobytes()], dtype)
        derive(records, self.bundle, self.catalog)
        if message.topic == "profiles":
            if message.value is None:
                self.records.pop(user, None)
                return
            fold_profile(records[0], decode_profile(message.value), self.bundle)
        elif message.topic == "events":
            self._fold_event(records, message)
        elif message.topic == "impressions" and self.pages and message.value is not None:
            ids = np.array(
                [hash64(v) for v in decode_impression(message.value).video_ids], np.int64
            )
            at_ms = np.full(len(ids), self.now_ms())
            fold_shown(records, np.zeros(len(ids), np.intp), ids, at_ms, UserSettings().shown_for_h)
        else:
            return
        self.records[user] = records[0]

    def _fold_event(self, records: Any, message: Written) -> None:
        key, now_ms = slot_key(0, "events", 0), self.now_ms()
        raw = RawMessages(
            [message.value], [message.key], np.array([key]), np.array([message.place]),
            np.array([now_ms]),
        )  # fmt: skip
        columns, bad = decode_events(raw, 300_000)
        assert not bad
        fold = UserFold(self.bundle, self.catalog, UserSettings())
        fold(records, columns, {key: 0}, now_ms)


class DownUsers:
    """A store that refuses."""

    async def get(self, user_id: str) -> Any | None:
        raise UnavailableError("connection refused")

    async def wait_for(self, user_id: str, position: Position, deadline_s: float) -> bool:
        raise UnavailableError("connection refused")


class HangingUsers:
    """A store that never answers."""

    async def get(self, user_id: str) -> Any | None:
        await asyncio.sleep(3600)
        return None

    async def wait_for(self, user_id: str, position: Position, deadline_s: float) -> bool:
        await asyncio.sleep(3600)
        return False
