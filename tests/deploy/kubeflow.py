"""What Kubeflow Trainer makes of a TrainJob and its runtime, as its plugins do (2.0 to 2.3)."""

import copy
from typing import Any, Final

PORT: Final = 29500
TRAINER: Final = ("trainer.kubeflow.org/trainjob-ancestor-step", "trainer")
INDEX: Final = "metadata.annotations['batch.kubernetes.io/job-completion-index']"

Body = dict[str, Any]


def job_of(runtime: Body, train_job: Body, name: str) -> Body:
    """The spec of the TrainJob's Indexed Job, NAME-node-0; its headless Service is NAME."""
    (replicated,) = runtime["spec"]["template"]["spec"]["replicatedJobs"]
    assert TRAINER in replicated["template"]["metadata"]["labels"].items()
    trainer = train_job["spec"]["trainer"]
    job: Body = copy.deepcopy(replicated["template"]["spec"])
    (container,) = job["template"]["spec"]["containers"]
    assert replicated["name"] == container["name"] == "node", "the plugins know them by this name"
    container["env"] += trainer.get("env", [])
    container["env"] += _variables(name, trainer["numNodes"], trainer.get("numProcPerNode", "auto"))
    return job | {"completions": trainer["numNodes"], "parallelism": trainer["numNodes"]}


def _variables(name: str, nodes: int, per_node: int | str) -> list[Body]:
    values = {
        "PET_NNODES": str(nodes),
        "PET_NPROC_PER_NODE": str(per_node),
        "PET_MASTER_ADDR": f"{name}-node-0-0.{name}",
        "PET_MASTER_PORT": str(PORT),
    }
    rank = {"name": "PET_NODE_RANK", "valueFrom": {"fieldRef": {"fieldPath": INDEX}}}
    return [*({"name": key, "value": value} for key, value in values.items()), rank]
