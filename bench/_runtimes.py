"""The three models of one bundle in three runtimes, behind one face: inputs in, arrays out.

numpy is what serves. onnxruntime runs the graphs of `headrace models export`. torch runs the modules that
are trained, their step written out; the ranker's columns are encoded in numpy there, as in training.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from bench import _ranker, _towers
from contracts.batch import CandidateBatch
from contracts.models import F32, StepInputs
from contracts.settings import ModelSettings
from contracts.videos import Video
from model_runtime import bundles, learned, manifest, ranker_files
from model_runtime.forms import ItemForm, UserForm
from model_runtime.item_facts import embeddings, facts
from model_runtime.learned_items import LearnedItems
from model_runtime.ranker_form import RankerForm

EMBEDDING = 64
BUNDLE = "runtimes"
STORE, GRAPHS = "store", "graphs"


class Runtime(Protocol):
    """One way to run a bundle. What is hashed and encoded before is not part of `items`."""

    def users(self, state: F32, inputs: StepInputs) -> tuple[Any, Any]:
        """The states after one event each, and the vectors."""

    def items(self, asked: Any) -> Any:
        """(n, d) vectors of what `asking` made."""

    def asking(self, videos: list[Video]) -> Any:
        """What `items` takes."""

    def ranker(self, batch: CandidateBatch) -> Any:
        """p_click and the other heads."""


def written(folder: Path) -> None:
    """A bundle of drawn weights and its graphs: an item tower of 100,000 videos, forms as shipped."""
    from model_runtime.graphs.exporting import graphs_of, write

    user, item, form = UserForm(), ItemForm(), RankerForm()
    rng = np.random.default_rng(1)
    ranker = _ranker.ranker(rng, form, _ranker.candidates(rng, 2000))
    towers = learned.Towers(user, item)
    items = _towers.item_weights(item, EMBEDDING)
    made, files = learned.drafted(BUNDLE, towers, _towers.user_weights(user), items)
    files |= ranker_files.to_files(form, ranker.weights | {"keys": ranker.encode.keys})
    made = manifest.write(
        folder / STORE, BUNDLE, made.kind, dim=made.dim, hidden=made.hidden, files=files,
        features=form.features, embedding_size=EMBEDDING,
    )  # fmt: skip
    write(graphs_of(made, files), folder / GRAPHS)


class Numpy:
    """As it serves."""

    def __init__(self, folder: Path) -> None:
        settings = ModelSettings(registry=str(folder / STORE), bundle=BUNDLE)
        self._bundle = bundles.load(settings)
        assert isinstance(self._bundle.items, LearnedItems)
        self._items = self._bundle.items

    def users(self, state: F32, inputs: StepInputs) -> tuple[Any, Any]:
        after = self._bundle.users.step(state, inputs)
        return after, self._bundle.users.read_out(after)

    def asking(self, videos: list[Video]) -> Any:
        return facts(videos, self._items.form.buckets), embeddings(videos, EMBEDDING)

    def items(self, asked: Any) -> Any:
        return self._items.of_facts(*asked)

    def ranker(self, batch: CandidateBatch) -> Any:
        return self._bundle.ranker.predict(batch)


class Onnx:
    """The graphs, one thread."""

    def __init__(self, folder: Path) -> None:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._user, self._item, self._ranker = (
            ort.InferenceSession(
                folder / GRAPHS / name / "1" / "model.onnx", options, ["CPUExecutionProvider"]
            )
            for name in ("user_step", "item_tower", "ranker")
        )
        self._asked = [one.name for one in self._item.get_inputs()]
        self._columns = [one.name for one in self._ranker.get_inputs()]
        self._heads = [one.name for one in self._ranker.get_outputs()]

    def users(self, state: F32, inputs: StepInputs) -> tuple[Any, Any]:
        fields = {name: getattr(inputs, name) for name in StepInputs.__slots__ if name != "moments"}
        held = state.view(np.float16)[:, : UserForm().numbers]
        after, vectors = self._user.run(["next_state", "vector"], {"state": held, **fields})
        return after, vectors

    def asking(self, videos: list[Video]) -> Any:
        from model_runtime.graphs.item_inputs import item_inputs

        return item_inputs(ItemForm(), EMBEDDING, True, videos)

    def items(self, asked: Any) -> Any:
        return self._item.run(["vector"], asked)[0]

    def ranker(self, batch: CandidateBatch) -> Any:
        columns: Mapping[str, Any] = {name: batch.columns[name] for name in self._columns}
        return dict(zip(self._heads, self._ranker.run(self._heads, columns), strict=True))
