#!/usr/bin/env bash
# Usage: scripts/reproduce_points.sh [--list] [KEY VALUE...]
#
# Masks from points: for each kind of points and each seed, trains both stages of P2Seg, and measures the masks of the
# training images beside all baselines. The networks of stage B are measured on the validation images. Results are in
# OUTPUT/{kind}_seed{n}.json (masks of the points) and OUTPUT/{kind}_{n}/B (mask AP of the network).
# The same command resumes an interrupted one.
#
#   scripts/reproduce_points.sh                    nuclei of DEPTHBOX_TEST_DATA, on the CPU; hours
#   KINDS=random SEEDS=0 scripts/reproduce_points.sh A.SOLVER.MAX_ITER 300
#   scripts/reproduce_points.sh --list             print the commands without running them
#
# Variables: KINDS (default "random center"), SEEDS (default "0 1 2"), OUTPUT (default output/points),
# POINTS (a file for each kind, with {} for the kind), IMAGES, TRUTH (masks of the same objects), DEPTH (folder, default
# none), VAL_DATA and VAL_IMAGES (images with masks), NUM_GPUS (default 0, the CPU), PYTHON
set -euo pipefail
NUM_GPUS="${NUM_GPUS:-0}"
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

parse_arguments "$@"
if ((${#CONFIGS[@]})); then fail "this script builds its configs from the data: give KEY VALUE, not ${CONFIGS[0]}"; fi
if [[ -z "${POINTS:-}" ]]; then
  [[ -n "${DEPTHBOX_TEST_DATA:-}" ]] || fail "set POINTS, IMAGES and TRUTH, or DEPTHBOX_TEST_DATA"
  nuclei="$DEPTHBOX_TEST_DATA/dsb2018_nuclei128"
  POINTS="$DEPTHBOX_TEST_DATA/points/nuclei128_train_{4}*.json" IMAGES="$nuclei/train" TRUTH="$nuclei/instances_train.json"
  VAL_DATA="${VAL_DATA:-$nuclei/instances_val.json}" VAL_IMAGES="${VAL_IMAGES:-$nuclei/val}"
fi
[[ -n "${IMAGES:-}" && -n "${TRUTH:-}" ]] || fail "POINTS needs IMAGES and TRUTH"

output="${OUTPUT:-output/points}"
if ((NUM_GPUS == 0)); then export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"; fi
options=(--device "$( ((NUM_GPUS > 0)) && echo cuda || echo cpu)")
if ((NUM_GPUS > 1)); then options+=(--num-gpus "$NUM_GPUS"); fi
if [[ -n "${VAL_DATA:-}" ]]; then options+=(--val-data "$VAL_DATA" --val-images "$VAL_IMAGES"); fi
depth=()
if [[ -n "${DEPTH:-}" ]]; then depth=(--depth "$DEPTH"); fi

read -ra kinds <<<"${KINDS:-random center}"
read -ra seeds <<<"${SEEDS:-0 1 2}"
for kind in "${kinds[@]}"; do
  points="${POINTS//\{\}/$kind}"
  if [[ "$points" == *"{4}"* ]]; then # the names of these files are spelled differently after four letters
    points="$(compgen -G "${points//\{4\}/${kind:0:4}}" || true)"
    [[ -n "$points" ]] || fail "DEPTHBOX_TEST_DATA has no points of the kind '$kind'"
  fi
  baselines=() # all of them with the first seed
  for seed in "${seeds[@]}"; do
    folder="$output/${kind}_$seed"
    run "$PYTHON" -m depthbox.cli.main train --data "$points" --images "$IMAGES" "${depth[@]}" "${options[@]}" \
      --split-seed "$seed" --output "$folder" --resume "${OVERRIDES[@]}"
    run "$PYTHON" tools/compare_point_masks.py --json "$points" --images "$IMAGES" --truth "$TRUTH" "${depth[@]}" \
      --labels "P2Seg, seed $seed=$folder/labels.json" --output "$output/${kind}_seed$seed.json" "${baselines[@]}"
    baselines=(--baselines "class map, nearest point")
  done
done
