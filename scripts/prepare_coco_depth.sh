#!/usr/bin/env bash
# Usage: scripts/prepare_coco_depth.sh [option of tools/generate_pseudo_depth.py...]
#
# Estimates the depth of COCO's train2017 with DPT-Large, as in the paper, and writes it to coco/depth_train2017 in the
# folder DETECTRON2_DATASETS (default: datasets), from which the dataset coco_2017_train_depth reads it. Depth is used in
# training alone. The same command resumes an interrupted one. Requires: pip install 'depthbox[depth]'
#
# Options are passed on and override those of this script:
#   scripts/prepare_coco_depth.sh --dry-run
#   NUM_GPUS=8 scripts/prepare_coco_depth.sh --half
#   scripts/prepare_coco_depth.sh --model depth-anything-small
#   scripts/prepare_coco_depth.sh --size original       72 instead of 32 GB; the losses use a quarter of the resolution
#
# Variables: NUM_GPUS (default 1; 0 = the CPU), DETECTRON2_DATASETS, PYTHON
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

LIST=0
coco="$DETECTRON2_DATASETS/coco"
[[ -f "$coco/annotations/instances_train2017.json" ]] ||
  fail "file not found: $coco/annotations/instances_train2017.json; datasets/README.md describes the folder"
if ((NUM_GPUS == 0)); then
  device=(--device cpu)
else
  device=(--num-processes "$NUM_GPUS")
fi
run "$PYTHON" tools/generate_pseudo_depth.py --json "$coco/annotations/instances_train2017.json" \
  --images "$coco/train2017" --output "$coco/depth_train2017" --size 320 "${device[@]}" "$@"
