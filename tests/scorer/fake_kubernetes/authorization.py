"""Who asks, by the bearer token, and what the Roles and RoleBindings of some manifests let them do."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from tests.scorer.fake_kubernetes.statuses import Body

DEPLOYED = Path(__file__).parents[3] / "deploy/base/scoring/rbac.yaml"

ADMINISTRATOR = "kubernetes-admin"


@dataclass(frozen=True)
class Request:
    """What is asked for, as RBAC sees it."""

    verb: str
    resource: str
    namespace: str
    name: str = ""
    group: str = "batch"


@dataclass(frozen=True)
class Rights:
    """A token for each ServiceAccount that is there, and one for an administrator."""

    manifests: Sequence[Body]
    rotations: int = 0

    @classmethod
    def deployed(cls, namespace: str) -> "Rights":
        """What deploy/base gives, in this namespace, as its kustomization has it."""
        manifests = list(yaml.safe_load_all(DEPLOYED.read_text()))
        for manifest in manifests:
            for placed in (manifest["metadata"], *manifest.get("subjects", [])):
                placed["namespace"] = namespace
        return cls(manifests)

    def rotated(self) -> "Rights":
        """The same under new tokens; the old ones have expired."""
        return replace(self, rotations=self.rotations + 1)

    def token_of(self, account: str) -> str:
        """Raises KeyError for an account that is not there."""
        return {user.rsplit(":", 1)[-1]: token for token, user in self._users().items()}[account]

    def user_of(self, header: str | None) -> str | None:
        """Whose the Authorization header is, None for nobody's."""
        scheme, _, token = (header or "").partition(" ")
        return self._users().get(token) if scheme.lower() == "bearer" else None

    def allow(self, user: str, request: Request) -> bool:
        return user == ADMINISTRATOR or any(
            request.group in rule["apiGroups"]
            and request.resource in rule["resources"]
            and request.verb in rule["verbs"]
            and request.name in (rule.get("resourceNames") or [request.name])
            for rule in self._rules_of(user, request.namespace)
        )

    def granted(self) -> set[tuple[str, str]]:
        """(verb, resource) of every Role."""
        return {
            (verb, resource)
            for role in self._of_kind("Role")
            for rule in role["rules"]
            for resource in rule["resources"]
            for verb in rule["verbs"]
        }

    def _rules_of(self, user: str, namespace: str) -> Iterator[Body]:
        roles = {_place(role): role["rules"] for role in self._of_kind("Role")}
        for binding in self._of_kind("RoleBinding"):
            here = binding["metadata"]["namespace"]
            if here == namespace and user in map(_user, binding["subjects"]):
                yield from roles[here, binding["roleRef"]["name"]]

    def _users(self) -> dict[str, str]:
        accounts = [{"kind": "ServiceAccount", **a["metadata"]} for a in self._of_kind("ServiceAccount")]
        users = [ADMINISTRATOR, *map(_user, accounts)]
        return {f"token-{self.rotations}-of-{user}": user for user in users}

    def _of_kind(self, kind: str) -> list[Body]:
        return [manifest for manifest in self.manifests if manifest["kind"] == kind]


def forbidden(user: str, request: Request) -> str:
    """In the API server's own words."""
    asked = f'cannot {request.verb} resource "{request.resource}" in API group "{request.group}"'
    what = f"{request.resource}.{request.group}".rstrip(".") + (f' "{request.name}"' if request.name else "")
    return f'{what} is forbidden: User "{user}" {asked} in the namespace "{request.namespace}"'


def _place(manifest: Body) -> tuple[str, str]:
    return manifest["metadata"]["namespace"], manifest["metadata"]["name"]


def _user(subject: Body) -> str:
    assert subject["kind"] == "ServiceAccount"
    return f"system:serviceaccount:{subject['namespace']}:{subject['name']}"
