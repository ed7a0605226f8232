"""Selection of the queries in training."""

import torch

from depthbox.modeling.fcos.queries import select_queries
from depthbox.modeling.fcos.targets import assign_targets, pyramid_locations

SIZES, STRIDES = [(8, 12), (4, 6), (2, 3), (1, 2), (1, 1)], [8, 16, 32, 64, 128]


def scene(counts):
    torch.manual_seed(0)
    locations = pyramid_locations(SIZES, STRIDES, (64, 128, 256, 512), "cpu")
    boxes = []
    for count in counts:
        low = torch.rand(count, 2) * torch.tensor([70.0, 40.0])
        boxes.append(torch.cat((low, low + 10 + 10 * torch.rand(count, 2)), 1))
    assignment = assign_targets(locations, boxes, [torch.zeros(c, dtype=torch.int64) for c in counts], 1)
    image_index, location_index = torch.nonzero(assignment.labels != 1, as_tuple=True)
    return locations, assignment, image_index, location_index, torch.rand(len(image_index))


def test_each_object_keeps_its_best_up_to_its_quota():
    locations, assignment, image, cell, scores = scene([3, 0, 2])
    queries = select_queries(locations, assignment, image, cell, scores, 8)
    owner = assignment.target_index[image, cell]
    assert queries.counts[1] == 0 and sum(queries.counts) == len(queries.image_index)
    assert torch.equal(queries.image_index, queries.image_index.sort().values)
    for b in (0, 2):
        objects = owner[image == b].unique()
        quota = max(8 // len(objects), 1)
        for target in objects:
            mine = scores[owner == target].sort(descending=True).values
            chosen = queries.target_index == target
            assert int(chosen.sum()) == min(quota, len(mine))
            own = locations.xy[cell[owner == target]][scores[owner == target].argsort(descending=True)]
            expected = {tuple(x) for x in own[:quota].tolist()}
            assert {tuple(x) for x in queries.locations[chosen].tolist()} == expected


def test_the_cap_is_hard_with_more_objects_than_queries():
    queries = select_queries(*scene([40, 3]), 8)
    assert queries.counts[0] == 8 and queries.counts[1] <= 8
    assert len(queries.target_index.unique()) == len(queries.target_index[:8].unique()) + len(
        queries.target_index[8:].unique()
    )
    assert len(queries.target_index[:8].unique()) == 8


def test_no_positive_gives_no_query():
    queries = select_queries(*scene([0, 0]), 8)
    assert queries.counts == (0, 0) and len(queries) == 0
