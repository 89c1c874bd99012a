# A guest of 1 GiB: suspended and resumed.
step "suspend and resume, and as many bytes written to the same claim"
k create -f - >> "$log" << EOF
apiVersion: sandlabx.io/v1alpha1
kind: LabNode
metadata: {name: large}
spec: {image: tiny, memory: 1Gi, disk: {size: 3Gi}}
EOF
until_true 120 phase_is large Running
booted large
run k exec labnode-large -- sandlabx-runner console --send 'touchmem 768' --expect OK --timeout 120
# Microseconds a MiB are milliseconds a GiB, but for 2 %.
for i in 1 2 3; do
  t=${EPOCHREALTIME/[.,]/}
  run k exec labnode-large -- dd if=/dev/zero of=/overlays/ballast bs=1M count=768 conv=fsync
  echo $(((${EPOCHREALTIME/[.,]/} - t) / 768)) >> "$table.write"
  run k exec labnode-large -- rm /overlays/ballast
  t=${EPOCHREALTIME/[.,]/}
  power large Suspended
  until_true 120 phase_is large Suspended
  spent=$((${EPOCHREALTIME/[.,]/} - t))
  saved=$(($(k get labnode large -o jsonpath='{.status.savedState.sizeBytes}') / 1048576))
  echo $((spent / saved)) >> "$table.suspend"
  until_true 90 pod_gone labnode-large
  t=${EPOCHREALTIME/[.,]/}
  power large Running
  until_true 120 phase_is large Running
  echo $(((${EPOCHREALTIME/[.,]/} - t) / saved)) >> "$table.resume"
done
a=$(median < "$table.suspend") b=$(median < "$table.resume") c=$(median < "$table.write")
row "Suspend, a GiB of touched memory ($saved MiB saved), against writing and syncing a GiB to the same claim" "$(ratio "$a" "$c") × (medians $((a * 1024 / 1000)) ms, $((c * 1024 / 1000)) ms)" ''
row 'Resume, a GiB, against the same' "$(ratio "$b" "$c") × (median $((b * 1024 / 1000)) ms)" ''
power large Stopped
until_true 120 phase_is large Stopped
run k delete labnode large
