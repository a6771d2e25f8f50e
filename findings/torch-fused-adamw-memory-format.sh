#!/usr/bin/env bash
# package: torch 2.14.1 (CPU)
# behaviour: AdamW(fused=True) on a CPU goes through weight and moments in the order of memory. After load_state_dict the
#   moments keep the memory format that they were saved with: where the weights have another now (saved with
#   channels_last, gone on with without), each weight is moved by another one's moments. Nothing is said; without
#   fused=True it is right.
# output:
#   fused: moved wrongly by more than 0.1
#   not fused: equal
# date: 2026-11-29
set -euo pipefail
export PIP_DISABLE_PIP_VERSION_CHECK=1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

cat > resume.py <<'PYTHON'
import torch


def after_three_steps(format_at_the_end, fused):
    torch.manual_seed(0)
    weight, gradients = torch.randn(4, 3, 5, 5), torch.randn(3, 4, 3, 5, 5)
    optimizer = None
    for gradient, memory_format in zip(gradients, (torch.channels_last, torch.channels_last, format_at_the_end)):
        parameter = torch.nn.Parameter(weight.clone(memory_format=memory_format))
        resumed = torch.optim.AdamW([parameter], lr=0.1, fused=fused)
        if optimizer is not None:
            resumed.load_state_dict(optimizer.state_dict())
        optimizer = resumed
        parameter.grad = gradient.clone(memory_format=memory_format)
        optimizer.step()
        weight = parameter.detach()
    return weight


for fused in (True, False):
    ends = [after_three_steps(last, fused) for last in (torch.channels_last, torch.contiguous_format)]
    off = (ends[0] - ends[1]).abs().max().item()
    said = "equal" if off < 1e-6 else "moved wrongly by more than 0.1" if off > 0.1 else f"off by {off:.2g}"
    print(f"{'fused' if fused else 'not fused'}: {said}")
PYTHON

python3 -m venv venv
venv/bin/pip install -q torch==2.14.1 numpy 2>/dev/null
venv/bin/python resume.py | tee seen
cat > expected <<'TEXT'
fused: moved wrongly by more than 0.1
not fused: equal
TEXT
diff expected seen || { echo "the behaviour changed"; exit 1; }
