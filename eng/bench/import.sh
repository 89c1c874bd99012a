# What the runner makes of an image.
step "import against a copy"
# The runner itself, beside the copy and on the same disk: what a pod's start or a network would add is neither's.
import() {   # <file> <its sha256>: imports it into an empty folder
  SANDLABX_RUN_DIR=$work/run SANDLABX_TERMINATION_LOG=$work/end SANDLABX_PORT=0 SANDLABX_CONFIG=$(jq -nc --arg sha "$2" --arg root "$work" --arg file "${1##*/}" \
    '{image: "bench/one", sha256: $sha, file: {root: $root, path: $file}, targetPath: "\($root)/claim/disk.qcow2", maxVirtualSizeBytes: 99999999999}') \
    "$repo/artifacts/publish/Runner/release_linux-x64/sandlabx-runner" import >> "$log" 2>&1 || die "the import ended with: $(cat "$work/end")"
}
# larger <KiB> <process>: the larger of that and the process's peak; what is gone has none.
larger() { awk -v most="$1" '/^VmHWM/ && $2 > most {most = $2} END {print most}' "/proc/$2/status" 2> /dev/null || echo "$1"; }
# The most that was resident at a time at worst: the runner's peak, and that of the largest program that it called.
peak() {   # <file> <its sha256>: MiB
  local importing pid child runner=0 called=0
  import "$@" &
  importing=$!
  while kill -0 $importing 2> /dev/null; do
    for pid in $(pgrep -f "^$repo/artifacts/publish/Runner/.*sandlabx-runner import"); do
      runner=$(larger "$runner" "$pid")
      for child in $(pgrep -P "$pid"); do called=$(larger "$called" "$child"); done
    done
    sleep 0.02
  done
  wait $importing
  echo $(((runner + called) / 1024))
}
work=$(mktemp -d "$cache/tmp/bench.XXXXXX")
truncate -s 4G "$work/raw"
head -c 1073741824 /dev/urandom | dd of="$work/raw" conv=notrunc bs=1M iflag=fullblock status=none
printf '\125\252' | dd of="$work/raw" conv=notrunc bs=1 seek=510 status=none
run qemu-img convert -O qcow2 "$work/raw" "$work/qcow2"
run qemu-img convert -O vmdk "$work/raw" "$work/vmdk"
for format in qcow2 vmdk; do
  sha256=$(sha256sum "$work/$format" | cut -c1-64)
  for ((i = 0; i < 5; i++)); do
    # Neither is to wait for what was written or freed before it.
    sync -f "$work"
    t=$(ms)
    cp "$work/$format" "$work/copy"
    sync "$work/copy"
    echo $(($(ms) - t)) >> "$table.cp-$format"
    rm -rf "$work/copy" "$work/claim"
    mkdir "$work/claim"
    sync -f "$work"
    t=$(ms)
    import "$work/$format" "$sha256"
    echo $(($(ms) - t)) >> "$table.import-$format"
  done
  a=$(median < "$table.cp-$format") b=$(median < "$table.import-$format")
  row "Import of a $format file with 1 GiB of data: throughput against cp and sync of the same bytes" "$(ratio "$a" "$b") × (medians $b ms, $a ms)" 'aim ≥ 0.7'
done
for gib in 1 4; do
  head -c $((gib << 30)) /dev/urandom > "$work/raw"
  run qemu-img convert -O vmdk "$work/raw" "$work/vmdk"
  rm -rf "$work/claim" "$work/raw"
  mkdir "$work/claim"
  row "Peak memory of the import of a vmdk file with $gib GiB of data, MiB resident, qemu-img included" "$(peak "$work/vmdk" "$(sha256sum "$work/vmdk" | cut -c1-64)")" 'aim ≤ 64'
done
rm -rf "$work"
