"""Contracts of the meta-architecture."""

import pytest
import torch
from detectron2.structures import pairwise_iou

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


def test_mixed_equals_box_or_mask_where_all_objects_are_alike(make_model, make_input):
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


def test_an_image_is_detected_alike_alone_and_in_a_batch(make_model, make_input):
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


def test_channels_last_changes_nothing_but_speed(make_model, make_input):
    batch = [make_input(3), make_input(2, 1)]
    plain, fast = make_model(MODEL__CHANNELS_LAST=False)(batch), make_model(MODEL__CHANNELS_LAST=True)(batch)
    for name, loss in plain.items():
        torch.testing.assert_close(fast[name], loss, atol=1e-4, rtol=1e-4)
