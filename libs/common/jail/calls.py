"""Which system calls confined work may make: what reading, computing and writing needs, by number on both architectures."""

from collections.abc import Iterator

_ALLOWED = """
read 0 63|write 1 64|pread64 17 67|pwrite64 18 68|futex 202 98|munmap 11 215|madvise 28 233|brk 12 214
lseek 8 62|openat 257 56|close 3 57|fstat 5 80|newfstatat 262 79|statx 332 291|epoll_wait 232 -|epoll_pwait 281 22|recvfrom 45 207
clock_gettime 228 113|clock_nanosleep 230 115|sched_yield 24 124|rt_sigprocmask 14 135|rt_sigaction 13 134
rt_sigreturn 15 139|rseq 334 293|set_robust_list 273 99|exit 60 93|exit_group 231 94|getrandom 318 278|gettid 186 178|getpid 39 172
mremap 25 216|mincore 27 232|membarrier 324 283|readv 19 65|writev 20 66|preadv 295 69|pwritev 296 70|open 2 -|stat 4 -|lstat 6 -
access 21 -|faccessat 269 48|faccessat2 439 439|readlink 89 -|readlinkat 267 78|getdents64 217 61|getcwd 79 17|statfs 137 43
fstatfs 138 44|dup 32 23|dup2 33 -|dup3 292 24|flock 73 32|fsync 74 82|fdatasync 75 83|ftruncate 77 46
truncate 76 45|fadvise64 221 223|copy_file_range 326 285|sendfile 40 71|unlink 87 -
unlinkat 263 35|rename 82 -|renameat 264 38|umask 95 166|pipe 22 -|pipe2 293 59|eventfd2 290 19
epoll_create1 291 20|epoll_ctl 233 21|epoll_pwait2 441 441|poll 7 -|ppoll 271 73|select 23 -|pselect6 270 72
shutdown 48 210|getsockname 51 204|getpeername 52 205|getsockopt 55 209
nanosleep 35 101|clock_getres 229 114|gettimeofday 96 169|time 201 -|times 100 153|getrusage 98 165|getrlimit 97 163|sysinfo 99 179
uname 63 160|getuid 102 174|geteuid 107 175|getgid 104 176|getegid 108 177|getppid 110 173|sched_getaffinity 204 123
sched_getscheduler 145 120|sched_getparam 143 121|sched_get_priority_max 146 125|sched_get_priority_min 147 126|sigaltstack 131 132
capget 125 90|wait4 61 260|restart_syscall 219 128|set_tid_address 218 96
"""
_DEADLY = """
ptrace 101 117|process_vm_readv 310 270|process_vm_writev 311 271|io_uring_setup 425 425|io_uring_enter 426 426
io_uring_register 427 427|bpf 321 280|userfaultfd 323 282|init_module 175 105|finit_module 313 273|delete_module 176 106
kexec_load 246 104|mount 165 40|umount2 166 39|pivot_root 155 41|chroot 161 51|unshare 272 97|setns 308 268|keyctl 250 219
add_key 248 217|request_key 249 218|perf_event_open 298 241|open_by_handle_at 304 265|open_tree 428 428|move_mount 429 429
fsopen 430 430|fsmount 432 432|mount_setattr 442 442|pidfd_open 434 434|pidfd_getfd 438 438|reboot 169 142
"""
_JUDGED = """
mmap 9 222|mprotect 10 226|fcntl 72 25|ioctl 16 29|clone 56 220|clone3 435 435|tgkill 234 131|prlimit64 302 261|prctl 157 167
socketpair 53 199|setsockopt 54 208|fallocate 285 47|sendto 44 206
"""
# what a warm parent and the jail's own process never do once they listen; only the host starts programs
_CONTACTS = "socket 41 198|connect 42 203|bind 49 200|listen 50 201"
_PROGRAMS = "execve 59 221|execveat 322 281"
_COLUMNS = {"x86_64": 1, "aarch64": 2}

PARENTAL = frozenset({
    "mount", "umount2", "pivot_root", "unshare", "setns", "open_tree", "move_mount", "fsopen", "fsmount", "mount_setattr", "pidfd_open",
})  # fmt: skip
"""What a warm parent needs to give its children a house, and to wait for them."""

MACHINES = tuple(_COLUMNS)
"""Where confinement is known to hold."""


def allowed(machine: str) -> dict[str, int]:
    """Return the calls that may be made, by name, the frequent ones first."""
    return dict(_numbers(_ALLOWED, machine))


def deadly(machine: str) -> dict[str, int]:
    """Return the calls that nobody makes by accident: they end the process."""
    return dict(_numbers(_DEADLY, machine))


def judged(machine: str) -> dict[str, int]:
    """Return the calls that are allowed or not by their arguments, by name."""
    return dict(_numbers(_JUDGED, machine))


def contacts(machine: str) -> dict[str, int]:
    """Return the calls that make, offer or take up connections, by name."""
    return dict(_numbers(_CONTACTS, machine))


def programs(machine: str) -> dict[str, int]:
    """Return the calls that start programs, by name."""
    return dict(_numbers(_PROGRAMS, machine))


def _numbers(table: str, machine: str) -> Iterator[tuple[str, int]]:
    for entry in table.replace("\n", "|").split("|"):
        fields = entry.split()
        if fields and fields[_COLUMNS[machine]] != "-":
            yield fields[0], int(fields[_COLUMNS[machine]])
