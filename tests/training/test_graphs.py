"""The ONNX graphs of a bundle say what the engine says, in onnxruntime, whatever the configuration.

Tolerances: 2e-5 on vectors, 1e-5 on heads (relative on the seconds watched); of a state that is held in
halves one step of the last place, since a sum that differs in its seventh digit may round to the neighbour.
"""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from typer.testing import CliRunner

from contracts.errors import BundleError
from contracts.models import MOMENT, StepInputs
from contracts.settings import ModelSettings
from contracts.user_record import new_profiles
from contracts.videos import Video
from headrace.cli import app
from model_runtime import bundles, day0, learned, manifest, ranker_files
from model_runtime.forms import Block, ItemForm, UserForm
from model_runtime.graphs import exporting
from model_runtime.graphs.item_inputs import item_inputs
from model_runtime.graphs.item_tower import item_tower
from model_runtime.graphs.ranker import ranker
from model_runtime.graphs.user_step import user_begin, user_step
from model_runtime.learned import Towers
from model_runtime.learned_items import LearnedItems
from model_runtime.learned_ranker import LearnedRanker
from model_runtime.manifest import Manifest
from model_runtime.ranker_form import RankerForm
from model_runtime.recurrent_users import RecurrentUsers
from model_runtime.told import CONTEXT, PROFILE, rows_of
from model_runtime.training.config import Items, Users
from model_runtime.training.item_tower import ItemTower, weights_of
from model_runtime.training.ranker_result import uncalibrated
from model_runtime.training.user_tower import UserTower
from tests.training.rankers import SMALL, a_model, a_world, batch

DIM = 64
FIELDS = ("items", "actions", "shares", "gaps_s")
FORMS = [
    UserForm(cell="rg_lru", taps=4),
    UserForm(cell="rg_lru", taps=1, block="mlp", state="float32", inner=32, width=48, heads=3),
    UserForm(cell="min_gru", taps=3, block="cross", state="float32", layers=2),
    UserForm(cell="lru", taps=2, layers=1, inner=31, heads=1, width=34),
]
WHOLE = RankerForm()
Weights = dict[str, Any]


def shaken(module: torch.nn.Module) -> torch.nn.Module:
    """Every weight says something."""
    with torch.no_grad():
        for p in module.parameters():
            p.add_(0.1 * torch.randn(p.shape))
    return module


def user_weights(form: UserForm) -> Weights:
    torch.manual_seed(0)
    config = Users(**{n: getattr(form, n) for n in UserForm.__struct_fields__})
    tower = shaken(UserTower(config, DIM))
    return {name: p.detach().numpy() for name, p in tower.named_parameters()}


def item_weights(form: ItemForm, known: list[Video], own: bool = True) -> Weights:
    torch.manual_seed(0)
    config = Items(buckets=form.buckets, block=form.block, id_embedding=own)
    tower = ItemTower(config, known, np.arange(len(known)) % 3 > 0)
    shaken(tower)
    return weights_of(tower)


def ranker_weights(form: RankerForm) -> Weights:
    model, encoder, edges_s = a_model(a_world(400), form)
    weights = uncalibrated(model, encoder, edges_s)
    rng = np.random.default_rng(0)
    weights["scale"] = (0.5 + rng.random(form.outputs)).astype(np.float32)
    weights["shift"] = rng.standard_normal(form.outputs).astype(np.float32)
    return weights


