"""What a container may ask of the kernel."""

import json
import os
from pathlib import Path
from typing import Any

SECCOMP = Path("/usr/share/containers/seccomp.json")


def default_system_calls() -> dict[str, Any] | None:
    """What a container without capabilities may call by default (`RuntimeDefault`), as buildah comes with it.

    Some of its rules hold with a capability only. None where the file is not.
    """
    if not SECCOMP.exists():
        return None
    profile = json.loads(SECCOMP.read_text())
    rules = [rule for rule in profile["syscalls"] if _holds(rule.get("includes") or {})]
    keys = ("names", "action", "args", "errnoRet")
    return {
        "defaultAction": profile["defaultAction"],
        "defaultErrnoRet": profile.get("defaultErrnoRet", 1),
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"],
        "syscalls": [{key: rule[key] for key in keys if rule.get(key) is not None} for rule in rules],
    }


def _holds(includes: dict[str, Any]) -> bool:
    machine = {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]
    return not includes.get("caps") and machine in (includes.get("arches") or [machine])
