#!/usr/bin/env bash
# Usage: scripts/prepare_cityscapes.sh [ROOT] [option of tools/generate_pseudo_depth.py...]
#
# Writes the data of configs/cityscapes/ to ROOT, which contains leftImg8bit and gtFine (docs/cityscapes.md):
# boxes_train.json, instances_train.json (masks, for CondInst), instances_val.json, and the depth of the training
# images, estimated by DPT-Large as in the paper. The default ROOT is datasets/cityscapes, the folder of the configs.
# Existing files are kept: remove a JSON file to write it again. Depth requires: pip install 'depthbox[depth]'
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
  [[ -d "$root/$folder" ]] || fail "folder not found: $root/$folder; docs/cityscapes.md describes ROOT"
done

convert() { # JSON file, option...
  local target="$root/$1"
  shift
  if [[ -f "$target" ]]; then
    echo "$target exists already"
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
