"""Writing the graphs of a bundle: a model repository as Triton lays one out.

<folder>/user_step/1/model.onnx
<folder>/user_begin/1/model.onnx    where the user tower reads what people told of themselves
<folder>/item_tower/1/model.onnx
<folder>/ranker/1/model.onnx

They are made from a bundle when somebody wants them, and no part of it: what serves here reads none of
them, and would fetch and check them at each start; a bundle of any age can be exported.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
from onnx import ModelProto

from contracts.errors import BundleError
from model_runtime import learned, ranker_files
from model_runtime.graphs import item_tower, ranker, user_step
from model_runtime.manifest import Manifest


@dataclass(frozen=True, slots=True)
class Graph:
    """One file, and the names by which it is asked and answers."""

    path: Path
    inputs: list[str]
    outputs: list[str]


def graphs_of(found: Manifest, files: Mapping[str, bytes]) -> dict[str, ModelProto]:
    """The graph of each model of a bundle that was learned, by name.

    Raises:
        BundleError: nothing was, a file cannot be read, or the graphs have no place for a weight.
    """
    out, about = dict[str, ModelProto](), {"bundle": found.id, "seal": found.seal}
    if found.kind == learned.KIND:
        towers, users, items = learned.read(found, files)
        form = {"form": msgspec.json.encode(towers).decode()}
        out[user_step.NAME] = user_step.user_step(towers.users, users, about | form)
        if towers.users.profile:
            out[user_step.BEGIN] = user_step.user_begin(towers.users, users, about | form)
        out[item_tower.NAME] = item_tower.item_tower(towers.items, items, about | form)
    if learned_ranker := ranker_files.read(found.id, files):
        form = {"form": msgspec.json.encode(learned_ranker[0]).decode()}
        out[ranker.NAME] = ranker.ranker(*learned_ranker, about | form)
    if not out:
        raise BundleError(f"nothing of bundle {found.id!r} was learned: there is no graph to write")
    return out


def write(graphs: Mapping[str, ModelProto], folder: Path) -> list[Graph]:
    """Write them; what was written.

    Raises:
        BundleError: `folder` is there and holds something.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BundleError(f"{folder} is there and not empty: name another, or remove it")
    written = []
    for name, model in graphs.items():
        path = folder / name / "1" / "model.onnx"
        path.parent.mkdir(parents=True)
        path.write_bytes(model.SerializeToString())
        inputs, outputs = (
            [one.name for one in side] for side in (model.graph.input, model.graph.output)
        )
        written.append(Graph(path, inputs, outputs))
    return written
