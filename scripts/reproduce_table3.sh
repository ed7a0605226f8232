#!/usr/bin/env bash
# Usage: scripts/reproduce_table3.sh [--list] [CONFIG...] [KEY VALUE...]
#
# Trains the rows of Table 3 (ablations on COCO val2017, R-50, 1x), one run per GPU, and collects their AP in
# output/ablations/ablation.md, .json and .png. The same command resumes an interrupted one.
#
#   NUM_GPUS=8 scripts/reproduce_table3.sh
#   NUM_GPUS=8 SEEDS="0 1 2" scripts/reproduce_table3.sh
#   scripts/reproduce_table3.sh configs/ablations/boxinst.yaml configs/ablations/full.yaml
#   scripts/reproduce_table3.sh --list                                      print the commands without running them
#
# By default 11 runs. tau_d_0.5 and gamma_0 are omitted, because they are equal to cons_depth; gamma_4 is equal to full.
# Requires COCO 2017 and scripts/prepare_coco_depth.sh. A batch of 16 is computed on one GPU in ACCUMULATION parts.
#
# Variables: NUM_GPUS (default 1; 0 = the CPU), SEEDS (default "0"), ACCUMULATION (default 4), DETECTRON2_DATASETS,
# PYTHON
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

parse_arguments "$@"
if ((${#CONFIGS[@]} == 0)); then
  CONFIGS=(
    configs/ablations/boxinst.yaml
    configs/ablations/cons.yaml
    configs/ablations/depth.yaml
    configs/ablations/cons_depth.yaml
    configs/ablations/distill_same_size.yaml
    configs/ablations/distill_larger.yaml
    configs/ablations/full.yaml
    configs/ablations/tau_d_0.3.yaml
    configs/ablations/tau_d_0.7.yaml
    configs/ablations/gamma_1.yaml
    configs/ablations/gamma_2.yaml
  )
fi

options=(--devices cpu)
if ((LIST)); then
  options=(--list)
elif ((NUM_GPUS > 0)); then
  options=(--devices)
  for ((gpu = 0; gpu < NUM_GPUS; gpu++)); do options+=("cuda:$gpu"); done
fi
LIST=0 # the tool prints the list itself
read -ra seeds <<<"${SEEDS:-0}"
run "$PYTHON" tools/ablate.py "${CONFIGS[@]}" --output output/ablations --seeds "${seeds[@]}" "${options[@]}" \
  SOLVER.ACCUMULATION_STEPS "${ACCUMULATION:-4}" "${OVERRIDES[@]}"
