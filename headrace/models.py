"""What `headrace models` does: settings -> registry and topic -> what is there, and what is in use."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from contracts.errors import BundleError, UnavailableError
from contracts.lineup import Lineup, Published
from contracts.models import Bundle
from contracts.settings import Settings
from model_runtime import bundles, day0, manifest, publishing
from model_runtime.manifest import Manifest
from model_runtime.store import Store
from streams.kafka import Publisher
from streams.models_topic import read_models, say

if TYPE_CHECKING:
    from model_runtime.graphs.exporting import Graph

_READ_S: Final = 10.0
Record = TypeVar("Record", Lineup, Published)


@dataclass(frozen=True, slots=True)
class Listed:
    """One bundle; `manifest` None and a `problem` where it cannot be read.

    Attributes:
        state: "live", "beside" or empty.
    """

    id: str
    state: str
    manifest: Manifest | None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Listing:
    """All of them, oldest first; `problem`: why it is not known which one is live."""

    bundles: list[Listed]
    problem: str = ""


def listed(settings: Settings) -> Listing:
    """Everything in the registry, and the built-in bundle.

    Raises:
        BundleError: the registry cannot be read.
    """
    store = Store(settings.model.registry) if settings.model.registry else None
    try:
        lineup, problem = lineup_of(settings), ""
    except UnavailableError as e:
        lineup, problem = None, str(e)
    ids = {day0.ID, *(store.folders() if store else ()), *(lineup.bundles if lineup else ())}
    found = [_listed(store, one, lineup) for one in ids]
    return Listing(sorted(found, key=_age), problem)


def _listed(store: Store | None, bundle_id: str, lineup: Lineup | None) -> Listed:
    state = ""
    if lineup is not None and bundle_id in lineup.bundles:
        state = "live" if bundle_id == lineup.live else "beside"
    try:
        return Listed(bundle_id, state, publishing.about(store, bundle_id))
    except BundleError as e:
        return Listed(bundle_id, state, None, str(e))


def _age(one: Listed) -> tuple[int, str]:
    return (one.manifest.published_ms if one.manifest else 0, one.id)


def lineup_of(settings: Settings) -> Lineup:
    """What is in use; the settings' bundle while nothing else was said.

    Raises:
        UnavailableError: Kafka does not answer.
    """
    found = read_models(settings.kafka, _READ_S).lineup
    return found or Lineup(settings.model.bundle)


def publish(settings: Settings, source: Path, bundle_id: str | None) -> Manifest:
    """Put a bundle into the registry and announce it.

    Raises:
        BundleError: see `publishing.publish`; nothing was written.
        UnavailableError: it is in the registry, and Kafka has not taken the announcement.
    """
    store = bundles.registry(settings.model)
    made = publishing.publish(store, source, settings.model, _now_ms(), bundle_id)
    record = Published(
        made.id, made.kind, made.dim, made.hidden, made.seal, made.published_ms, made.metrics
    )
    try:
        announce(settings, record)
    except UnavailableError as e:
        raise UnavailableError(
            f"{made.id} is in {store}, but not announced: {e}; publish it once more"
        ) from None
    return made


def release(settings: Settings) -> Lineup:
    """Let go of what is held beside the live bundle; the lineup that is now.

    Raises:
        UnavailableError: Kafka does not answer.
    """
    return announce(settings, Lineup(lineup_of(settings).live, None, _now_ms()))


def announce(settings: Settings, record: Record) -> Record:
    """Put a record on the topic, and give it back.

    Raises:
        UnavailableError: Kafka does not take it.
    """
    publisher = Publisher(settings.kafka)
    try:
        say(publisher, record)
    finally:
        publisher.close(1.0)
    return record


def difference(settings: Settings, old: str, new: str) -> list[tuple[str, Any, Any]]:
    """See `publishing.difference`.

    Raises:
        BundleError: one of them cannot be read.
    """
    store = Store(settings.model.registry) if settings.model.registry else None
    return publishing.difference(publishing.about(store, old), publishing.about(store, new))


def export(settings: Settings, bundle: str, folder: Path) -> "list[Graph]":
    """Write the ONNX graphs of a bundle, which is a folder or an id in the registry.

    Raises:
        BundleError: it cannot be read, nothing of it was learned, or `folder` holds something.
    """
    from model_runtime.graphs.exporting import graphs_of, write

    if bundle == day0.ID:
        raise BundleError(f"nothing of bundle {bundle!r} was learned: there is no graph to write")
    return write(graphs_of(*opened(settings, bundle)), folder)


def opened(settings: Settings, bundle: str) -> tuple[Manifest, dict[str, bytes]]:
    """Manifest and files of a bundle, which is a folder or an id in the registry.

    Raises:
        BundleError: it cannot be read.
    """
    source = Path(bundle).resolve()
    if (source / manifest.MANIFEST).is_file():
        return manifest.read(Store(source.parent), source.name, renamed=True)
    if "/" in bundle:
        raise BundleError(f"{source} is no folder of a bundle: it has no {manifest.MANIFEST}")
    return manifest.read(bundles.registry(settings.model, bundle), bundle)


@dataclass(frozen=True, slots=True)
class Judged:
    """Bundles that an evaluation asks, and what of a log none of them has learned from.

    Attributes:
        share: of its events, the last ones; None if no bundle says so.
        split: "last" or "time": how they were kept back; None if no bundle says so.
    """

    bundles: list[Bundle]
    share: float | None
    split: str | None


def judged(settings: Settings, names: Sequence[str]) -> Judged:
    """The bundles of these names (folders, ids in the registry, day0).

    Raises:
        BundleError: one cannot be read, two bear the same id, or they kept back different things.
    """
    loaded, shares, splits = list[Bundle](), list[float](), set[str]()
    for name in names:
        if name == day0.ID:
            loaded.append(bundles.load(settings.model, name))
            continue
        found, files = opened(settings, name)
        loaded.append(bundles.build(found, files, settings.model))
        for part in (found.training, found.training.get("rank") or {}):
            if isinstance(data := part.get("data"), dict):
                splits.add(data.get("split", "time"))
                shares += [data["kept"] / 2] if "kept" in data else []
    if len({one.id for one in loaded}) < len(loaded):
        raise BundleError(
            "two of the bundles bear the same id, and a report could not tell them apart"
        )
    if len(splits) > 1:
        raise BundleError(
            "one bundle kept back the last likes of each, another the last of the time"
        )
    return Judged(loaded, min(shares, default=None), next(iter(splits), None))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
