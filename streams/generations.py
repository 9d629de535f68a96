"""What a process holds for each bundle of the lineup, and the one step from one to another.

`current` is read once a request or batch, by any thread; a generation is whole or it is not current.
One thread does the work: build what is new in the lineup, take over to the live bundle when its
generation is ready, let go of what has left. What cannot be built is refused with its reason, and what
was current stays.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import Final, Generic, Protocol, TypeVar

import redis

from contracts.errors import BundleError, HeadraceError
from contracts.lineup import Lineup
from contracts.metrics import BUNDLE_REFUSED, BUNDLE_SWITCHES
from streams.presence import Presence

_log = logging.getLogger(__name__)
_STEP_S: Final = 0.2
_SAY_EVERY_S: Final = 1.0
_AGAIN_S: Final = 30.0  # a refused bundle is tried again: its files may have been put right
_LINGER_S: Final = 10.0  # requests that began with a generation have ended by then


class Generation(Protocol):
    """Everything that one bundle needs in one process."""

    def ready(self) -> bool:
        """Whether it may take over. Asked by one thread."""

    def close(self) -> None:
        """Let go; nobody uses it any more."""


G = TypeVar("G", bound=Generation)


class Generations(Generic[G]):
    """Holds one generation for each bundle of the lineup.

    Attributes:
        current: whole, and the same for the length of whatever has read it.
        may_switch: asked before a ready generation takes over.
        on_switch: told of the new one, just before it is current.
    """

    def __init__(self, lineup: Lineup, build: Callable[[str], G], presence: Presence) -> None:
        """Build what is live; if it is refused, what is beside it.

        Raises:
            BundleError: neither can be built.
        """
        self.lineup = lineup
        self._build, self._presence = build, presence
        self.held: dict[str, G] = {}
        self.refused: dict[str, str] = {}
        self._refused_at: dict[str, float] = {}
        self.may_switch: Callable[[G], bool] = lambda _: True
        self.on_switch: Callable[[G], object] = lambda _: None
        self._leaving: dict[str, float] = {}
        self._stop, self._wake = threading.Event(), threading.Event()
        self._ready: tuple[str, ...] = ()
        self._threads = [
            threading.Thread(target=work, name=name, daemon=True)
            for name, work in (("generations", self._run), ("presence", self._say))
        ]
        for bundle in lineup.bundles:
            if self._take(bundle):
                self.working, self.current = bundle, self.held[bundle]
                return
        raise BundleError("; ".join(self.refused.values()))

    def hear(self, lineup: Lineup) -> None:
        """This is the lineup from now on. Any thread."""
        self.lineup = lineup
        self._wake.set()

    def start(self) -> None:
        """Work in the background."""
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Stop, and let go of everything."""
        self._stop.set()
        self._wake.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(10.0)
        for generation in self.held.values():
            generation.close()
        try:
            self._presence.gone()
        except redis.RedisError:
            pass  # it is believed for a few seconds only

    def step(self, now_s: float) -> None:
        """Bring what is held one step closer to the lineup."""
        lineup = self.lineup
        for bundle in lineup.bundles:
            if bundle not in self.held and now_s - self._refused_at.get(bundle, -1e9) > _AGAIN_S:
                self._take(bundle)
        self._switch(lineup)
        self._let_go(lineup, now_s)
        self._ready = tuple(b for b in lineup.bundles if b in self.held and self.held[b].ready())

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.step(time.monotonic())
            except Exception:  # whatever it is: what is current goes on
                _log.exception("generations")
            self._wake.wait(_STEP_S)
            self._wake.clear()

    def _take(self, bundle: str) -> bool:
        try:
            self.held[bundle] = self._build(bundle)
        except Exception as e:  # what is in a bundle comes from outside
            reason = str(e) if isinstance(e, HeadraceError) else f"bundle {bundle!r}: {e!r}"
            if bundle not in self.refused:
                BUNDLE_REFUSED.inc()
            _log.error("refused: %s", reason)
            self.refused[bundle], self._refused_at[bundle] = reason, time.monotonic()
            return False
        self.refused.pop(bundle, None)
        _log.info("bundle %s is held", bundle)
        return True

    def _switch(self, lineup: Lineup) -> None:
        new = self.held.get(lineup.live)
        if new is None or self.working == lineup.live or not new.ready():
            return
        if not self.may_switch(new):
            return
        self.on_switch(new)
        self.current, self.working = new, lineup.live
        BUNDLE_SWITCHES.inc()
        _log.info("bundle %s is live", lineup.live)

    def _let_go(self, lineup: Lineup, now_s: float) -> None:
        for bundle in [b for b in self.held if b not in lineup.bundles and b != self.working]:
            if now_s - self._leaving.setdefault(bundle, now_s) >= _LINGER_S:
                self.held.pop(bundle).close()
                _log.info("bundle %s is let go", bundle)
        for bundle in [b for b in self._leaving if b in lineup.bundles or b not in self.held]:
            del self._leaving[bundle]
        for bundle in [b for b in self.refused if b not in lineup.bundles]:
            del self.refused[bundle], self._refused_at[bundle]

    def _say(self) -> None:
        """Apart from the work: a process that takes long to build a bundle is present all the same."""
        while not self._stop.is_set():
            try:
                self._presence.say(self.working, self._ready, dict(self.refused))
            except redis.RedisError as e:
                _log.debug("presence: %s", e)
            self._stop.wait(_SAY_EVERY_S)
