#!/usr/bin/env bash
# Usage: scripts/reproduce_table2.sh [--list] [CONFIG...] [KEY VALUE...]
#
# Trains the rows of Table 2 (Cityscapes) one after the other, by default all, and evaluates them on val with the
# official metric. The same command resumes an interrupted one. docs/reproduce.md lists the config of each row.
#
#   NUM_GPUS=8 scripts/reproduce_table2.sh
#   NUM_GPUS=8 scripts/reproduce_table2.sh configs/cityscapes/depthbox_R_50.yaml
#   NUM_GPUS=1 scripts/reproduce_table2.sh SOLVER.ACCUMULATION_STEPS 4      the same batch on one GPU, in parts
#   scripts/reproduce_table2.sh --list                                      print the commands without running them
#
# Requires scripts/prepare_cityscapes.sh and pip install 'depthbox[cityscapes]'. The row that starts from COCO requires
# output/coco/depthbox_R_50_3x/model_final.pth: scripts/reproduce_table1.sh configs/coco/depthbox_R_50_3x.yaml
#
# Variables: NUM_GPUS (default 1; 0 = the CPU), PYTHON
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

parse_arguments "$@"
if ((${#CONFIGS[@]} == 0)); then
  CONFIGS=(
    configs/cityscapes/condinst_R_50.yaml
    configs/cityscapes/boxinst_R_50.yaml
    configs/cityscapes/depthbox_R_50.yaml
    configs/cityscapes/depthbox_Swin_T.yaml
    configs/cityscapes/depthbox_R_50_coco_init.yaml
  )
fi

for config in "${CONFIGS[@]}"; do
  weights="$(output_of configs/coco/depthbox_R_50_3x.yaml)/model_final.pth"
  if [[ "$config" == *_coco_init.yaml && ! -f "$weights" ]] && ! ((LIST)); then
    fail "$config starts from $weights, which does not exist: train configs/coco/depthbox_R_50_3x.yaml first"
  fi
  train "$config"
done
