"""What one manifest says of another is there."""

import pytest

from tests.deploy.manifests import Manifest, Rendering, Workload


def test_config_maps_are_there(workload: Workload) -> None:
    names = [source["configMapRef"]["name"] for source in _sources(workload) if "configMapRef" in source]
    assert names or workload.manifest["kind"] == "Job"  # job.yaml has its values itself
    assert all(workload.rendering.named("ConfigMap", name)["data"] for name in names)


def test_secrets_are_read_only_where_they_exist(workload: Workload) -> None:
    secrets = [source["secretRef"] for source in _sources(workload) if "secretRef" in source]
    assert secrets == [{"name": "fovea-bucket", "optional": True}]


def test_no_secret_is_in_the_manifests(rendering: Rendering) -> None:
    assert not rendering.of_kind("Secret")


def test_secrets_that_are_mounted_are_those_of_a_component(workload: Workload) -> None:
    mounted = [volume["secret"]["secretName"] for volume in workload.pod["volumes"] if "secret" in volume]
    of_tls = {"server": ["fovea-tls"], "driver": ["fovea-tls", "fovea-tls-client"]}
    expected = of_tls.get(workload.container["name"], []) if "tls" in workload.components else []
    assert mounted == expected


def test_volumes_and_mounts_are_the_same(workload: Workload) -> None:
    volumes = sorted(volume["name"] for volume in workload.pod["volumes"])
    assert volumes == sorted(mount["name"] for mount in workload.container["volumeMounts"])


def test_claims_are_there(workload: Workload) -> None:
    for volume in workload.pod["volumes"]:
        if "persistentVolumeClaim" in volume:
            assert workload.rendering.named(
                "PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]
            )


def test_deployment_selects_its_own_pods_alone(workload: Workload) -> None:
    deployment = workload.rendering.named("Deployment", "fovea-serve")
    selected = _selects(deployment["spec"]["selector"]["matchLabels"], workload)
    assert selected == (workload.container["name"] == "server")


@pytest.mark.parametrize("name", ["fovea-serve", "fovea-serve-headless"])
def test_service_selects_the_servers_alone(name: str, workload: Workload) -> None:
    selected = _selects(workload.rendering.named("Service", name)["spec"]["selector"], workload)
    assert selected == (workload.container["name"] == "server")


def test_services_lead_to_named_ports(rendering: Rendering) -> None:
    for service in rendering.of_kind("Service"):
        name = service["spec"]["selector"]["app.kubernetes.io/name"]
        if name == "fovea-train" and rendering.composition.folders == ("base",):
            continue  # there is a Service for what is not there
        ports = {port["name"]: port["containerPort"] for port in rendering.pods(name).container["ports"]}
        for port in service["spec"]["ports"]:
            assert ports[port["targetPort"]] == port["port"]


def test_client_can_find_every_pod(rendering: Rendering) -> None:
    assert rendering.named("Service", "fovea-serve-headless")["spec"]["clusterIP"] == "None"


def test_disruption_budget_holds_the_servers_alone(workload: Workload) -> None:
    (budget,) = workload.rendering.of_kind("PodDisruptionBudget")
    selected = _selects(budget["spec"]["selector"]["matchLabels"], workload)
    assert selected == (workload.container["name"] == "server")


def test_autoscaler_owns_the_deployments_replicas(serving: Workload) -> None:
    for autoscaler in serving.rendering.of_kind("HorizontalPodAutoscaler"):
        assert autoscaler["spec"]["scaleTargetRef"] == {
            "apiVersion": serving.manifest["apiVersion"],
            "kind": serving.manifest["kind"],
            "name": serving.manifest["metadata"]["name"],
        }
        assert 1 <= autoscaler["spec"]["minReplicas"] <= autoscaler["spec"]["maxReplicas"]
    assert "replicas" not in serving.manifest["spec"]


def test_disruption_budget_lets_a_drain_go_on(rendering: Rendering) -> None:
    (budget,) = rendering.of_kind("PodDisruptionBudget")
    assert budget["spec"]["maxUnavailable"] > 0
    # Else a pod that never was ready is waited for.
    assert budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


def test_disruption_budget_leaves_a_server_where_there_are_more(rendering: Rendering) -> None:
    (budget,) = rendering.of_kind("PodDisruptionBudget")
    for autoscaler in rendering.of_kind("HorizontalPodAutoscaler"):
        fewest = autoscaler["spec"]["minReplicas"]
        assert fewest == 1 or budget["spec"]["maxUnavailable"] < fewest


def test_without_an_accelerator_there_are_two_servers_at_least_but_on_a_laptop(rendering: Rendering) -> None:
    if "gpu" not in rendering.composition.components and rendering.composition.overlay != "local-cpu":
        (autoscaler,) = rendering.of_kind("HorizontalPodAutoscaler")
        assert autoscaler["spec"]["minReplicas"] >= 2


def test_spread_constraints_count_the_servers(serving: Workload) -> None:
    for constraint in serving.pod["topologySpreadConstraints"]:
        assert _selects(constraint["labelSelector"]["matchLabels"], serving)
        # Else a rollout would be spread against the old pods.
        assert constraint["matchLabelKeys"] == ["pod-template-hash"]


def test_accounts_are_there_and_have_their_role(rendering: Rendering) -> None:
    (binding,) = rendering.of_kind("RoleBinding")
    (subject,) = binding["subjects"]
    account = rendering.named("ServiceAccount", "fovea-score")["metadata"]
    assert subject == {"kind": "ServiceAccount", "name": account["name"], "namespace": account["namespace"]}
    assert rendering.named(binding["roleRef"]["kind"], binding["roleRef"]["name"])


def test_accounts_of_pods_are_there(workload: Workload) -> None:
    if "serviceAccountName" in workload.pod:
        assert workload.rendering.named("ServiceAccount", workload.pod["serviceAccountName"])


def test_the_role_is_what_the_driver_needs(rendering: Rendering) -> None:
    (role,) = rendering.of_kind("Role")
    assert not rendering.of_kind("ClusterRole")
    jobs, template, pods = role["rules"]
    assert pods == {"apiGroups": [""], "resources": ["pods", "events"], "verbs": ["list"]}
    assert jobs == {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["create", "list", "watch"]}
    assert template == {
        "apiGroups": ["batch"],
        "resources": ["cronjobs"],
        "resourceNames": [rendering.pods("fovea-score-work").manifest["metadata"]["name"]],
        "verbs": ["get"],
    }


def _sources(workload: Workload) -> list[Manifest]:
    sources: list[Manifest] = workload.container["envFrom"]
    return sources


def _selects(selector: dict[str, str], workload: Workload) -> bool:
    assert selector
    return selector.items() <= workload.labels.items()
