# A guest: its first start, its memory, its starts after that, its wipes.
step "writes of a first start"
events() { k get events -o json | jq '[.items[] | select(.involvedObject.kind == "LabNode")] | length'; }
read -r p0 s0 c0 d0 <<< "$(operator_writes)"
k create -f - >> "$log" << EOF
apiVersion: sandlabx.io/v1alpha1
kind: LabNode
metadata: {name: one}
spec: {image: tiny, memory: 256Mi, gracePeriodSeconds: 10}
EOF
until_true 120 phase_is one Running
sleep 3   # for what may follow
read -r p1 s1 c1 d1 <<< "$(operator_writes)"
first=$((p1 - p0 + c1 - c0 + d1 - d0 + $(events)))
row 'API writes of a first start, all / of them status' "$first / $((s1 - s0))" 'aim ≤ 6 / ≤ 3'

step "memory"
booted one
run k exec labnode-one -- sandlabx-runner console --send 'touchmem 160' --expect OK --timeout 60
qemu=$(node pgrep -f '^qemu-system.*guest=sandlabx-bench/one' | head -n 1)
runner=$(node sh -c "awk '/^PPid/ {print \$2}' /proc/$qemu/status")
runner_kib=$(node awk '/^VmRSS/ {print $2}' "/proc/$runner/status")
total_kib=$(node awk '/^Pss:/ {n += $2} END {print n}' "/proc/$qemu/smaps_rollup" "/proc/$runner/smaps_rollup")
# The guest's memory is the one mapping of just its size.
guest_kib=$(node awk '/^[0-9a-f]+-[0-9a-f]+ / {size = 0} /^Size:/ {size = $2} /^Rss:/ && size == 262144 {n += $2} END {print n + 0}' "/proc/$qemu/smaps")
row "Memory of the runner, MiB resident" "$((runner_kib / 1024))" 'aim ≤ 20'
row 'All that the pod uses beyond the guest, MiB (1 CPU)' "$(((total_kib - guest_kib) / 1024))" 'aim ≤ 90; KubeVirt reckons 290 for 1 GiB'

# The stream never ends by itself; its first line is the present state.
bare_runs() {
  state=$(kubectl get --raw "/api/v1/namespaces/$space/pods/bare:7070/proxy/v1/events" --request-timeout=2s 2>> "$log" | head -n 1) || true
  [[ $state == *guestRunning* ]]
}

step "start of a LabNode against a bare pod on the same claim, $pairs pairs"
k get pod labnode-one -o json | jq '{apiVersion, kind, metadata: {name: "bare"}, spec: (.spec | del(.nodeName, .tolerations, .serviceAccount, .serviceAccountName))}' > "$table.pod"
power one Stopped
until_true 60 phase_is one Stopped
for ((i = 0; i < pairs; i++)); do
  t=$(ms)
  power one Running
  until_true 60 phase_is one Running
  echo $(($(time_ms "$(k get labnode one -o jsonpath='{.status.timeline.guestRunning}')") - t)) >> "$table.node"
  power one Stopped
  until_true 60 phase_is one Stopped
  until_true 60 pod_gone labnode-one
  t=$(ms)
  k create -f "$table.pod" >> "$log"
  until_true 60 bare_runs
  echo $(($(time_ms "$(jq -r .timeline.guestRunning <<< "$state")") - t)) >> "$table.bare"
  k delete pod bare --grace-period=1 >> "$log"
  until_true 60 pod_gone bare
done
a=$(median < "$table.node") b=$(median < "$table.bare")
row 'Apply → first instruction, against a bare pod on the same claim' "$(ratio "$a" "$b") × (medians $a ms, $b ms)" 'aim ≤ 1.15'

step "restart and wipe"
until_true 60 pod_gone bare
power one Running
until_true 60 phase_is one Running
patched() { k patch labnode one --type merge -p "$1" >> "$log"; }
status_is() { [[ $(k get labnode one -o jsonpath="$1" 2>> "$log") == "$2" ]]; }
for ((i = 0; i < pairs; i++)); do
  booted one
  t=$(ms)
  patched "{\"spec\":{\"restartRevision\":\"$i\"}}"
  until_true 90 status_is '{.status.restartRevision} {.status.phase}' "$i Running"
  echo $(($(ms) - t)) >> "$table.restart"
  booted one
  t=$(ms)
  patched "{\"spec\":{\"disk\":{\"revision\":\"$i\"}}}"
  until_true 90 status_is '{.status.disk.revision} {.status.phase}' "$i Running"
  echo $(($(ms) - t)) >> "$table.wipe"
done
a=$(median < "$table.wipe") b=$(median < "$table.restart")
row 'Wipe of a guest that runs, against its restart' "$(ratio "$a" "$b") × (medians $a ms, $b ms)" 'aim < 1 s more'
booted one
run k exec labnode-one -- sandlabx-runner console --send 'fill 128' --expect OK --timeout 120
t=$(ms)
patched '{"spec":{"disk":{"revision":"full"}}}'
until_true 90 status_is '{.status.disk.revision} {.status.phase}' 'full Running'
row 'Wipe of a disk with 128 MiB written, against those of empty ones' "$(ratio $(($(ms) - t)) "$a") ×" 'aim 1: constant, whatever the disk'
power one Stopped
until_true 60 phase_is one Stopped
