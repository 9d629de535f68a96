"""Losses and negatives: one softmax in chunks and bfloat16, and what it is compared with."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as fn

from model_runtime.training.batches import Batch
from model_runtime.training.config import Kind, Loss
from model_runtime.training.losses import Candidates, bce_loss, softmax_loss
from model_runtime.training.negatives import Negatives

torch.set_num_threads(1)  # what is tested is small: a second thread only waits for the first


def unit(*shape: int, seed: int = 0) -> Tensor:
    return fn.normalize(torch.randn(shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def against(table: Tensor, target: Tensor, hard: int = 0) -> Candidates:
    n = len(target)
    own = torch.cat([table[target][:, None], unit(n, hard, table.shape[1], seed=9)], dim=1)
    absent = torch.zeros(n, 1 + hard, dtype=torch.bool)
    return Candidates(own, absent, table, torch.zeros(len(table)), target)


@pytest.mark.parametrize("n", [3, 5000])
def test_over_all_videos_it_is_cross_entropy_and_has_its_gradient(n: int) -> None:
    users, table = (unit(n, 64) * 15).requires_grad_(), unit(300, 64, seed=1).requires_grad_()
    target = torch.arange(n) % 300
    plain = fn.cross_entropy(users @ table.T, target)
    expected = torch.autograd.grad(plain, [users, table])
    loss = softmax_loss(users, against(table, target))
    assert float(loss.detach()) == pytest.approx(float(plain.detach()), rel=2e-3)
    for got, wanted in zip(torch.autograd.grad(loss, [users, table]), expected, strict=True):
        assert float((got - wanted).norm() / wanted.norm()) < 0.01


def test_hard_negatives_are_columns_of_their_own_row_and_absent_ones_are_none() -> None:
    users, table, target = unit(40, 16) * 5, unit(30, 16, seed=1), torch.arange(40) % 30
    found = against(table, target, hard=2)
    logits = torch.cat([users @ table.T, torch.einsum("nd,nhd->nh", users, found.own[:, 1:])], 1)
    plain = fn.cross_entropy(logits, target)
    assert float(softmax_loss(users, found)) == pytest.approx(float(plain), rel=5e-3)
    found.absent[:, 1:] = True
    plain = fn.cross_entropy(users @ table.T, target)
    assert float(softmax_loss(users, found)) == pytest.approx(float(plain), rel=5e-3)


def test_bce_does_not_count_a_positive_among_its_negatives() -> None:
    users, table, target = unit(50, 16), unit(2, 16, seed=1), torch.arange(50) % 2
    liked, other = users @ table.T, users @ table.flip(0).T
    rows = torch.arange(50)
    expected = fn.softplus(-liked[rows, target]) + fn.softplus(other[rows, target]) / 2
    assert float(bce_loss(users, against(table, target))) == pytest.approx(float(expected.mean()))


def batch_of(target: np.ndarray) -> Batch:
    zero = np.zeros(len(target), np.int64)
    none = np.zeros((len(target), 0), np.int64)
    return Batch(zero, zero, zero, zero, 1, none, zero, none, zero, target, none)


@pytest.mark.parametrize("kind", ["sampled", "in_batch", "mixed"])
def test_the_correction_makes_a_draw_stand_for_the_whole_catalogue(kind: Kind) -> None:
    """The sum over drawn columns, each divided by its chance to be drawn, is the sum over all."""
    rng = np.random.default_rng(0)
    likes = (1000 / (1 + np.arange(500))).astype(np.int64) + 1
    share, weight = likes / likes.sum(), rng.exponential(1, 500)
    negatives = Negatives(Loss(kind=kind, negatives=60, popular=0.5), likes)
    sums = []
    for _ in range(3000):
        drawn = negatives.draw(batch_of(rng.choice(500, 80, p=share)), rng)
        sums.append((weight[drawn.videos] / np.exp(drawn.correction)).sum())
    assert np.mean(sums) == pytest.approx(weight.sum(), rel=0.03)


def test_without_the_correction_nothing_is_taken_off() -> None:
    negatives = Negatives(Loss(kind="sampled", negatives=10, log_q=False), np.arange(50))
    drawn = negatives.draw(batch_of(np.arange(5)), np.random.default_rng(0))
    assert not drawn.correction.any()
    assert len(np.unique(drawn.videos)) == len(drawn.videos) <= 10


def test_a_catalogue_smaller_than_the_draw_is_taken_whole() -> None:
    drawn = Negatives(Loss(kind="mixed", negatives=64), np.arange(50)).draw(
        batch_of(np.arange(5)), np.random.default_rng(0)
    )
    assert drawn.videos.tolist() == list(range(50))
    assert not drawn.correction.any()
