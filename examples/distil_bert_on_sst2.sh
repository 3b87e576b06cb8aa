#!/usr/bin/env bash
# Distill BERT-base into DistilBERT on SST-2, all from the Hugging Face hub. Needs a network, and a GPU for a short wait.
# Arguments are further overrides, e.g. optim.epochs=1 or seed=2.
set -euo pipefail
kdrun=${KDRUN:-kdrun}   # from a clone: KDRUN=scripts/kdrun

"$kdrun" method=kd task=sst2 preset=paper_bert optim.epochs=3 run_dir=outputs/distil_bert "$@"
