# An old installation is moved in, by each way there is.
step "moving in, against cp of the same bytes"
"$repo/eng/cli"
# Where the volumes of the local cluster lie as well; the node sees it as /state.
home=$(dirname "$("$repo/eng/cluster/cluster" kubeconfig)")
old=$(mktemp -d "$home/bench.XXXXXX")
chmod 755 "$old"   # the pods are not root
mkdir "$old"/{images,overlays,state,copy}
# cp writes to what the disks are moved to: a file system in a file, as the local cluster's volumes are.
truncate -s 20G "$old/volume"
run mkfs.ext4 -q -m 0 -E lazy_itable_init=1,lazy_journal_init=1,nodiscard "$old/volume"
run mount -o loop,noatime,discard "$old/volume" "$old/copy"
run qemu-img create -q -f qcow2 "$old/images/debian-13.qcow2" 9G
run qemu-io -f qcow2 -c 'write -P 17 0 64M' "$old/images/debian-13.qcow2"
overlay() { echo "$old/overlays/node_0b0b0b0b-0000-4000-8000-00000000000$1.qcow2"; }
# old_disks <count> <GiB>: so many disks with so much noise each, and the state that names them.
old_disks() {
  local i nodes=()
  rm -f "$old"/overlays/*
  run qemu-img create -q -f qcow2 -b "$old/images/debian-13.qcow2" -F qcow2 "$(overlay 1)"
  for ((i = 0; i < $2; i++)); do
    head -c 1G /dev/urandom > "$old/noise"
    run qemu-io -f qcow2 -c "write -s $old/noise ${i}G 1G" "$(overlay 1)"
    rm "$old/noise"
  done
  for ((i = 1; i <= $1; i++)); do
    [[ -e $(overlay $i) ]] || cp "$(overlay 1)" "$(overlay $i)"
    nodes+=("{\"id\": \"0b0b0b0b-0000-4000-8000-00000000000$i\", \"name\": \"moved$i\", \"osType\": \"debian\", \"resources\": {\"ram\": 128, \"cpus\": 1}}")
  done
  printf '{"version": "1.0.0", "nodes": [%s]}\n' "$(IFS=,; echo "${nodes[*]}")" > "$old/state/nodes-state.json"
  sync "$old"/*/*
}
is_bound() { [[ $(kubectl -n "$1" get pvc old -o 'jsonpath={.status.phase}') == Bound ]]; }
# old_claim <namespace>: makes it, and in it the claim "old", which is the old installation's folder.
old_claim() {
  run kubectl create namespace "$1"
  kubectl apply -f - >> "$log" << EOF
apiVersion: v1
kind: PersistentVolume
metadata: {name: $1}
spec:
  capacity: {storage: 80Gi}
  accessModes: [ReadOnlyMany]
  persistentVolumeReclaimPolicy: Retain
  storageClassName: ""
  claimRef: {namespace: $1, name: old}
  local: {path: "/state/$(basename "$old")"}
  nodeAffinity: {required: {nodeSelectorTerms: [{matchExpressions: [{key: kubernetes.io/os, operator: In, values: [linux]}]}]}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: old, namespace: $1}
spec: {accessModes: [ReadOnlyMany], storageClassName: "", volumeName: $1, resources: {requests: {storage: 80Gi}}}
EOF
  # Who moves has it bound long since: a pod that finds it unbound waits for the scheduler's next round.
  until_true 60 is_bound "$1"
}
move_in() {   # <what> <of what> <namespace> [option…]: its row; cp is measured just before it, as the disk is then
  local what=$1 of=$2 copied moved
  t=$(ms)
  cp --reflink=never "$old"/images/* "$old"/overlays/* "$old/copy"
  sync "$old"/copy/*.qcow2
  copied=$(($(ms) - t))
  rm "$old"/copy/*.qcow2
  t=$(ms)
  run "$repo/artifacts/cli/kubectl-sandlabx" migrate "$old" -n "${@:3}"
  moved=$(($(ms) - t))
  row "Throughput of $what ($of), against cp of the same bytes to a volume of the same class" "$(ratio $copied $moved) × (migrate $moved ms, cp $copied ms)" 'aim ≥ 0.7'
}
# by_claim <what> <of what> <namespace> [option…]: the same, with a claim of its own, which goes again.
by_claim() {
  old_claim "$3"
  move_in "$1" "$2" "$3" --source-claim old "${@:4}"
  run kubectl delete namespace "$3" --timeout=300s
  run kubectl delete pv "$3"
}
# limit_disk <bytes a second>: what this machine's disk reads, and what it writes; 0 for no limit.
throttle=/sys/fs/cgroup/blkio/blkio.throttle
limit_disk() { local way; for way in read write; do echo "$(findmnt -no MAJ:MIN -T "$home") $1" > $throttle.${way}_bps_device; done; }

old_disks 1 1
move_in 'migrate' 'a disk of 1 GiB and its base' $space
for disks in '1 1' '4 1' '1 8' '4 4'; do
  read -r count gib <<< "$disks"
  old_disks "$count" "$gib"
  by_claim "migrate --source-claim --parallel $count" "$count × $gib GiB and their base" $space-claim --parallel "$count"
  if ((gib > 1)) && [[ -w $throttle.write_bps_device ]]; then
    limited=yes
    limit_disk 200000000
    by_claim "migrate --source-claim --parallel $count, where the disk gives 200 MB a second" "$count × $gib GiB and their base" $space-claim --parallel "$count"
    limit_disk 0
    limited=
  fi
done
run umount "$old/copy"
rm -rf "$old"
