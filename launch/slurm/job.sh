# Of the job scripts beside it: starts tokenwerk in the job, passes signals on, and puts the job back into the queue.
#   run_job run COMMAND ARGUMENTS...              by launch/run
#   run_job supervise train ARGUMENTS...          by launch/supervise, which starts it again after a failure
# Returns the run's exit code. 75, saved on request: the job is requeued under its number, and goes on from there.
run_job() {
  local here program code=0
  here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
  program=$here/$1
  [[ -x $program ]] || program=$(command -v "tokenwerk-$1") || { echo "$0: there is no launch/$1, and no tokenwerk-$1 in PATH" >&2; exit 66; }
  shift
  "$program" -n "${SLURM_NTASKS:-$SLURM_JOB_NUM_NODES}" "$@" &
  local run=$!
  # shellcheck disable=SC2064  # the process of now
  trap "kill -USR1 $run 2>/dev/null" USR1 TERM
  while true; do
    code=0
    wait "$run" || code=$?
    kill -0 "$run" 2>/dev/null || break  # else a signal ended the wait
  done
  # Where the site has RequeueExit=75 Slurm does it itself, on the exit code.
  if ((code == 75)); then
    scontrol requeue "$SLURM_JOB_ID"
    exit 75
  fi
  return "$code"
}
