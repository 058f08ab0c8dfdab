#!/usr/bin/env bash
# Rebuilds every program. With no argument into programs/prebuilt; with a folder, into that.
# The committed files were made with:
#   riscv64-linux-gnu-gcc (Debian 12.2.0-13) 12.2.0
#   GNU ld (GNU Binutils for Debian) 2.40
# Another toolchain makes other bytes of the same behaviour.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=${1:-$here/prebuilt}
cc=${CC:-riscv64-linux-gnu-gcc}
mkdir -p "$out"

flags=(
  -std=gnu17 -O2 -Wall -Wextra -Werror
  -march=rv64gc -mabi=lp64d -mcmodel=medany
  -ffreestanding -fno-stack-protector -fno-asynchronous-unwind-tables -fno-ident
  # memset is written as a loop, and must not become a call to itself.
  -fno-tree-loop-distribute-patterns
  -I "$here/include" -ffile-prefix-map="$here"=.
  -nostdlib
  -Wl,--no-relax -Wl,--build-id=none -Wl,-z,separate-code -Wl,--strip-all
)

for source in "$here"/*.c; do
  name=$(basename "$source" .c)
  case $name in
    pie | difftest) kind=(-static-pie -fPIE -Wl,--no-dynamic-linker) ;;
    *) kind=(-static -fno-pie -no-pie) ;;
  esac
  "$cc" "${flags[@]}" "${kind[@]}" -o "$out/$name" "$source"
done
