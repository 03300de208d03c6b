# shellcheck shell=bash
# One line a step: its name, what it does, how long it took. What it printed goes to $logs/NAME.log.

logs=${logs:-target/prepare}
mkdir -p "$logs"
declare -A begun # the names whose log was begun by this run

# NAME TEXT: something that needed no work.
note() { printf '%-11s %s\n' "$1" "$2"; }

# Waits for its turn where another run is at work. Commands don't inherit the lock: the engine would keep it for good.
exec {lock}>"$logs/lock"
if command -v flock >/dev/null && ! flock --nonblock "$lock"; then
  note waiting "another run is at work"
  flock "$lock"
fi

# NAME TEXT COMMAND…: runs a command that may fail; its success is the answer.
try() {
  local name=$1 text=$2 began=${EPOCHREALTIME/./} status=0
  shift 2
  [[ -n ${begun[$name]-} ]] || : >"$logs/$name.log"
  begun[$name]=yes
  printf '%-11s %-62s ' "$name" "$text"
  "$@" >>"$logs/$name.log" 2>&1 </dev/null {lock}>&- || status=$?
  local took=$(((${EPOCHREALTIME/./} - began) / 100000))
  printf '%5d.%d s%s\n' $((took / 10)) $((took % 10)) "$( ((status == 0)) || echo '  failed')"
  return "$status"
}

# NAME TEXT COMMAND…: runs a command that must succeed.
step() {
  try "$@" && return
  {
    printf '\nerror: the step "%s" failed (%s). The end of its log, %s/%s.log:\n' "$1" "$2" "$logs" "$1"
    tail -n "${log_lines:-20}" "$logs/$1.log" | sed 's/^/  /'
  } >&2
  exit 1
}
