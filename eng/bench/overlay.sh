# What stands below: an overlay costs the same, whatever its base.
step "overlay creation against a full copy"
work=$(mktemp -d "$cache/tmp/bench.XXXXXX")
for size in 1 20; do
  truncate -s "${size}G" "$work/raw"
  head -c 268435456 /dev/urandom | dd of="$work/raw" conv=notrunc bs=1M iflag=fullblock status=none
  run qemu-img convert -O qcow2 "$work/raw" "$work/base"
  rm "$work/raw"
  for ((i = 0; i < 5; i++)); do
    t=${EPOCHREALTIME/[.,]/}
    run qemu-img create -q -f qcow2 -b "$work/base" -F qcow2 "$work/overlay"
    echo $((${EPOCHREALTIME/[.,]/} - t)) >> "$table.overlay$size"
    t=${EPOCHREALTIME/[.,]/}
    cp "$work/base" "$work/copy"
    sync "$work/copy"
    echo $((${EPOCHREALTIME/[.,]/} - t)) >> "$table.copy$size"
    rm "$work/copy"
  done
  row "Overlay over a $size GiB base (256 MiB of data), against a full copy" "$(ratio "$(median < "$table.overlay$size")" "$(median < "$table.copy$size")") × ($(($(median < "$table.overlay$size") / 1000)) ms, $(($(median < "$table.copy$size") / 1000)) ms)" ''
done
rm -rf "$work"
row 'Overlay over a 20 GiB base, against one over a 1 GiB base' "$(ratio "$(median < "$table.overlay20")" "$(median < "$table.overlay1")") ×" 'aim 1'
