"""Which ways the network policies leave open, from and to which pods."""

from collections.abc import Iterator

from server.config import HTTP_PORT, METRICS_PORT, PORT
from tests.deploy.manifests import Manifest, Rendering, Workload, is_training

Hole = tuple[str, int, str]
"""Protocol, port, and who may be at the other end."""

ANYWHERE = "anywhere"
ANY_POD = "a pod of {}"
COLLECTOR = "a pod of {'kubernetes.io/metadata.name': 'observability'}"
MONITORING = "a pod of {'kubernetes.io/metadata.name': 'monitoring'}"
SERVERS = "pods {'app.kubernetes.io/name': 'fovea-serve'}"
RANKS = "pods {'app.kubernetes.io/name': 'fovea-train'}"

ANY_PORT: Manifest = {"protocol": "any", "port": 0}

API_SERVERS = {443, 6443, 8443, 16443}
"""Where they listen: managed clusters; kubeadm, kind, k3s, OpenShift; minikube; MicroK8s."""


def test_nothing_is_let_through_by_default(rendering: Rendering) -> None:
    policy = rendering.named("NetworkPolicy", "default-deny")["spec"]
    assert policy == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_every_pod_reaches_dns_and_buckets_and_the_driver_the_api_server_and_servers(
    workload: Workload,
) -> None:
    expected = {("UDP", 53, ANYWHERE), ("TCP", 53, ANYWHERE), ("TCP", 443, ANYWHERE)}
    if workload.container["name"] == "driver":
        expected |= {("TCP", port, ANYWHERE) for port in API_SERVERS} | {("TCP", PORT, SERVERS)}
    if "tracing" in workload.components:
        expected |= {("TCP", 4317, COLLECTOR), ("TCP", 4318, COLLECTOR)}
    assert set(holes("egress", workload)) == expected | between_ranks(workload)


def test_callers_and_prometheus_reach_the_server_alone(workload: Workload) -> None:
    expected = {("TCP", PORT, ANY_POD), ("TCP", HTTP_PORT, ANY_POD), ("TCP", METRICS_PORT, MONITORING)}
    is_server = workload.container["name"] == "server"
    assert set(holes("ingress", workload)) == (expected if is_server else between_ranks(workload))


def between_ranks(workload: Workload) -> set[Hole]:
    """Where they meet is one port; where gloo and NCCL listen is for the system to choose."""
    has_ranks = {"multi-node-train", "kubeflow"} & set(workload.components)
    return {("any", 0, RANKS)} if has_ranks and is_training(workload) else set()


def holes(direction: str, workload: Workload) -> Iterator[Hole]:
    """What the policies let through to or from the workload's pods."""
    for policy in (policy["spec"] for policy in workload.rendering.of_kind("NetworkPolicy")):
        assert set(policy["podSelector"]) <= {"matchLabels"}
        chosen = policy["podSelector"].get("matchLabels", {}).items() <= workload.labels.items()
        if chosen and direction.capitalize() in policy["policyTypes"]:
            for rule in policy.get(direction, []):
                for peer in _peers(rule):
                    yield from _holes_to(peer, rule)


def _holes_to(peer: str, rule: Manifest) -> Iterator[Hole]:
    for port in rule.get("ports", [ANY_PORT]):
        yield port["protocol"], port["port"], peer


def _peers(rule: Manifest) -> list[str]:
    given = rule.get("from", []) + rule.get("to", [])
    return [_peer(**peer) for peer in given] or [ANYWHERE]


def _peer(podSelector: Manifest | None = None, namespaceSelector: Manifest | None = None) -> str:  # noqa: N803
    """Of the fields of a NetworkPolicyPeer, those that are in use here, one at a time."""
    (selector,) = [one for one in (podSelector, namespaceSelector) if one is not None]
    labels = selector.get("matchLabels", {})
    assert selector in ({}, {"matchLabels": labels})
    return f"{'pods' if namespaceSelector is None else 'a pod of'} {labels}"
