#!/usr/bin/env bash
# Usage: scripts/prepare_cityscapes.sh [ROOT] [option of tools/generate_pseudo_depth.py...]
#
# Writes what configs/cityscapes/ needs into ROOT, which holds leftImg8bit and gtFine (docs/cityscapes.md):
# boxes_train.json, instances_train.json (masks, for CondInst alone), instances_val.json, and the depth of the training
# images, by DPT-Large as in the paper. ROOT is datasets/cityscapes by default, where the configs look. What is there
# already is kept: remove a json to have it written anew. Needs for the depth: pip install depthbox[depth]
#
#   NUM_GPUS=8 scripts/prepare_cityscapes.sh
#   scripts/prepare_cityscapes.sh datasets/cityscapes --model depth-anything-small
#
# Variables: NUM_GPUS (default 1; 0 = the CPU), WORKERS (processes of the conversion, default 4), PYTHON
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

LIST=0
root=datasets/cityscapes
if (($#)) && [[ "$1" != -* ]]; then
  root="$1"
  shift
fi
for folder in leftImg8bit/train leftImg8bit/val gtFine/train gtFine/val; do
  [[ -d "$root/$folder" ]] || fail "there is no folder $root/$folder; docs/cityscapes.md tells how ROOT must look"
done

convert() { # json, option...
  local target="$root/$1"
  shift
  if [[ -f "$target" ]]; then
    echo "$target is there already"
  else
    run "$PYTHON" tools/convert_cityscapes.py "$root" --output "$target" --workers "${WORKERS:-4}" "$@"
  fi
}

convert boxes_train.json --split train --boxes-only
convert instances_train.json --split train
convert instances_val.json --split val
if ((NUM_GPUS == 0)); then
  device=(--device cpu)
else
  device=(--num-processes "$NUM_GPUS")
fi
run "$PYTHON" tools/generate_pseudo_depth.py --json "$root/boxes_train.json" --images "$root/leftImg8bit" \
  --output "$root/depth" --size 512 "${device[@]}" "$@"
