"""Comparison of pasting: from mask logits to the RLEs of a large image."""

from __future__ import annotations

from collections.abc import Iterator

from ...modeling.mask_head.rle import paste_rles
from .. import inputs
from ..baselines import paste as baseline
from ..comparison import Comparison, DisagreementError, Options
from ..inputs import Setting
from ..measure import Pass, Results

_MASKS, _OUTPUT = 100, (3000, 4000)
_QUICK_MASKS, _QUICK_OUTPUT = 5, (150, 200)


def paste(options: Options) -> Iterator[Comparison]:
    """Compare pasting of 100 masks onto 3000 x 4000 pixels.

    Raises:
        DisagreementError: our masks are not bit-identical to dense pasting.
    """
    count, output = (_QUICK_MASKS, _QUICK_OUTPUT) if options.quick else (_MASKS, _OUTPUT)
    size = (96, 128) if options.quick else (800, 1088)
    setting = Setting(images=1, objects=count, height=size[0], width=size[1])
    image_size = (setting.height, setting.width * 49 // 50)  # some padding on the right
    boxes = inputs.make_boxes(setting, options.device)[0]
    logits = inputs.make_blob_logits(boxes, setting.grid, setting.stride, setting.generator(4))

    def ours() -> Results:
        return {"rles": paste_rles(logits, setting.stride, image_size, output)}

    dense = baseline.paste_rles_one_by_one(logits, setting.stride, image_size, output)
    if ours()["rles"] != dense:
        raise DisagreementError("paste: the masks are not bit-identical to dense pasting")
    yield Comparison(
        "paste",
        Pass(ours),
        Pass(lambda: {"rles": baseline.paste_rles(logits, setting.stride, image_size, output)}),
        difference=_differing_pixels,
        tolerance=1e-4,  # share of the masks' pixels; rounding decides those at the threshold
        baseline_bytes=10 * count * output[0] * output[1],
        about={"input": f"{count} masks onto {output[0]} x {output[1]}", "identical_to_dense": True},
    )


def _differing_pixels(ours: Results, baseline: Results) -> float:
    """Compute the share of the masks' pixels that belong to one mask of a pair alone."""
    import pycocotools.mask as mask_util

    differing = total = 0.0
    for mine, other in zip(ours["rles"], baseline["rles"], strict=True):
        union = float(mask_util.area(mask_util.merge([mine, other])))
        both = float(mask_util.area(mask_util.merge([mine, other], intersect=True)))
        differing, total = differing + union - both, total + union
    return differing / max(total, 1.0)
