"""Pod Security `restricted`, and what pods are to have besides."""

from tests.deploy.manifests import Rendering, Workload
from tests.deploy.quantities import amount


def test_namespace_enforces_restricted(rendering: Rendering) -> None:
    labels = rendering.named("Namespace", "fovea")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_pod_is_restricted(workload: Workload) -> None:
    context = workload.pod["securityContext"]
    assert context["runAsNonRoot"] is True
    assert context["runAsUser"] == context["runAsGroup"] == context["fsGroup"] == 10001
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(workload.pod)


def test_container_is_restricted(workload: Workload) -> None:
    assert workload.container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_container_takes_no_port_of_its_node(workload: Workload) -> None:
    assert not any("hostPort" in port for port in workload.container.get("ports", []))


def test_volumes_are_kinds_that_restricted_allows(workload: Workload) -> None:
    for volume in workload.pod["volumes"]:
        assert set(volume) - {"name"} <= {"emptyDir", "persistentVolumeClaim", "configMap", "secret"}


def test_every_empty_dir_is_bounded(workload: Workload) -> None:
    for volume in workload.pod["volumes"]:
        if "emptyDir" in volume:
            assert amount(volume["emptyDir"]["sizeLimit"]) > 0


def test_empty_dirs_fit_into_the_containers_limits(workload: Workload) -> None:
    limits = workload.container["resources"]["limits"]
    used = {"memory": 0.0, "ephemeral-storage": 0.0}
    for volume in workload.pod["volumes"]:
        if "emptyDir" in volume:
            kind = "memory" if volume["emptyDir"].get("medium") == "Memory" else "ephemeral-storage"
            used[kind] += amount(volume["emptyDir"]["sizeLimit"])
    assert all(used[kind] < amount(limits[kind]) for kind in used)


def test_requests_and_limits_are_stated_and_meet(workload: Workload) -> None:
    resources = workload.container["resources"]
    gpu = {"nvidia.com/gpu"} & set(resources["limits"])
    stated = {"cpu", "memory", "ephemeral-storage"} | gpu
    assert set(resources["requests"]) == set(resources["limits"]) == stated
    for name, request in resources["requests"].items():
        assert 0 < amount(request) <= amount(resources["limits"][name])


def test_service_links_would_be_taken_for_settings(workload: Workload) -> None:
    assert workload.pod["enableServiceLinks"] is False


def test_the_driver_alone_has_a_token_for_the_api_server(workload: Workload) -> None:
    is_driver = workload.container["name"] == "driver"
    assert workload.pod["automountServiceAccountToken"] is is_driver
    assert workload.pod.get("serviceAccountName") == ("fovea-score" if is_driver else None)


def test_an_account_gives_no_token_unless_a_pod_asks_for_it(rendering: Rendering) -> None:
    assert rendering.named("ServiceAccount", "fovea-score")["automountServiceAccountToken"] is False


def test_why_a_pod_ended_is_kept_with_it(workload: Workload) -> None:
    assert workload.container["terminationMessagePolicy"] == "FallbackToLogsOnError"


def test_tmp_can_be_written_to(workload: Workload) -> None:
    assert not workload.mounts["/tmp"]["readOnly"]


def test_training_has_shared_memory(training: Workload) -> None:
    assert training.mounts["/dev/shm"]["emptyDir"]["medium"] == "Memory"
