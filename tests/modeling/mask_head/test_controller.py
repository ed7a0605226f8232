"""Controller at the locations of queries against the dense convolution."""

import torch

from depthbox.modeling.mask_head import Controller
from depthbox.structures import Queries


def test_sparse_equals_dense():
    torch.manual_seed(0)
    controller = Controller(5, 7).double()
    torch.nn.init.normal_(controller.bias)
    levels = [torch.randn(2, 5, h, w, dtype=torch.float64, requires_grad=True) for h, w in ((6, 9), (3, 5), (1, 1))]
    image, level = torch.tensor([0, 0, 0, 1, 1]), torch.tensor([0, 1, 2, 0, 1])
    row, column = torch.tensor([0, 2, 0, 5, 1]), torch.tensor([8, 0, 0, 4, 2])
    queries = Queries(image, level, row, column, torch.zeros(5, 2), torch.zeros(5).long(), (3, 2))
    sparse = controller(levels, queries)
    dense = [torch.nn.functional.conv2d(x, controller.weight, controller.bias, padding=1) for x in levels]
    expected = torch.stack(
        [dense[k][b, :, y, x] for b, k, y, x in zip(*(t.tolist() for t in (image, level, row, column)), strict=True)]
    )
    torch.testing.assert_close(sparse, expected)
    upstream = torch.randn_like(expected)
    grads = torch.autograd.grad((sparse * upstream).sum(), [*levels, controller.weight, controller.bias])
    others = torch.autograd.grad((expected * upstream).sum(), [*levels, controller.weight, controller.bias])
    for mine, theirs in zip(grads, others, strict=True):
        torch.testing.assert_close(mine, theirs)


def test_no_query():
    none = torch.zeros(0, dtype=torch.int64)
    controller = Controller(5, 7)
    result = controller([torch.randn(1, 5, 4, 4)], Queries(none, none, none, none, torch.zeros(0, 2), none, (0,)))
    assert result.shape == (0, 7)
    result.sum().backward()
    assert controller.weight.grad is not None
