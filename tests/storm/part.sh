# shellcheck shell=bash disable=SC2154,SC2034
# What the scripts among the parts share (README.md): their words, the build, the line of a figure. To be sourced, with the default of
# --minutes as its argument.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$(dirname "$here")")
export TW_BUILD=${TW_BUILD:-$root/build/tests}
minutes=$1 seed=1
set -- "${words[@]}"
while (($#)); do
  case $1 in
    --minutes) minutes=${2:?a number} ;;
    --seed) seed=${2:?a number} ;;
    -h | --help) sed -n '3,/^[^#]/s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "unknown option $1; see --help" >&2; exit 64 ;;
  esac
  shift 2
done
command -v jq >/dev/null || { echo "jq is missing: launch/install_packages --tests" >&2; exit 66; }
[[ -d $TW_BUILD/tests ]] || { echo "there is no build with tests in $TW_BUILD: tests/run makes one" >&2; exit 66; }

# figure NAME GOAL VALUE MET [JSON]: MET is true, false or null.
figure() {
  jq -nc --arg figure "$1" --arg goal "$2" --arg value "$3" --argjson met "$4" --argjson seconds "$SECONDS" --argjson numbers "${5:-{\}}" \
    '{figure: $figure, goal: $goal, value: $value, met: $met, seconds: $seconds, numbers: $numbers}'
}
# holds CONDITION: true or false, of numbers: holds "$a <= 3 && $b > 0".
holds() {
  awk "BEGIN { print ($1) ? \"true\" : \"false\" }"
}
