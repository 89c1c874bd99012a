# What all scripts of eng share: steps with elapsed seconds, failures that name stage, cause and log, work folders, packages.
# Sourced, not run.
source "$(dirname "${BASH_SOURCE[0]}")/images/lib.sh"
me=eng/$(basename "$0")
