#!/bin/sh
# The same as run_tests.sh, then the shadow replay of the sample hour (results/replay.json, results/compare_report.md) and the aggregated
# figures of both (results/metrics.json).
set -ex
cd "$(dirname "$0")"
./run_tests.sh
cargo run --release --locked -- replay scenarios/captures/legacy-hour.jsonl.gz --legacy sim --candidate sim
cargo run --release --locked -- metrics --replay results/replay.json