def events(n: int) -> StepInputs:
    """Of every kind, the impossible ones too."""
    rng = np.random.default_rng(n)
    items = rng.standard_normal((n, DIM)).astype(np.float32)
    items /= np.maximum(np.linalg.norm(items, axis=1, keepdims=True), 1e-9)
    items[rng.random(n) < 0.1] = 0
    shares = (rng.integers(-2, 40, n) / 20).astype(np.float32)
    gaps = rng.exponential(1, n).astype(np.float32) * 4.0 ** rng.integers(-3, 18, n)
    for values in (items, shares, gaps):
        for bad in (np.nan, np.inf, -np.inf):
            values[rng.random(values.shape) < 0.02] = bad
    gaps[: n // 8] = 2.0 ** rng.integers(-3, 32, n // 8)
    actions = rng.integers(0, 20, n).astype(np.uint8)
    return StepInputs(items, actions, shares, gaps.astype(np.float32))


def videos(n: int, embedding: int = 0) -> list[Video]:
    rng = np.random.default_rng(0)
    return [
        Video(f"v{i}", 1_600_000_000_000 + i * 10_000_000_000, f"title {i}",
              tags=(f"t{i % 5}", "x")[: i % 3], language="de" if i % 2 else None,
              category=f"c{i % 4}", creator_id=f"by{i % 6}", duration_ms=i * 1000, min_age=i % 19,
              embedding=tuple(rng.standard_normal(embedding).tolist()) if embedding and i % 4 else None)
        for i in range(n - 1)
    ] + [Video("bare", 1)]  # fmt: skip


def run(model: onnx.ModelProto, inputs: dict[str, Any]) -> dict[str, np.ndarray]:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


def step_inputs(form: UserForm, state: np.ndarray, inputs: StepInputs) -> dict[str, Any]:
    """The words of a record, as the numbers that they are."""
    held = state.view(np.float16 if form.state == "float16" else np.float32)
    fields = {name: getattr(inputs, name) for name in FIELDS}
    return {"state": held[:, : form.numbers], **fields}


@pytest.mark.parametrize("form", FORMS, ids=lambda f: f"{f.cell}-{f.block}-{f.taps}-{f.state}")
@pytest.mark.parametrize("n", [1, 32, 500])
def test_the_user_step_is_the_engines(form: UserForm, n: int) -> None:
    weights = user_weights(form)
    users, model = RecurrentUsers(form, weights), user_step(form, weights, {})
    interests = np.random.default_rng(0).standard_normal((n, DIM)).astype(np.float32)
    interests[1::2] = 0  # people of whom nothing is known yet
    state = users.init(new_profiles(n), interests)
    after, inputs = users.step(state, events(n)), step_inputs(form, state, events(n))
    said = run(model, inputs)
    tolerance = 1e-3 if form.state == "float16" else 2e-5
    expected = step_inputs(form, after, events(n))["state"]
    np.testing.assert_allclose(said["next_state"], expected, rtol=tolerance, atol=2e-5)
    apart = np.abs(said["vector"] - users.read_out(after)).max()
    assert apart < (1e-3 if form.state == "float16" else 2e-5)


TELLING = UserForm(context=("hour", "country", "device"), profile=("interests", "age", "language"))


@pytest.mark.parametrize("n", [1, 32, 500])
def test_what_is_told_is_told_to_the_graphs_too(n: int) -> None:
    weights, rng = user_weights(TELLING), np.random.default_rng(n)
    users, profiles = RecurrentUsers(TELLING, weights), new_profiles(n)
    profiles["age"][1::2] = rng.integers(10, 80, n // 2)
    profiles["interests"][1::2] = rng.integers(1, 2**31, profiles["interests"][1::2].shape)
    moments = np.zeros(n, MOMENT)
    moments["ts_ms"] = rng.integers(0, 2**40, n)
    moments["device"] = rng.integers(0, 3, n)
    state = users.init(profiles, np.zeros((n, DIM), np.float32))
    began = run(
        user_begin(TELLING, weights, {}),
        {"profile": rows_of(PROFILE, TELLING.profile, profiles)},
    )
    one = replace(events(n), moments=moments)
    expected = step_inputs(TELLING, state, one)["state"][1::2]
    np.testing.assert_allclose(began["next_state"][1::2], expected, rtol=1e-3, atol=2e-5)
    rows = {"context": rows_of(CONTEXT, TELLING.context, moments)}
    said = run(user_step(TELLING, weights, {}), step_inputs(TELLING, state, one) | rows)
    assert np.abs(said["vector"] - users.read_out(users.step(state, one))).max() < 1e-3


def test_a_long_history_through_the_graph_ends_where_the_engine_ends() -> None:
    form = UserForm()
    weights, whole = user_weights(form), events(400)
    users, session = RecurrentUsers(form, weights), user_step(form, weights, {})
    graph = ort.InferenceSession(session.SerializeToString(), providers=["CPUExecutionProvider"])
    state = np.zeros((1, users.hidden), np.float32)
    held = np.zeros((1, form.numbers), np.float16)
    for i in range(400):
        one = StepInputs(*(getattr(whole, name)[i : i + 1] for name in FIELDS))
        state = users.step(state, one)
        inputs = step_inputs(form, state, one) | {"state": held}
        held, vector = graph.run(["next_state", "vector"], inputs)
    assert float((vector * users.read_out(state)).sum()) > 0.9999


def test_of_whom_nothing_is_known_the_graph_gives_no_vector() -> None:
    form = UserForm(taps=1, state="float32")
    weights = user_weights(form)
    for name in weights:  # all that an event without a video adds; the head's stays
        if name in ("signal", "gap") or (name.endswith("bias") and name != "head.bias"):
            weights[name] = np.zeros_like(weights[name])
    nothing = StepInputs(
        np.zeros((2, DIM), np.float32), np.zeros(2, np.uint8), np.full(2, np.nan, np.float32),
        np.zeros(2, np.float32),
    )  # fmt: skip
    inputs = step_inputs(form, np.zeros((2, form.hidden), np.float32), nothing)
    said = run(user_step(form, weights, {}), inputs)["vector"]
    assert not said.any()


@pytest.mark.parametrize("block", ["none", "mlp", "cross"])
@pytest.mark.parametrize(("size", "own"), [(0, True), (20, True), (20, False)])
def test_the_item_tower_is_the_engines(block: Block, size: int, own: bool) -> None:
    form = ItemForm(block=block, buckets=512)
    weights = item_weights(form, videos(40, size), own)
    some = [*videos(60, size), Video("another", 1_700_000_000_000, "title 3", tags=("t1",))]
    said = run(item_tower(form, weights, {}), item_inputs(form, size, own, some))
    expected = LearnedItems(form, weights).embed(some)
    np.testing.assert_allclose(said["vector"], expected, atol=2e-5)


@pytest.mark.parametrize("form", [SMALL, WHOLE], ids=["small", "as shipped"])
@pytest.mark.parametrize("n", [1, 32, 500])
def test_the_ranker_is_the_engines(form: RankerForm, n: int) -> None:
    weights, rows = ranker_weights(form), batch(n, seed=7)
    rng = np.random.default_rng(n)
    for column in rows.columns.values():
        if column.dtype.kind == "f":
            for bad in (np.nan, np.inf, -np.inf, 1e30, -1e30):
                column[rng.random(n) < 0.02] = bad
    inputs = {name: rows.columns[name] for name in form.features}
    said, expected = run(ranker(form, weights, {}), inputs), LearnedRanker(form, weights)
    for name, head in expected.predict(rows).items():
        np.testing.assert_allclose(said[name], head, atol=1e-5, rtol=1e-5, err_msg=name)


def test_names_of_any_size_find_the_same_rows() -> None:
    form = RankerForm(bins=5, embedding=3, rank=4, width=8, members=2, watch_bins=4)
    rows = a_world(400)
    rng = np.random.default_rng(0)
    for name in ("category", "creator", "tags"):
        column = rows.columns[name]
        column[...] = rng.choice(rng.integers(2**31, 2**32, 12), column.shape)
    model, encoder, edges_s = a_model(rows, form)
    weights = uncalibrated(model, encoder, edges_s)
    assert len(encoder.keys) > 50
    some = rows.take(slice(0, 200)).columns
    said = run(ranker(form, weights, {}), {name: some[name] for name in form.features})
    encoded = encoder(some, 200)
    p = 1 / (1 + np.exp(-LearnedRanker(form, weights).logits(encoded)[:, 0]))
    np.testing.assert_allclose(said["p_click"], p, atol=1e-5)


def a_bundle(folder: Path, bundle_id: str = "b") -> tuple[Manifest, dict[str, bytes]]:
    """Towers and a ranker in one."""
    users, items = user_weights(FORMS[0]), item_weights(ItemForm(buckets=512), videos(40, 20))
    forms = Towers(FORMS[0], ItemForm(buckets=512))
    made, files = learned.drafted(bundle_id, forms, users, items)
    weights = ranker_weights(SMALL)
    files |= ranker_files.to_files(SMALL, weights)
    whole = manifest.write(
        folder / "store", bundle_id, made.kind, dim=made.dim, hidden=made.hidden,
        features=LearnedRanker(SMALL, weights).features, files=files, embedding_size=20,
    )  # fmt: skip
    return whole, files


def test_models_export_writes_what_a_triton_repository_holds(tmp_path: Path) -> None:
    made, _ = a_bundle(tmp_path)
    told = CliRunner().invoke(
        app, ["models", "export", str(tmp_path / "store" / "b"), str(tmp_path / "onnx")]
    )
    assert told.exit_code == 0, told.output
    found = sorted(
        str(p.relative_to(tmp_path / "onnx")) for p in (tmp_path / "onnx").rglob("*.onnx")
    )
    assert found == [f"{name}/1/model.onnx" for name in ("item_tower", "ranker", "user_step")]
    for path in found:
        model = onnx.load(tmp_path / "onnx" / path)
        about = {one.key: one.value for one in model.metadata_props}
        assert (about["bundle"], about["seal"]) == ("b", made.seal)
        assert json.loads(about["form"])
        for value in (*model.graph.input, *model.graph.output):
            assert value.type.tensor_type.shape.dim[0].dim_param == "n"


def test_the_graphs_of_a_written_bundle_serve_as_it_does(tmp_path: Path) -> None:
    made, files = a_bundle(tmp_path)
    bundle = bundles.build(made, files, ModelSettings())
    exporting.write(exporting.graphs_of(made, files), tmp_path / "onnx")
    rows = batch(100)
    model = onnx.load(tmp_path / "onnx" / "ranker" / "1" / "model.onnx")
    said = run(model, {name: rows.columns[name] for name in made.features})
    for name, head in bundle.ranker.predict(rows).items():
        np.testing.assert_allclose(said[name], head, atol=1e-5, rtol=1e-5, err_msg=name)


def test_a_weight_that_the_graph_has_no_place_for_is_refused_by_its_name() -> None:
    weights = user_weights(FORMS[0]) | {"surface": np.zeros((4, 64), np.float32)}
    with pytest.raises(BundleError, match="no place for the weights surface"):
        user_step(FORMS[0], weights, {})


def test_a_bundle_of_which_nothing_was_learned_has_no_graph(tmp_path: Path) -> None:
    made = bundles.publish_day0(tmp_path, "mine", day0.Day0())
    with pytest.raises(BundleError, match="nothing of bundle 'mine' was learned"):
        exporting.graphs_of(made, manifest.read(tmp_path, "mine")[1])


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    with pytest.raises(BundleError, match="not empty"):
        exporting.write({}, tmp_path)


def test_what_serves_and_what_folds_import_neither_torch_nor_onnx(tmp_path: Path) -> None:
    a_bundle(tmp_path)
    program = (
        "import sys, headrace.serve, headrace.flows, headrace.server\n"
        "from contracts.settings import ModelSettings\n"
        "from model_runtime import bundles\n"
        f"bundles.load(ModelSettings(registry={str(tmp_path / 'store')!r}, bundle='b'))\n"
        "print(*sorted({'torch', 'onnx', 'onnxruntime', 'scipy', 'pyarrow'} & set(sys.modules)))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert ended.stdout.split() == []
