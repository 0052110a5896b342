#!/bin/sh
# One click: every test, then the acceptance scenarios, which write results/results_post.json. A list: each line prints and runs one command.
set -ex
cd "$(dirname "$0")"
if command -v cargo-nextest; then cargo nextest run --workspace --locked; else cargo test --workspace --locked --lib --bins --tests; fi
cargo test --workspace --locked --doc
# The same digests in a release build: the committed ones were just compared by the debug build.
if command -v cargo-nextest; then cargo nextest run --release --locked -p rehearsal-sim determinism::; else cargo test --release --locked -p rehearsal-sim --test it determinism::; fi
cargo run --release --locked -- run scenarios/
# The harness itself: every planted defect is still found, and the clean service raises no alarm.
cargo run --release --locked -- scoreboard --short
