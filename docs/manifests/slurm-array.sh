#!/bin/sh
# 16 shards of 100,000 seeds: sbatch docs/manifests/slurm-array.sh
# Then: rehearsal merge results/shard-*/explore.json
#SBATCH --job-name=rehearsal-explore
#SBATCH --array=1-16
#SBATCH --cpus-per-task=4
#SBATCH --time=02:00:00
exec rehearsal explore scenarios/ --seeds 100000 --shard auto \
  --jobs "$SLURM_CPUS_PER_TASK" --out "results/shard-$SLURM_ARRAY_TASK_ID"
