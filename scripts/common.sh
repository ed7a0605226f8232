# Common part of the scripts in this folder, which source it.
#   NUM_GPUS  GPUs of this machine (default 1); 0 = the CPU
#   PYTHON    (default: .venv/bin/python if it exists, else python3)
#   DETECTRON2_DATASETS  folder of the datasets (default: datasets)

SCRIPT="$(cd "$(dirname "$0")" && pwd)/$(basename "$0")"
cd "$(dirname "${BASH_SOURCE[0]}")/.." # all paths are relative to the repository's root
NUM_GPUS="${NUM_GPUS:-1}"
export DETECTRON2_DATASETS="${DETECTRON2_DATASETS:-datasets}"
if [[ -z "${PYTHON:-}" ]]; then
  PYTHON=python3
  if [[ -x .venv/bin/python ]]; then PYTHON=.venv/bin/python; fi
fi

fail() { # message...
  echo "$0: $*" >&2
  exit 2
}

[[ "$NUM_GPUS" =~ ^[0-9]+$ ]] || fail "NUM_GPUS must be a number, got '$NUM_GPUS'"

# Print the comment at the head of the calling script.
show_help() {
  awk 'NR > 1 && !/^#/ { exit } NR > 1 { sub(/^# ?/, ""); print }' "$SCRIPT"
}

if [[ "${1:-}" == -h || "${1:-}" == --help ]]; then # of the script that sources this
  show_help
  exit
fi

# Sort the command line into LIST, CONFIGS (files) and OVERRIDES (KEY VALUE...).
parse_arguments() { # argument...
  LIST=0 CONFIGS=() OVERRIDES=()
  while (($#)); do
    case "$1" in
      --list) LIST=1 ;;
      *.yaml)
        [[ -f "$1" ]] || fail "config not found: $1"
        CONFIGS+=("$1")
        ;;
      -*) fail "unknown option $1; --help lists the options" ;;
      *)
        (($# >= 2)) || fail "settings are pairs KEY VALUE, but '$1' has no value"
        OVERRIDES+=("$1" "$2")
        shift
        ;;
    esac
    shift
  done
}

# Print a command, and run it unless --list was given.
run() { # command...
  printf '+'
  printf ' %q' "$@"
  printf '\n'
  ((LIST)) || "$@"
}

# Print the output folder of a config: its path with output/ for configs/ and without suffix.
output_of() { # config
  local name="${1#configs/}"
  echo "output/${name%.yaml}"
}

# Call tools/train_net.py on all GPUs, or on the CPU.
train_net() { # config, argument...
  local config="$1" device=()
  shift
  if ((NUM_GPUS == 0)); then device=(MODEL.DEVICE cpu); fi
  run "$PYTHON" tools/train_net.py --config-file "$config" --num-gpus "$((NUM_GPUS > 0 ? NUM_GPUS : 1))" "$@" \
    "${OVERRIDES[@]}" "${device[@]}"
}

# Train a config; a stopped run is resumed.
train() { # config
  train_net "$1" --resume
}
