#!/usr/bin/env bash
# Usage: scripts/reproduce_table1.sh [--list] [CONFIG...] [KEY VALUE...]
#
# Trains the rows of Table 1 (COCO) one after the other, by default all, and writes the zip file of each row for COCO's
# test-dev server: output/coco/<config>/detections_test-dev2017_depthbox_results.zip. The same command resumes an
# interrupted one. docs/reproduce.md lists the config of each row.
#
#   NUM_GPUS=8 scripts/reproduce_table1.sh
#   NUM_GPUS=8 scripts/reproduce_table1.sh configs/coco/depthbox_R_50_3x.yaml
#   NUM_GPUS=1 scripts/reproduce_table1.sh SOLVER.ACCUMULATION_STEPS 8      the same batch on one GPU, in parts
#   scripts/reproduce_table1.sh --list                                      print the commands without running them
#
# Requires COCO 2017 (train, val, test2017 and image_info_test-dev2017.json) and, for the rows of depthbox,
# scripts/prepare_coco_depth.sh. TEST_DEV=0 skips test-dev, so that AP is measured on val2017 alone.
#
# Variables: NUM_GPUS (default 1; 0 = the CPU), TEST_DEV (default 1), DETECTRON2_DATASETS, PYTHON
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

parse_arguments "$@"
if ((${#CONFIGS[@]} == 0)); then
  CONFIGS=(
    configs/coco/condinst_R_50_3x.yaml
    configs/coco/condinst_R_101_3x.yaml
    configs/coco/boxinst_R_50_3x.yaml
    configs/coco/depthbox_R_50_3x.yaml
    configs/coco/boxinst_R_101_1x.yaml
    configs/coco/depthbox_R_101_1x.yaml
    configs/coco/boxinst_R_101_3x.yaml
    configs/coco/depthbox_R_101_3x.yaml
    configs/coco/boxinst_R_101_DCN_3x.yaml
    configs/coco/depthbox_R_101_DCN_3x.yaml
    configs/coco/depthbox_Swin_B_1x.yaml
    configs/coco/depthbox_Swin_B_1x_iou.yaml
    configs/coco/depthbox_Swin_B_3x.yaml
    configs/coco/depthbox_Swin_B_3x_iou.yaml
  )
fi

test_info="$DETECTRON2_DATASETS/coco/annotations/image_info_test-dev2017.json"
if [[ "${TEST_DEV:-1}" != 0 ]] && ! ((LIST)) && [[ ! -f "$test_info" ]]; then
  fail "file not found: $test_info; download COCO's test images and info, or set TEST_DEV=0"
fi
for config in "${CONFIGS[@]}"; do
  output="$(output_of "$config")"
  train "$config"
  if [[ "${TEST_DEV:-1}" != 0 ]]; then
    train_net "$config" --eval-only DATASETS.TEST "('coco_2017_test-dev',)" MODEL.WEIGHTS "$output/model_final.pth"
    run "$PYTHON" tools/coco_test_dev.py --info "$test_info" --output "$output" \
      "$output/inference/coco_2017_test-dev/coco_instances_results.json"
  fi
done
