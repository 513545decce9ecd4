#!/usr/bin/env bash
# A Slurm of its own on this machine, for tests and for trying things out: controller, authentication and simulated nodes, all below
# one folder, on free ports, as root, without systemd. Debian and Ubuntu have what it needs: apt-get install slurm-wlm munge
#
#   scripts/slurm_local.sh start FOLDER [NODES] [CPUS]   two nodes with two CPUs each by default
#   scripts/slurm_local.sh stop FOLDER                   ends its jobs and daemons; the logs stay
#   scripts/slurm_local.sh controller FOLDER             starts the controller again after it was killed
#   scripts/slurm_local.sh node FOLDER NAME              starts a node again after it was killed
#
# Slurm's commands find it by SLURM_CONF=FOLDER/slurm.conf. Partitions: `local`, and `urgent`, whose jobs put those of `local` back
# into the queue. SLURM_LOCAL_GPUS=N gives every node N GPUs, which exist on paper only.
set -euo pipefail
PATH="$PATH:/usr/sbin:/sbin"

usage() { sed -n '2,13s/^# \{0,1\}//p' "$0" >&2; exit 2; }
fail() { echo "slurm_local.sh: $1" >&2; exit 1; }

[ $# -ge 2 ] || usage
command="$1"
folder="$(realpath -m "$2")"
export SLURM_CONF="$folder/slurm.conf"

# The next port that nothing listens on.
port="${SLURM_LOCAL_PORT:-$((10000 + RANDOM % 20000))}"
next_port() {
  port=$((port + 1))
  while (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do port=$((port + 1)); done
}

write_configuration() {
  local num_nodes="$1" num_cpus="$2" host memory name
  host="$(hostname -s)"
  memory=$(($(awk '/^MemTotal/ {print $2}' /proc/meminfo) / 1024 * 9 / 10 / num_nodes))
  next_port
  cat >"$SLURM_CONF" <<CONF
ClusterName=aelab
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
AuthType=auth/munge
AuthInfo=socket=$folder/munge/socket
SlurmUser=root
SlurmdUser=root
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool/%n
SlurmctldPidFile=$folder/run/slurmctld.pid
SlurmdPidFile=$folder/run/slurmd.%n.pid
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=batch_sched_delay=0,sched_interval=5
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
ReturnToService=2
KillWait=15
MinJobAge=300
MaxArraySize=${SLURM_LOCAL_MAX_ARRAY_SIZE:-1001}
SlurmdParameters=config_overrides
CONF
  if [ -n "${SLURM_LOCAL_GPUS:-}" ]; then
    echo "GresTypes=gpu" >>"$SLURM_CONF"
    echo "Name=gpu Count=$SLURM_LOCAL_GPUS" >"$folder/gres.conf"
  fi
  for number in $(seq "$num_nodes"); do
    name="n$number"
    next_port
    mkdir -p "$folder/spool/$name"
    echo "NodeName=$name NodeHostname=$host NodeAddr=127.0.0.1 Port=$port CPUs=$num_cpus RealMemory=$memory${SLURM_LOCAL_GPUS:+ Gres=gpu:$SLURM_LOCAL_GPUS}" >>"$SLURM_CONF"
  done
  echo "PartitionName=local Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1" >>"$SLURM_CONF"
  echo "PartitionName=urgent Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=2 PreemptMode=OFF" >>"$SLURM_CONF"
}

num_ready() { sinfo --noheader --Node --partition=local --states=idle,mixed,allocated --format=%N 2>/dev/null | sort -u | wc -l; }

start() {
  local num_nodes="${1:-2}" num_cpus="${2:-2}"
  for program in munged slurmctld slurmd sinfo; do
    command -v "$program" >/dev/null || fail "there is no $program here: apt-get install slurm-wlm munge"
  done
  [ "$(id -u)" = 0 ] || fail "only root can start the daemons"
  # Authentication refuses a socket that others could replace.
  mkdir -p "$folder"/{state,log,run,spool,munge}
  chmod 755 "$folder" "$folder/munge"
  (umask 077 && head -c 128 /dev/urandom >"$folder/munge/key")
  write_configuration "$num_nodes" "$num_cpus"
  munged --force --key-file="$folder/munge/key" --socket="$folder/munge/socket" --pid-file="$folder/munge/pid" \
    --log-file="$folder/munge/log" --seed-file="$folder/munge/seed"
  slurmctld -i
  for number in $(seq "$num_nodes"); do slurmd -N "n$number"; done
  for _ in $(seq 300); do
    if [ "$(num_ready)" = "$num_nodes" ]; then
      echo "export SLURM_CONF=$SLURM_CONF"
      return
    fi
    sleep 0.1
  done
  fail "the nodes do not come up: see $folder/log"
}

# Ends the process of a pid file and waits for it.
end() {
  local pid
  [ -f "$1" ] || return 0
  pid="$(cat "$1")"
  kill "$pid" 2>/dev/null || return 0
  for _ in $(seq 50); do
    kill -0 "$pid" 2>/dev/null || return 0
    sleep 0.1
  done
  kill -KILL "$pid" 2>/dev/null || true
}

stop() {
  if timeout 10 scancel --full --signal=KILL --user=root 2>/dev/null; then
    timeout 10 scancel --user=root 2>/dev/null || true
    for _ in $(seq 50); do
      [ -n "$(timeout 10 squeue --noheader --format=%i 2>/dev/null)" ] || break
      sleep 0.1
    done
  fi
  for file in "$folder"/run/slurmd.*.pid "$folder/run/slurmctld.pid" "$folder/munge/pid"; do end "$file"; done
  # What a node left behind that was killed with work on it.
  local environment pid
  grep -lzxF "SLURM_CONF=$SLURM_CONF" /proc/[0-9]*/environ 2>/dev/null | while read -r environment; do
    pid="${environment#/proc/}"
    pid="${pid%/environ}"
    if grep -qs slurmstepd "/proc/$pid/comm"; then kill -KILL "$pid" 2>/dev/null || true; fi
  done || true
}

case "$command" in
  start) start "${@:3}" ;;
  stop) stop ;;
  controller) slurmctld ;;
  node) slurmd -N "${3:?the name of a node}" ;;
  *) usage ;;
esac
