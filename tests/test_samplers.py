"""Batch samplers: a pure function of seed and epoch, whatever the number of processes."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from occlureid.data import BalancedBatches, OrderedBatches, ShuffledBatches
from occlureid.data.samplers import EpochBatches
from occlureid.errors import DataError, UsageError

PERSONS = ["a"] * 5 + ["b"] * 2 + ["c"] * 1 + ["d"] * 9 + ["e"] * 4 + ["f"] * 4 + ["g"] * 4

KINDS = {
    "ordered": lambda **k: OrderedBatches(29, 8, **{n: v for n, v in k.items() if n != "seed"}),
    "shuffled": lambda **k: ShuffledBatches(29, 8, **k),
    "shuffled, all": lambda **k: ShuffledBatches(29, 8, drop_last=False, **k),
    "balanced": lambda **k: BalancedBatches(PERSONS, 2, 4, **k),
    "balanced, two rounds": lambda **k: BalancedBatches(PERSONS, 2, 4, rounds=2, **k),
}


def draws(batches: EpochBatches, epoch=0, start_step=0):
    batches.set_epoch(epoch, start_step)
    return list(batches)


@pytest.mark.parametrize("kind", KINDS)
def test_the_processes_share_each_global_batch(kind):
    whole = draws(KINDS[kind](seed=5), epoch=3)
    shares = [draws(KINDS[kind](seed=5, rank=rank, world=2), epoch=3) for rank in range(2)]
    assert len(shares[0]) == len(shares[1]) == len(whole)
    for batch, left, right in zip(whole, *shares, strict=True):
        assert left + right == batch, "the union, without overlap, in order, with the same randomness of each image"
        assert abs(len(left) - len(right)) <= 1
    positions = [d.position for batch in whole for d in batch]
    assert len(set(positions)) == len(positions)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("start_step", [0, 1, 2, 3])
def test_resuming_in_the_middle_continues_the_same_draws(kind, start_step):
    batches = KINDS[kind](seed=1, rank=1, world=2)
    whole = draws(batches, epoch=2)
    batches.set_epoch(2, start_step)
    assert len(batches) == len(whole) - start_step
    assert list(batches) == whole[start_step:]


@pytest.mark.parametrize("kind", [k for k in KINDS if k != "ordered"])
def test_seed_and_epoch_decide_the_order(kind):
    make = KINDS[kind]
    assert draws(make(seed=1), 1) == draws(make(seed=1), 1)
    assert make(seed=1).batches(1) != make(seed=1).batches(2)
    assert make(seed=1).batches(1) != make(seed=2).batches(1)


@pytest.mark.parametrize("drop_last", [True, False])
def test_a_shuffled_epoch_visits_each_image_once(drop_last):
    batches = ShuffledBatches(29, 8, drop_last=drop_last)
    visited = [d.index for batch in batches for d in batch]
    assert len(set(visited)) == len(visited) == (24 if drop_last else 29)
    assert len(batches) == (3 if drop_last else 4)
    left_out = {frozenset(set(range(29)) - {d.index for b in draws(batches, epoch) for d in b}) for epoch in range(5)}
    assert len(left_out) == (5 if drop_last else 1), "other images are left out each epoch"


def test_an_ordered_epoch_is_in_order():
    assert OrderedBatches(5, 2).batches(7) == [[0, 1], [2, 3], [4]]
    assert [len(b) for b in OrderedBatches(5, 4, rank=0, world=2)] == [2, 0]
    assert [len(b) for b in OrderedBatches(5, 4, rank=1, world=2)] == [2, 1]


@given(
    sizes=st.lists(st.integers(1, 7), min_size=3, max_size=9),
    people=st.integers(1, 3),
    each=st.integers(1, 5),
    rounds=st.integers(1, 3),
    seed=st.integers(0, 2**63 - 1),
)
@settings(max_examples=60, deadline=None)
def test_balanced_batches(sizes, people, each, rounds, seed):
    persons = [str(person) for person, size in enumerate(sizes) for _ in range(size)]
    sampler = BalancedBatches(persons, people, each, rounds=rounds, seed=seed)
    batches = sampler.batches(4)
    a_round = len(sizes) // people
    assert len(batches) == len(sampler) == rounds * a_round
    for batch in batches:
        groups = [batch[row : row + each] for row in range(0, len(batch), each)]
        names = [{persons[index] for index in group} for group in groups]
        assert [len(name) for name in names] == [1] * people, "each K neighbours are one person"
        assert len(set.union(*names)) == people, "P different persons"
        for group in groups:
            size = sizes[int(persons[group[0]])]
            repeats = Counter(group)
            assert len(repeats) == min(size, each), "different images as far as there are any"
            assert max(repeats.values()) <= -(-each // size)
    for start in range(0, len(batches), a_round):
        appear = Counter(persons[index] for batch in batches[start : start + a_round] for index in batch)
        assert set(appear.values()) == {each}, "nobody twice in a round"
        assert len(appear) == a_round * people


def test_everybody_appears_once_where_the_batch_divides_the_persons():
    persons = [d.index // 3 for batch in BalancedBatches([str(i // 3) for i in range(24)], 4, 2) for d in batch]
    assert Counter(persons) == dict.fromkeys(range(8), 2)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: ShuffledBatches(0, 4), UsageError, "at least one image"),
        (lambda: ShuffledBatches(4, 0), UsageError, "at least one image"),
        (lambda: ShuffledBatches(3, 4), DataError, "3 images do not fill one batch of 4"),
        (lambda: ShuffledBatches(9, 3, world=2), UsageError, "batch_size must be a multiple of the 2 processes"),
        (lambda: ShuffledBatches(9, 4, rank=2, world=2), UsageError, "rank"),
        (lambda: ShuffledBatches(9, 4, seed=-1), UsageError, "seed"),
        (lambda: BalancedBatches(["a", "b"], 3, 2), DataError, "2 persons do not fill one batch of 3"),
        (lambda: BalancedBatches(["a", "b", "c"], 3, 2, world=2), UsageError, "persons_per_batch must be a multiple"),
        (lambda: BalancedBatches(["a", "b"], 2, 0), UsageError, "must be positive"),
        (lambda: BalancedBatches(["a", "b"], 2, 1, rounds=0), UsageError, "must be positive"),
        (lambda: ShuffledBatches(9, 4).set_epoch(-1), UsageError, "epoch"),
        (lambda: ShuffledBatches(9, 4).set_epoch(0, 3), UsageError, r"start_step lie in \[0, 2\]"),
    ],
)
def test_wrong_arguments_are_named(make, error, message):
    with pytest.raises(error, match=message):
        make()
