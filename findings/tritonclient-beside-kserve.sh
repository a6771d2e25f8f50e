#!/usr/bin/env bash
# package: tritonclient 2.73.0 and kserve 0.21.0, protobuf 6.33.6, grpcio 1.81.1
# behaviour: both are clients of the Open Inference Protocol, and pip installs them side by side; but whichever is imported second
#   fails, as each registers the messages of the package `inference` from a file of its own name (grpc_service.proto, grpc_predict_v2.proto).
# output:
#   tritonclient.grpc, then kserve: TypeError: Couldn't build proto file into descriptor pool: duplicate symbol 'inference.ServerLiveRequest'
#   kserve, then tritonclient.grpc: TypeError: Couldn't build proto file into descriptor pool: duplicate symbol 'inference.ServerLiveRequest'
# date: 2026-11-29
set -euo pipefail
export PIP_DISABLE_PIP_VERSION_CHECK=1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

python3 -m venv venv
venv/bin/pip install -q tritonclient[grpc]==2.73.0 kserve==0.21.0 protobuf==6.33.6 grpcio==1.81.1 2>/dev/null

seen=0
for pair in "tritonclient.grpc kserve" "kserve tritonclient.grpc"; do
    read -r first second <<< "$pair"
    venv/bin/python -c "import $first"
    said=$(venv/bin/python -c "import $first, $second" 2>&1 | tail -n 1 || true)
    echo "$first, then $second: $said"
    [[ "$said" == *"duplicate symbol 'inference.ServerLiveRequest'"* ]] && seen=$((seen + 1))
done
((seen == 2)) || { echo "the behaviour changed"; exit 1; }
