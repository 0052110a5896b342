#!/usr/bin/env bash
# TCP echo without idle time on three simulators in one run: ours, turmoil, madsim. Prints echoes a second and the ratios.
# Needs the package registry once: madsim replaces tokio by a build flag, so it is a crate of its own outside the workspace.
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TERM_QUIET=true
cargo bench -p rehearsal-sim --bench echo >/dev/null
rate() { # median seconds of 16,000 echoes, as criterion keeps it, turned into echoes a second
  sed -E 's/.*"median":\{[^}]*\},?"point_estimate":([0-9.e+]+).*/\1/; s/.*"median":\{"confidence_interval":\{[^}]*\},"point_estimate":([0-9.e+]+).*/\1/' \
    "target/criterion/echo/$1/16000/new/estimates.json" | awk '{ printf "%.0f", 16000 / ($1 / 1e9) }'
}
pipes=$(rate pipes) turmoil=$(rate turmoil)
madsim=$(cd bench/madsim && cargo run --release -- 16000 11)
printf '%-8s %12s %s\n' engine echoes/s 'pipes is this many times as fast'
printf '%-8s %12s\n' pipes "$pipes"
awk -v p="$pipes" -v t="$turmoil" -v m="$madsim" 'BEGIN { printf "%-8s %12d %.2f\n%-8s %12d %.2f\n", "turmoil", t, p / t, "madsim", m, p / m }'
