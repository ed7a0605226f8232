"""Meta-architecture: names of losses, gradients, formats of the results, and the role of depth."""

import numpy as np
import pycocotools.mask as mask_util
import pytest
import torch
from detectron2.structures import pairwise_iou

from depthbox.checkpoint.weights import load_weights

KEYS = {
    "box": {"loss_projection", "loss_color_pairwise"},
    "mask": {"loss_mask"},
    "mixed": {"loss_projection", "loss_color_pairwise", "loss_mask"},
}
BATCHES = {"objects": (3, 2), "none": (0, 0), "half": (0, 3)}


@pytest.mark.parametrize("supervision", list(KEYS))
@pytest.mark.parametrize("quality", ["centerness", "iou"])
def test_loss_keys_and_gradients_do_not_depend_on_the_batch(make_model, make_input, supervision, quality):
    model = make_model(MODEL__MASK_SUPERVISION=supervision, MODEL__FCOS__BOX_QUALITY=quality)
    expected = KEYS[supervision] | {
        "loss_fcos_cls",
        "loss_fcos_loc",
        "loss_fcos_ctr" if quality == "centerness" else "loss_fcos_iou",
    }
    for counts in BATCHES.values():
        model.zero_grad()
        losses = model([make_input(count, seed) for seed, count in enumerate(counts)])
        assert set(losses) == expected
        assert all(torch.isfinite(loss) and loss.dim() == 0 for loss in losses.values())
        sum(losses.values()).backward()
        without = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
        assert without == []


def test_mask_losses_move_controller_and_branch(make_model, make_input):
    model = make_model()
    losses = model([make_input(3)])
    (losses["loss_projection"] + losses["loss_color_pairwise"]).backward()
    assert model.controller.weight.grad.abs().sum() > 0
    assert model.mask_branch.tower[-1].weight.grad.abs().sum() > 0


def test_mixed_equals_box_or_mask_if_all_objects_have_the_same_annotation(make_model, make_input):
    mixed = make_model(MODEL__MASK_SUPERVISION="mixed")
    box, mask = make_model(), make_model(MODEL__MASK_SUPERVISION="mask")
    all_masks, no_masks = [make_input(3)], [make_input(3, has_mask=[False] * 3)]
    torch.testing.assert_close(mixed(all_masks)["loss_mask"], mask(all_masks)["loss_mask"])
    assert mixed(all_masks)["loss_projection"] == 0 and mixed(all_masks)["loss_color_pairwise"] == 0
    result, expected = mixed(no_masks), box(no_masks)
    assert result["loss_mask"] == 0
    for name in ("loss_projection", "loss_color_pairwise"):
        torch.testing.assert_close(result[name], expected[name])


def test_inference_gives_bool_masks_at_the_original_size(make_model, make_input):
    model = make_model(MODEL__FCOS__INFERENCE_TH=0.0).eval()
    inputs = [{**make_input(0, seed), "height": 50 + seed, "width": 70} for seed in range(2)]
    with torch.no_grad():
        results = model(inputs)
    for seed, result in enumerate(results):
        instances = result["instances"]
        assert len(instances) > 0
        assert instances.pred_masks.dtype == torch.bool and instances.pred_masks.shape[1:] == (50 + seed, 70)
        boxes = instances.pred_boxes.tensor
        assert boxes.min() >= 0 and boxes[:, 2].max() <= 70 and boxes[:, 3].max() <= 50 + seed


def test_inference_without_any_detection(make_model, make_input):
    model = make_model(MODEL__FCOS__INFERENCE_TH=0.999).eval()
    with torch.no_grad():
        (result,) = model([make_input(0)])
    assert len(result["instances"]) == 0 and result["instances"].pred_masks.shape == (0, 64, 96)


def test_masks_as_rle_are_the_same_masks(make_model, make_input):
    inputs = [{**make_input(0, seed), "height": 50 + seed, "width": 70} for seed in range(2)]
    results = []
    for mask_format in ("bitmask", "rle"):
        model = make_model(MODEL__FCOS__INFERENCE_TH=0.0, TEST__MASK_FORMAT=mask_format).eval()
        with torch.no_grad():
            results.append([result["instances"] for result in model(inputs)])
    for dense, coded in zip(*results, strict=True):
        assert not coded.has("pred_masks") and len(coded.pred_masks_rle) == len(coded) == len(dense) > 0
        decoded = np.stack([mask_util.decode(rle) for rle in coded.pred_masks_rle])
        assert np.array_equal(decoded.astype(bool), dense.pred_masks.numpy()) and decoded.any()


def test_detections_do_not_depend_on_the_batch(make_model, make_input):
    model = make_model(MODEL__FCOS__INFERENCE_TH=0.0).eval()
    inputs = [make_input(0, seed) for seed in range(3)]
    with torch.no_grad():
        together, alone = model(inputs)[1]["instances"], model(inputs[1:2])[0]["instances"]
    assert len(together) == len(alone) > 20
    torch.testing.assert_close(together.scores, alone.scores, atol=1e-5, rtol=1e-4)
    overlap = pairwise_iou(together.pred_boxes[:20], alone.pred_boxes[:20]).amax(1)
    assert (overlap > 0.99).float().mean() > 0.9  # the order of nearly equal scores may differ


