"""Synchronizations of host and device in one whole training step."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch
from detectron2.config import CfgNode
from detectron2.structures import Boxes, Instances
from syncs import Waits, count_waits
from torch import Tensor

from depthbox import add_depthbox_config, losses
from depthbox.config import load_config
from depthbox.engine import Trainer
from depthbox.modeling.build import build_network
from depthbox.modeling.supervision import boxes, depth

ROOT = Path(__file__).resolve().parents[2]
HEIGHT, WIDTH = 64, 96
LIMIT = 8
COUNTS = (1, 7, 100, 300)
DEPTH = ("INPUT.DEPTH.ENABLED", "True", "MODEL.DEPTH.LAYER", "True", "MODEL.DEPTH.CONSISTENCY", "True")
TEACHER = (
    *DEPTH,
    "MODEL.DISTILL.ENABLED",
    "True",
    "MODEL.DISTILL.START_ITER",
    "0",
    "MODEL.DISTILL.SCORE_THRESH",
    "0.0",
)
METHODS: dict[str, tuple[str, ...]] = {"boxinst": (), "depth": DEPTH}


def scene(count: int, seed: int) -> dict[str, Any]:
    """Make a sample in the format of the mapper, with ``count`` objects."""
    generator = torch.Generator().manual_seed(seed)
    low = torch.rand((count, 2), generator=generator) * torch.tensor([WIDTH / 2.0, HEIGHT / 2.0])
    size = 12 + torch.rand((count, 2), generator=generator) * 20
    instances = Instances((HEIGHT, WIDTH))
    instances.gt_boxes = Boxes(torch.cat((low, low + size), 1))
    instances.gt_classes = torch.randint(0, 8, (count,), generator=generator)
    return {
        "image": torch.randint(0, 256, (3, HEIGHT, WIDTH), generator=generator).byte(),
        "depth": torch.rand((1, HEIGHT, WIDTH), generator=generator),
        "height": HEIGHT,
        "width": WIDTH,
        "instances": instances,
        "image_id": seed,
        "file_name": str(seed),
    }


class CountingTrainer(Trainer):
    """Trainer on prepared batches that counts the waits of each step, hooks included."""

    def __init__(self, cfg: CfgNode, object_counts: Sequence[int]) -> None:
        super().__init__(cfg)
        self.object_counts = object_counts  # objects per image of each step
        self.waits: list[Waits] = []

    def _open_data(self) -> None:
        counts = enumerate(self.object_counts)
        self._batches = iter([[scene(count, 2 * step), scene(count, 2 * step + 1)] for step, count in counts])

    def before_step(self) -> None:
        self._counting = ExitStack()
        self.waits.append(self._counting.enter_context(count_waits(self.cfg.MODEL.DEVICE)))
        super().before_step()

    def after_step(self) -> None:
        super().after_step()
        self._counting.close()


def waits_by_count(folder: Path, object_counts: Sequence[int], *overrides: str) -> dict[int, Waits]:
    """Train and return the waits of a step by the number of objects in each of its two images."""
    steps = (1, *object_counts, 1)  # the first step has lazy initialization, the last writes a checkpoint
    common = ("OUTPUT_DIR", str(folder), "DATASETS.TEST", "()", "SOLVER.CHECKPOINT_PERIOD", "0", "SEED", "0")
    common += ("SOLVER.IMS_PER_BATCH", "2", "SOLVER.MAX_ITER", str(len(steps)))
    # AdamW counts its steps in tensors on the host: reading them would be counted as a wait.
    common += ("MODEL.FPN.OUT_CHANNELS", "32", "SOLVER.OPTIMIZER", "SGD", "MODEL.FCOS.INFERENCE_TH", "0.0")
    cfg = load_config(add_depthbox_config, str(ROOT / "tests" / "tiny.yaml"), overrides=[*common, *overrides])
    trainer = CountingTrainer(cfg, steps)
    trainer.resume_or_load(resume=False)
    trainer.train()
    return dict(zip(object_counts, trainer.waits[1:-1], strict=True))


@pytest.fixture
def losses_of_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the mask losses that are computed box by box on the CPU by those of the GPU."""

    def box_losses(logits, edge_sets, image_index, rows, columns, size, dilation, triton):  # type: ignore[no-untyped-def]
        sums, counts = losses.pairwise_losses(logits, edge_sets, image_index, rows, columns, size, dilation)
        return losses.projection_loss_from_logits(logits, rows, columns), sums, counts

    def depth_loss(logits, *others, triton):  # type: ignore[no-untyped-def]
        return losses.instance_depth_loss(logits.sigmoid(), *others)

    monkeypatch.setattr(boxes, "box_losses", box_losses)
    monkeypatch.setattr(depth, "instance_depth_loss_from_logits", depth_loss)


def explain(found: dict[int, Waits]) -> str:
    return "".join(f"\n{count} objects per image:\n{waits}" for count, waits in found.items())


