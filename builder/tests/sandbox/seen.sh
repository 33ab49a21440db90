# Prints everything that a build can see and that has no reason to be another in the next run: a section for
# each subject. What counts time, processes or inodes of this very run is left out, with the reason.
section() { echo "== $1"; shift; "$@" 2>&1; }
show() { for file; do echo "-- $file"; cat "$file" 2>&1; done; }
status() { # the rest are sizes, pids and counters of this very process
  grep -E '^(Umask|Uid|Gid|FDSize|Groups|NStgid|NoNewPrivs|Seccomp|Seccomp_filters|Cap|Speculation|Cpus_allowed_list|Mems_allowed_list|Sig(Q|Ign|Blk|Cgt))' /proc/self/status |
    grep -v '^NStgid' | sed 's|^SigQ.*/|SigQ of |'
}
root() { # what is shown of the host has its times; links of /proc count the machine's processes,
  # which the width of the column follows
  ls -lan --time-style=+%s / | tr -s ' ' | grep -vE ' (proc|usr|bin|sbin|lib[^ ]*|toolchains|\.\.)( |$)'
}
section environment env
section user id
section names sh -c 'uname -n; cat /proc/sys/kernel/domainname /etc/hostname /etc/hosts'
section kernel uname -srvm
section accounts cat /etc/passwd /etc/group
section settings sh -c 'cd /etc; find . | sort; cat nsswitch.conf; stat -c "%n %Y" . passwd group hosts hostname nsswitch.conf'
section status status
section limits cat /proc/self/limits
section ids cat /proc/self/uid_map /proc/self/gid_map /proc/self/setgroups
section groups cat /proc/self/cgroup
section mounts sh -c 'sed "s/^[0-9]* [0-9]* [0-9:]* //" /proc/self/mountinfo' # numbers of mounts and devices are given anew
section space sh -c 'df -P /build /tmp /dev/shm | tr -s " " | cut -d" " -f2,6; df -Pi /build | tr -s " " | cut -d" " -f2'
section processors sh -c 'nproc; nproc --all'
section machine show /proc/cpuinfo /proc/meminfo /proc/version /proc/loadavg /proc/stat /proc/swaps /proc/cmdline /proc/modules
section random cat /proc/sys/kernel/random/boot_id
section uptime sh -c 'cut -d. -f1 /proc/uptime'
section kernel-settings sh -c 'cd /proc/sys && find . -type f ! -path "./kernel/random/*" ! -path "./fs/*-nr" ! -path "./fs/*-state" ! -path "./kernel/ns_last_pid" ! -path "./kernel/pty/nr" | sort | while read -r file; do echo "$file $(cat "$file" 2>&1)"; done' # those count what the machine does
section proc sh -c 'ls /proc | grep -v "^[0-9]"'
section root root
section devices sh -c 'stat -c "%n %Y" /dev /dev/shm /tmp; ls -lan --time-style=+ /dev'
section sys ls -la /sys
section folders sh -c 'pwd; ls -lan --time-style=+%s . "$HOME" /tmp; ls -U'
section owners sh -c 'stat -c "%u %g %a %n" /usr /usr/bin /usr/bin/env /etc /proc /build'
section descriptors sh -c 'for f in 0 1 2; do readlink /proc/self/fd/$f | sed "s/[0-9]//g"; done'
section terminal sh -c 'tty; : < /dev/tty'
section clock sh -c 'date +%Z%z; locale 2>&1'
section network sh -c 'cat /proc/net/dev | sed "s/:.*//"; cat /proc/net/route /proc/net/unix | sed "s/^[0-9a-f]*//"'
section scheduling sh -c 'nice; chrt -p $$ 2>&1 | sed "s/[0-9]*.s current/s current/"; ionice -p $$'
section address-layout sh -c 'cat /proc/self/personality; grep -c . /proc/self/maps >/dev/null; awk "/stack/ {print \$1}" /proc/self/maps'
