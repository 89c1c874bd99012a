# Many LabNodes, none of which runs.
step "$many stopped LabNodes"
mkdir "$table.d"
for ((i = 0; i < many; i++)); do
  printf '{"apiVersion":"sandlabx.io/v1alpha1","kind":"LabNode","metadata":{"name":"n%d"},"spec":{"image":"tiny","powerState":"Stopped"}}' "$i" > "$table.d/$i.json"
done
kubectl proxy --port=0 > "$table.proxy" 2>> "$log" &
proxy=$!
until_true 10 grep -q ':[0-9]' "$table.proxy"
port=$(sed -E 's/.*:([0-9]+)$/\1/' "$table.proxy")
t=$(ms)
seq 0 $((many - 1)) | xargs -P 8 -I{} curl -sS -o /dev/null -H 'Content-Type: application/json' --data-binary "@$table.d/{}.json" \
  "http://127.0.0.1:$port/apis/sandlabx.io/v1alpha1/namespaces/$space/labnodes"
created=$(($(ms) - t))
kill $proxy
all_stopped() { (($(k get labnodes -o json | jq '[.items[] | select((.metadata.name | test("^n[0-9]")) and .status.phase == "Stopped" and .status.observedGeneration == .metadata.generation)] | length') == many)); }
until_true 120 all_stopped
reconciled=$(($(ms) - t))
row "$many stopped LabNodes all reconciled, against creating them (8 clients in parallel)" "$(ratio $reconciled $created) × ($reconciled ms, $created ms)" ''

all=$(k get labnodes -o name | wc -l)

step "start of the operator with $many LabNodes"
# A figure of the operator's own, over all labels that fit.
metric() {
  local pod
  pod=$(kubectl -n sandlabx-system get pods -l app.kubernetes.io/name=sandlabx -o jsonpath='{.items[0].metadata.name}')
  kubectl get --raw "/api/v1/namespaces/sandlabx-system/pods/$pod:8080/proxy/metrics" 2>> "$log" | awk -v want="^$1" '$0 ~ want {n += $NF} END {print n + 0}' || true
}
t=$(ms)
kubectl get --raw "/apis/sandlabx.io/v1alpha1/namespaces/$space/labnodes" > "$table.list"
listed=$(($(ms) - t))
run kubectl -n sandlabx-system delete pods -l app.kubernetes.io/name=sandlabx
new_process() { operator=$(node pgrep -f '^/app/SandLabX.Operator' | head -n 1) && [[ -n $operator ]]; }
until_true 60 new_process
t=$(ms)
all_seen() { (($(metric 'controller_runtime_reconcile_total.controller="labnode".*(success|requeue_after)') >= all)); }
until_true 120 all_seen
started=$(($(ms) - t))
requests=$(metric rest_client_requests_total)
row "Start of the operator's process → all $all LabNodes reconciled, against one list of them by a client" "$(ratio $started $listed) × ($started ms, $listed ms)" ''
row "API requests of that start, the lease and the watches among them" "$requests" ''
row "Operator's memory with $many LabNodes, MiB resident" "$(($(node awk '/^VmRSS/ {print $2}' "/proc/$operator/status") / 1024))" ''

step "idle for $idle s"
read -r p0 s0 c0 d0 <<< "$(operator_writes)"
sleep "$idle"
read -r p1 s1 c1 d1 <<< "$(operator_writes)"
row "API writes in $idle idle seconds with $all LabNodes (the lease apart)" "$((p1 - p0 + c1 - c0 + d1 - d0))" 'aim 0'
