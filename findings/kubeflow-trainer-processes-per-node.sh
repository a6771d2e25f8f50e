#!/usr/bin/env bash
# package: kubeflow-trainer-api 2.3.0, beside 2.2.0
# behaviour: A TrainingRuntime of trainer.kubeflow.org/v1alpha1 that says how many processes a node has
#   (mlPolicy.torch.numProcPerNode) is a valid one for 2.2. The models of 2.3 read it, of the same API version, without a
#   word, and are without the number: Kubeflow then says "auto", or what the container's resources come to. A TrainJob's
#   own trainer.numProcPerNode is in both.
# output:
#   2.2.0: runtime {'numProcPerNode': 4}, TrainJob 4
#   2.3.0: runtime {}, TrainJob 4
# date: 2026-11-29
set -euo pipefail
export PIP_DISABLE_PIP_VERSION_CHECK=1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

cat > read.py <<'PYTHON'
from importlib.metadata import version

from kubeflow_trainer_api import models

common = {"apiVersion": "trainer.kubeflow.org/v1alpha1", "metadata": {"name": "a"}}
runtime = models.TrainerV1alpha1TrainingRuntime.from_dict(
    {**common, "kind": "TrainingRuntime", "spec": {"mlPolicy": {"numNodes": 2, "torch": {"numProcPerNode": 4}}}}
)
job = models.TrainerV1alpha1TrainJob.from_dict(
    {**common, "kind": "TrainJob", "spec": {"runtimeRef": {"name": "a"}, "trainer": {"numProcPerNode": 4}}}
)
torch, trainer = runtime.to_dict()["spec"]["mlPolicy"]["torch"], job.to_dict()["spec"]["trainer"]
print(f"{version('kubeflow-trainer-api')}: runtime {torch}, TrainJob {trainer['numProcPerNode']}")
PYTHON

for version in 2.2.0 2.3.0; do
  python3 -m venv "$version"
  "$version/bin/pip" install -q "kubeflow-trainer-api==$version" 2>/dev/null
  "$version/bin/python" read.py
done | tee seen
cat > expected <<'TEXT'
2.2.0: runtime {'numProcPerNode': 4}, TrainJob 4
2.3.0: runtime {}, TrainJob 4
TEXT
diff expected seen || { echo "the behaviour changed"; exit 1; }
