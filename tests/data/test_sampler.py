"""The order of training images: complete, reproducible, the same for any number of processes."""

from collections import Counter, defaultdict
from itertools import islice

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from depthbox.data.sampler import ResumableBatchSampler, Sample, TrainingStream


def replay(size, batch_size, seed, groups, count):
    """The slow, obvious way: draw every epoch from the first on, put each image into its group's bucket."""
    batches, buckets, epoch = [], defaultdict(list), 0
    while len(batches) < count:
        order = torch.randperm(size, generator=torch.Generator().manual_seed(seed + epoch)).tolist()
        for offset, index in enumerate(order):
            bucket = buckets[groups[index]]
            bucket.append(Sample(index, epoch * size + offset))
            if len(bucket) == batch_size:
                batches.append([s._replace(iteration=len(batches)) for s in buckets.pop(groups[index])])
        epoch += 1
    return batches[:count]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 2), min_size=1, max_size=9), st.integers(1, 7), st.integers(0, 5))
def test_batches_equal_a_replay_from_the_start(groups, batch_size, seed):
    stream = TrainingStream(len(groups), batch_size, seed, groups)
    expected = replay(len(groups), batch_size, seed, groups, 12)
    assert [stream.batch(i) for i in reversed(range(12))] == expected[::-1]


def test_every_image_comes_once_an_epoch_without_groups():
    stream = TrainingStream(10, 4, seed=0)
    samples = [sample for iteration in range(10) for sample in stream.batch(iteration)]
    assert [s.position for s in samples] == list(range(40))
    for epoch in range(4):
        assert sorted(s.image for s in samples[epoch * 10 : epoch * 10 + 10]) == list(range(10))
    assert [s.image for s in samples[:10]] != [s.image for s in samples[10:20]]


def test_groups_are_not_mixed_and_none_is_left_out():
    groups = [0] * 9 + [1] * 2
    stream = TrainingStream(11, 4, seed=0, groups=groups)
    batches = [stream.batch(i) for i in range(110)]
    assert all(len({groups[s.image] for s in batch}) == 1 for batch in batches)
    seen = Counter(s.image for batch in batches for s in batch)
    assert set(seen) == set(range(11))
    assert max(seen.values()) - min(seen.values()) <= 4


def test_positions_never_repeat():
    stream = TrainingStream(7, 3, seed=1, groups=[0, 1, 0, 1, 1, 2, 0])
    positions = [s.position for i in range(200) for s in stream.batch(i)]
    assert len(set(positions)) == len(positions)


@pytest.mark.parametrize("world_size", [2, 4])
def test_processes_share_the_global_batch(world_size):
    stream = TrainingStream(10, 8, seed=0, groups=[i % 2 for i in range(10)])
    parts = [ResumableBatchSampler(stream, 5, rank, world_size) for rank in range(world_size)]
    for iteration, shares in enumerate(islice(zip(*parts, strict=True), 6), start=5):
        assert [sample for share in shares for sample in share] == stream.batch(iteration)


def test_resuming_late_is_immediate():
    groups = torch.arange(118_000) % 4 == 0
    stream = TrainingStream(118_000, 16, seed=0, groups=groups.long())
    assert len(stream.batch(270_000)) == 16
    assert stream._epoch.cache_info().misses <= 2  # draws one or two epochs, not thirty-six


def test_seed_changes_the_order():
    assert TrainingStream(50, 10, seed=0).batch(0) != TrainingStream(50, 10, seed=1).batch(0)


def test_errors_name_the_values():
    with pytest.raises(ValueError, match="empty"):
        TrainingStream(0, 4, seed=0)
    with pytest.raises(ValueError, match="3 groups for 4 images"):
        TrainingStream(4, 2, seed=0, groups=[0, 1, 0])
    with pytest.raises(ValueError, match="IMS_PER_BATCH = 6 does not divide by the 4"):
        ResumableBatchSampler(TrainingStream(4, 6, seed=0), world_size=4)
