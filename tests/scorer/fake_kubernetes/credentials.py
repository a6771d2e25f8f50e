"""What a client of the API server is given: a person a kubeconfig, a pod its mounted token."""

import ssl
from pathlib import Path

import yaml

from tests.certificates import Authority, write


def write_kubeconfig(path: Path, server: str, namespace: str, token: str) -> Path:
    context = {"cluster": "test", "user": "test", "namespace": namespace}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "contexts": [{"name": "test", "context": context}],
        "clusters": [{"name": "test", "cluster": {"server": server}}],
        "users": [{"name": "test", "user": {"token": token}}],
    }
    path.write_text(yaml.safe_dump(config))
    return path


def write_mount(folder: Path, authority: bytes, namespace: str, token: str) -> Path:
    """As below /var/run/secrets/kubernetes.io/serviceaccount."""
    folder.mkdir(exist_ok=True)
    (folder / "ca.crt").write_bytes(authority)
    (folder / "namespace").write_text(namespace)
    (folder / "token").write_text(token)
    return folder


def server_context(authority: Authority, folder: Path) -> ssl.SSLContext:
    """Of an API server whose certificate this authority issued."""
    write(folder / "tls", authority, authority.issue("kubernetes"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "tls" / "tls.crt", folder / "tls" / "tls.key")
    return context
