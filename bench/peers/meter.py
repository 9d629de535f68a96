"""What a peer prints when it is done. Standard library only: it runs in every peer's environment."""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(slots=True)
class Meter:
    """Clock and processor time of this process, from its first finished batch to its last."""

    first: int = 0
    n: int = 0
    batches: int = 0
    _began: tuple[float, float] = (0.0, 0.0)
    _ended: tuple[float, float] = (0.0, 0.0)

    def batch(self, n: int) -> None:
        """One more batch is done, `n` events in all."""
        self._ended = time.perf_counter(), time.process_time()
        if not self.batches:
            self.first, self._began = n, self._ended
        self.n, self.batches = n, self.batches + 1

    def report(self, **more: Any) -> None:
        """Print one line of JSON; the time runs to the last `batch`."""
        took, spent = (e - b for e, b in zip(self._ended, self._began, strict=True))
        timed = self.n - self.first
        status = Path("/proc/self/status").read_text()
        peak_kb = int(status.partition("VmHWM:")[2].split()[0])
        line = {
            "events": self.n,
            "rate": timed / took,
            "worker_us": spent / timed * 1e6,
            "batch_events": self.n / self.batches,
            "rss_mb": peak_kb * 1024 / 1e6,
            **more,
        }
        print(json.dumps(line), flush=True)
