"""Apache Kafka itself, one KRaft node, from the jars of a pom.xml. For the tests and for peers.

Java and Maven are needed; `missing()` says which is not there.
"""

import base64
import os
import shutil
import subprocess
import uuid
from pathlib import Path
from typing import Final

from contracts.errors import HeadraceError
from headrace.servers.broker import broker_answers
from headrace.servers.process import Server, free_port

# A killed broker is let in again only when its session has ended: by default after 9 s.
_PROPERTIES: Final = """\
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{advertised}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
controller.quorum.voters=1@127.0.0.1:{controller}
log.dirs={data}
auto.create.topics.enable=false
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=3000
num.network.threads=2
num.io.threads=4
log.cleaner.dedupe.buffer.size=8388608
log.index.size.max.bytes=1048576
"""


def missing() -> str | None:
    """The programs that are not on the PATH ("java, mvn"), None when all are there."""
    absent = [program for program in ("java", "mvn") if shutil.which(program) is None]
    return ", ".join(absent) or None


def kafka_jars(pom: Path) -> Path:
    """Folder of the jars; Maven fetches them when the pom has changed since the last time.

    Raises:
        HeadraceError: Maven failed; with the end of what it said.
    """
    folder, stamp = pom.parent / "target" / "dependency", pom.parent / "target" / "stamp"
    if stamp.exists() and stamp.read_bytes() == pom.read_bytes():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    command = ["mvn", "-q", "-B", "-f", str(pom), "dependency:copy-dependencies"]
    done = subprocess.run(
        [*command, "-DincludeScope=runtime"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise HeadraceError(f"Maven could not fetch Apache Kafka:\n{done.stdout[-1500:]}")
    stamp.write_bytes(pom.read_bytes())
    return folder


class ApacheKafka(Server):
    """One node that is broker and controller, on free ports, with its data in `folder`.

    Clients are sent to the port `advertised` if something stands in front of the broker there.
    """

    name = "Apache Kafka"
    start_timeout_s = 60.0

    def __init__(
        self, jars: Path, folder: Path, port: int | None = None, advertised: int | None = None
    ) -> None:
        port = port or free_port()
        self._advertised = advertised or port
        folder.mkdir(parents=True, exist_ok=True)
        self._properties = folder / "server.properties"
        self._data = folder / "data"
        self._java = [
            # On two busy cores G1 misses its 20 ms, makes its young space smaller and smaller, and
            # pauses once a second for 20 to 40; this pauses as long every five seconds.
            "java", "-Xms256m", "-Xmx1g", "-Xmn128m", "-XX:+UseSerialGC",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", f"{jars}{os.sep}*",
        ]  # fmt: skip
        self._properties.write_text(
            _PROPERTIES.format(
                port=port, advertised=self._advertised, controller=free_port(), data=self._data
            )
        )
        command = [*self._java, "kafka.Kafka", str(self._properties)]
        super().__init__(command, folder / "kafka.log", port)

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self._advertised}"

    def start(self) -> "ApacheKafka":
        """Format the data folder on the first start, then serve."""
        if not self._data.exists():
            cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
            tool = ["kafka.tools.StorageTool", "format", f"--cluster-id={cluster}"]
            self._run([*tool, "-c", str(self._properties)])
        return super().start()

    def _run(self, tool: list[str]) -> None:
        done = subprocess.run(
            [*self._java, *tool], capture_output=True, text=True, check=False, timeout=60
        )
        if done.returncode:
            raise HeadraceError(f"{tool[0]}: {done.stdout[-800:]}{done.stderr[-800:]}")

    def answers(self) -> bool:
        return broker_answers(self.bootstrap)
