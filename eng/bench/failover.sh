# The leader of two replicas dies, and goes.
step "failover of the leader"
replicas_are() { [[ $(kubectl -n sandlabx-system get deployment/sandlabx-operator -o jsonpath='{.status.replicas}/{.status.readyReplicas}') == "$1/$1" ]]; }
replicas() {
  run kubectl -n sandlabx-system scale deployment/sandlabx-operator --replicas="$1"
  until_true 60 replicas_are "$1"
}
leader() { kubectl -n sandlabx-system get lease sandlabx-leader -o jsonpath='{.spec.holderIdentity}' | cut -d_ -f1; }
has_leader() { [[ -n $(leader) ]]; }
replicas 2
for how in KILL TERM; do
  until_true 30 has_leader
  pid=$(node bash -c 'for p in $(pgrep -f "^/app/SandLabX.Operator"); do ! tr "\0" "\n" < /proc/$p/environ | grep -qx "POD_NAME=$1" || echo $p; done' leader "$(leader)" | head -n 1)
  t=$(ms)
  node kill -$how "$pid"
  k create -f - >> "$log" << EOF
apiVersion: sandlabx.io/v1alpha1
kind: LabNode
metadata: {name: after-${how,,}}
spec: {image: tiny, powerState: Stopped}
EOF
  until_true 60 phase_is "after-${how,,}" Stopped
  spent=$(($(ms) - t))
  row "Leader gets SIG$how → a replica has acted as the new one, against the lease's 15 s" "$(ratio $spent 15000) × ($spent ms)" "$([[ $how != KILL ]] || echo 'aim ≤ 20 s')"
  until_true 60 replicas_are 2
done
replicas 1
run k delete labnodes after-kill after-term