@pytest.mark.parametrize("method", list(METHODS))
def test_a_step_has_few_waits_for_any_number_of_objects(method: str, tmp_path: Path, losses_of_a_gpu: None) -> None:
    found = waits_by_count(tmp_path, COUNTS, *METHODS[method])
    totals = {waits.syncs.total() + waits.uploads.total() for waits in found.values()}
    assert len(totals) == 1 and totals.pop() <= LIMIT, explain(found)
    assert all(waits.syncs.total() >= 2 for waits in found.values()), "positives and losses must be among them"


def test_the_teacher_has_the_same_waits_for_any_number_of_objects(tmp_path: Path, losses_of_a_gpu: None) -> None:
    found = waits_by_count(tmp_path, (7, 40), *TEACHER)
    assert len({waits.syncs.total() for waits in found.values()}) == 1, explain(found)


@pytest.mark.parametrize("mask_format", ["rle", "bitmask"])
def test_masks_of_an_image_need_few_waits_for_any_number(mask_format: str, monkeypatch: pytest.MonkeyPatch) -> None:
    overrides = ["MODEL.FPN.OUT_CHANNELS", "32", "TEST.MASK_FORMAT", mask_format, "MODEL.FCOS.INFERENCE_TH", "0.0"]
    totals = {}
    for count in (10, 100):
        more = [*overrides, *DEPTH, "TEST.DETECTIONS_PER_IMAGE", str(count), "MODEL.FCOS.NMS_TH", "1.0"]
        cfg = load_config(add_depthbox_config, str(ROOT / "tests" / "tiny.yaml"), overrides=more)
        network = build_network(cfg).eval()
        torch.nn.init.normal_(network.controller.weight, std=0.5)  # masks that are not empty
        torch.nn.init.constant_(network.proposal_generator.fcos_head.bbox_pred.bias, 2.0)  # nor are the boxes
        inputs = [{key: value for key, value in scene(1, 0).items() if key != "instances"}]
        with torch.no_grad():
            detections = network.proposal_generator.detect(network.predict_dense(inputs)[1])
            monkeypatch.setattr(network.proposal_generator, "detect", lambda dense, found=detections: found)
            with count_waits() as waits:
                (found,) = network(inputs)
        assert len(found["instances"]) == count
        totals[count] = (waits.syncs.total() + waits.uploads.total(), waits)
    assert totals[100][0] <= 10 and totals[100][0] == totals[10][0], f"{totals[100][1]}"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="a GPU is required")
@pytest.mark.parametrize("method", list(METHODS))
def test_the_reports_of_a_gpu_are_few(method: str, tmp_path: Path) -> None:
    found = waits_by_count(tmp_path, COUNTS, "MODEL.DEVICE", "cuda", *METHODS[method])
    assert max(waits.syncs.total() for waits in found.values()) <= LIMIT, explain(found)


@pytest.mark.parametrize(
    ("call", "waits"),
    [
        (lambda x, m: x.sum().item(), True),
        (lambda x, m: float(x.sum()), True),
        (lambda x, m: bool((x > 0).any()), True),
        (lambda x, m: x.tolist(), True),
        (lambda x, m: x.cpu(), True),
        (lambda x, m: x.numpy(), True),
        (lambda x, m: torch.nonzero(x), True),
        (lambda x, m: torch.where(m), True),
        (lambda x, m: x[m], True),
        (lambda x, m: torch.masked_select(x, m), True),
        (lambda x, m: x.clone().__setitem__(m, x[:1].expand(2)), True),
        (lambda x, m: torch.unique(x), True),
        (lambda x, m: torch.bincount(x.long(), minlength=9), True),
        (lambda x, m: torch.repeat_interleave(x, x.long()), True),
        (lambda x, m: torch.equal(x, x), True),
        (lambda x, m: x.clone().__setitem__(m, 0.0), False),
        (lambda x, m: torch.repeat_interleave(x, x.long(), output_size=6), False),
        (lambda x, m: x[torch.argsort(x)], False),
        (lambda x, m: torch.where(m, x, 0).sum(), False),
        (lambda x, m: x.masked_fill(m, 1.0)[:2].max(0).values, False),
    ],
)
def test_the_counter_counts_waits(call: Callable[[Tensor, Tensor], object], waits: bool) -> None:
    x, mask = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([True, False, True])
    with count_waits() as found:
        call(x, mask)
    assert found.syncs.total() == waits


def test_the_counter_counts_uploads_and_the_backward_pass() -> None:
    class Reading(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):  # type: ignore[no-untyped-def]
            return 2 * x

        @staticmethod
        def backward(ctx, grad):  # type: ignore[no-untyped-def]
            return grad * grad.item()

    x, device = torch.ones((), requires_grad=True), torch.device("cpu")
    with count_waits() as found:
        y = Reading.apply(x)
        assert found.syncs.total() == 0
        y.backward()
        assert found.syncs.total() == 1
        for _ in (x.to(device), x.new_tensor([1.0]), torch.tensor(1.0, device=device)):
            pass
        assert found.uploads.total() == 3
        for _ in (x.to(device, non_blocking=True), x.to(torch.float64), torch.tensor([1.0]), x.new_zeros(3)):
            pass
        assert found.uploads.total() == 3
