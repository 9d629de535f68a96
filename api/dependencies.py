"""What the API is given by the composition root. It builds no client and reads no environment."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from contracts.models import Bundle
from contracts.settings import Settings
from index_updater.live_index import LiveIndex
from operators.catalog import Catalog
from operators.stats_board import StatsBoard
from streams.positions import Position


class Users(Protocol):
    """Reads the state of one viewer."""

    async def get(self, user_id: str) -> Any | None:
        """The viewer's record (`contracts.user_record`), None when there is none.

        Raises:
            UnavailableError: the store did not answer in time.
        """

    async def wait_for(self, user_id: str, position: Position, deadline_s: float) -> bool:
        """Whether the viewer's state contains `position`, waiting at most `deadline_s` for it.

        Raises:
            UnavailableError: the store did not answer in time.
        """


class Publisher(Protocol):
    """Writes to the log."""

    def produce(
        self,
        topic: str,
        key: bytes,
        value: bytes | None,
        on_ack: Callable[[Any, Any], None] | None = None,
    ) -> None:
        """Queue one message; `on_ack(error, message)` is called later. Raises when full."""

    async def send(
        self, topic: str, key: bytes, value: bytes | None, timeout_s: float
    ) -> tuple[int, int]:
        """Partition and offset, once every in-sync replica has the message.

        Raises:
            UnavailableError: Kafka did not take it in time.
        """


@dataclass(frozen=True, slots=True, eq=False)
class Dependencies:
    """Everything that one serving process holds.

    Attributes:
        ready: whether the catalog has caught up with its topics, and why not.
        clock_ms: the wall clock, milliseconds since 1970 UTC.
        metrics_folder: where all workers of a server write theirs; None for one alone.
    """

    settings: Settings
    bundle: Bundle
    catalog: Catalog
    index: LiveIndex
    board: StatsBoard
    users: Users
    publisher: Publisher
    ready: Callable[[], tuple[bool, str]]
    clock_ms: Callable[[], int]
    metrics_folder: str | None = None
