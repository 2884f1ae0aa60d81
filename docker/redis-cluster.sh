# Makes one cluster of redis-1 … redis-6 unless they are one: three masters, each with a replica on another node.
set -euo pipefail
if [ "$(redis-cli -e -h redis-1 cluster info | tr -d '\r' | sed -n 's/^cluster_known_nodes://p')" = 1 ]; then
  nodes=()
  for name in redis-1 redis-2 redis-3 redis-4 redis-5 redis-6; do
    nodes+=("$(getent hosts "$name" | cut -d' ' -f1):6379")
  done
  redis-cli --cluster create "${nodes[@]}" --cluster-replicas 1 --cluster-yes
fi
until redis-cli -e -h redis-1 cluster info | grep -q '^cluster_state:ok'; do sleep 0.2; done