def test_mask_losses_are_float32_under_autocast(make_model, make_input):
    model = make_model()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = model([make_input(3)])
    plain = model([make_input(3)])
    for name in ("loss_projection", "loss_color_pairwise"):
        assert losses[name].dtype == torch.float32
        torch.testing.assert_close(losses[name], plain[name], atol=0.05, rtol=0.05)


def test_wrong_choices_are_named(make_model):
    with pytest.raises(ValueError, match="MASK_SUPERVISION"):
        make_model(MODEL__MASK_SUPERVISION="boxes")
    with pytest.raises(ValueError, match="BOX_QUALITY"):
        make_model(MODEL__FCOS__BOX_QUALITY="ctr")
    with pytest.raises(ValueError, match="MASK_FORMAT"):
        make_model(TEST__MASK_FORMAT="polygon")


def test_channels_last_changes_nothing_but_speed(make_model, make_input):
    batch = [make_input(3), make_input(2, 1)]
    plain, fast = make_model(MODEL__CHANNELS_LAST=False)(batch), make_model(MODEL__CHANNELS_LAST=True)(batch)
    for name, loss in plain.items():
        torch.testing.assert_close(fast[name], loss, atol=1e-4, rtol=1e-4)


DEPTH = {"MODEL__DEPTH__LAYER": True, "MODEL__DEPTH__CONSISTENCY": True, "INPUT__DEPTH__ENABLED": True}


@pytest.mark.parametrize("supervision", list(KEYS))
@pytest.mark.parametrize("layer", [False, True])
@pytest.mark.parametrize("consistency", [False, True])
@pytest.mark.parametrize("distill", [False, True])
def test_keys_and_gradients_with_depth(make_model, make_input, supervision, layer, consistency, distill):
    model = make_model(
        MODEL__MASK_SUPERVISION=supervision,
        MODEL__DEPTH__LAYER=layer,
        MODEL__DEPTH__CONSISTENCY=consistency,
        MODEL__DISTILL__ENABLED=distill,
        INPUT__DEPTH__ENABLED=True,
    )
    expected = KEYS[supervision] | {"loss_fcos_cls", "loss_fcos_loc", "loss_fcos_ctr"}
    expected |= {"loss_depth"} if layer else set()
    expected |= {"loss_depth_consistency"} if consistency and supervision != "mask" else set()
    expected |= {"loss_pseudo_mask"} if distill else set()
    for counts in BATCHES.values():
        model.zero_grad()
        losses = model([make_input(count, seed) for seed, count in enumerate(counts)])
        assert set(losses) == expected
        sum(losses.values()).backward()
        without = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
        assert without == []


def test_with_depth_off_it_is_boxinst(make_model, make_input):
    batch = [make_input(3), make_input(2, 1)]
    plain, read = make_model(), make_model(INPUT__DEPTH__ENABLED=True)
    for name, loss in plain([{k: v for k, v in x.items() if k != "depth"} for x in batch]).items():
        torch.testing.assert_close(read(batch)[name], loss)
    assert plain.controller.weight.shape[0] == 233


def test_depth_changes_only_the_depth_losses(make_model, make_input):
    model = make_model(**DEPTH)
    batch = [make_input(3)]
    changed = [{**batch[0], "depth": batch[0]["depth"].flip(1)}]
    before, after = model(batch), model(changed)
    differing = {name for name in before if not torch.allclose(before[name], after[name], rtol=1e-5)}
    assert differing == {"loss_depth", "loss_depth_consistency"}


def test_constant_depth_and_a_box_of_one_pixel(make_model, make_input):
    model = make_model(**DEPTH)
    x = make_input(1)
    x["depth"] = torch.full_like(x["depth"], 0.5)
    x["instances"].gt_boxes.tensor[:] = torch.tensor([[40.0, 30.0, 41.0, 31.0]])
    losses = model([x])
    assert all(torch.isfinite(loss) for loss in losses.values())
    sum(losses.values()).backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.requires_grad)


def test_missing_depth_is_named(make_model, make_input):
    with pytest.raises(ValueError, match=r"INPUT.DEPTH.ENABLED is False: set it True"):
        make_model(MODEL__DEPTH__LAYER=True)
    x = make_input(2)
    del x["depth"]
    with pytest.raises(KeyError, match="comes without depth"):
        make_model(**DEPTH)([x])


def test_inference_predicts_depth_without_depth_input(make_model, make_input):
    model = make_model(**DEPTH, MODEL__FCOS__INFERENCE_TH=0.0).eval()
    instances = model([{"image": make_input(1)["image"], "height": 128, "width": 192}])[0]["instances"]
    assert len(instances) > 0 and instances.pred_depths.shape == (len(instances),)
    assert instances.pred_depths.min() >= 0 and instances.pred_depths.max() <= 1


def test_weights_without_the_depth_layer_initialize_a_network_with_it(make_model, make_input, tmp_path, caplog):
    plain, guided = make_model(), make_model(**DEPTH)
    torch.nn.init.normal_(plain.controller.weight)
    torch.save({"model": plain.state_dict()}, tmp_path / "boxinst.pth")
    initial = guided.controller.weight[233:].clone()
    load_weights(guided, str(tmp_path / "boxinst.pth"))
    assert torch.equal(guided.controller.weight[:233], plain.controller.weight)
    assert torch.equal(guided.controller.weight[233:], initial)
    for name, tensor in plain.state_dict().items():
        if not name.startswith("controller."):
            assert torch.equal(guided.state_dict()[name], tensor), name
