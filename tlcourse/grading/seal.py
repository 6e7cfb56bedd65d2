"""What a child gives up before it runs a student's code: resources, processes, sockets, and a say over others.

The outer wall (sandbox.py) hides files, network and other processes. This module is the inner one. Linux checks it with
a seccomp filter, because RLIMIT_NPROC does not bind root, and because children share a user with the zygote.
"""

import ctypes
import os
import platform
import resource
import struct
import sys

MEMORY = 2 << 30  # bytes a child may map on top of what it was forked with
FILE_SIZE = 32 << 20  # bytes of one file
CPU_SECONDS = 600  # of a child's whole life; the judge's clock is far stricter

_PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP = 4, 38, 22

# Numbers of the system calls that a child may not make, on x86-64 and on 64-bit ARM (None: not there).
# No new processes; no other program; no sight of another process, nor of its priority, limits or memory; no sockets;
# nothing that outlives the child in the kernel (shared memory, queues, keys); no memory that no limit counts; no mounts,
# namespaces, or doors into the kernel that nothing in this course needs.
_FORBIDDEN = {
    "fork": (57, None),
    "vfork": (58, None),
    "execve": (59, 221),
    "execveat": (322, 281),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    "process_madvise": (440, 440),
    "setpriority": (141, 140),
    "ioprio_set": (251, 30),
    "sched_setaffinity": (203, 122),
    "sched_setscheduler": (144, 119),
    "sched_setparam": (142, 118),
    "sched_setattr": (314, 274),
    "socket": (41, 198),
    "shmget": (29, 194),
    "msgget": (68, 186),
    "semget": (64, 190),
    "mq_open": (240, 180),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "flock": (73, 32),
}
# Locks and leases on a shared file would stop whoever opens it next, the judge and another student's child included.
_FCNTL, _LOCKS = (72, 25), (6, 7, 37, 38, 1024, 1026)  # F_SETLK, F_SETLKW, their OFD forms, F_SETLEASE, F_NOTIFY
_CLONE, _CLONE3, _PRLIMIT64 = (56, 220), (435, 435), (302, 261)
_ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
_CLONE_THREAD = 0x00010000
_EPERM, _ENOSYS = 1, 38

# Classic BPF: opcodes, and where struct seccomp_data keeps what they load.
_LOAD, _EQUAL, _AT_LEAST, _HAS_BITS, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT, _SECOND_ARGUMENT = 0, 4, 16, 24
_ALLOW, _ERROR, _KILL = 0x7FFF0000, 0x00050000, 0x80000000


def seal_zygote():
    """Put the fork server out of reach of its children: it can be neither traced nor signalled.

    As process 1 of its namespace it gets no signal that it has no handler for, so Python's own must go.
    """
    import signal

    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if sys.platform == "linux":
        _prctl(_PR_SET_DUMPABLE, 0)


def seal_child(memory=MEMORY):
    """Limit this process for good. On systems other than Linux only the resource limits hold.

    Raises:
        OSError: the system refused a limit.
    """
    ceiling = _mapped_bytes() + memory
    for name, limit in {
        resource.RLIMIT_CPU: CPU_SECONDS,
        resource.RLIMIT_FSIZE: FILE_SIZE,
        resource.RLIMIT_NOFILE: 256,
        resource.RLIMIT_CORE: 0,
        **({resource.RLIMIT_AS: ceiling} if sys.platform == "linux" else {}),
    }.items():
        resource.setrlimit(name, (limit, limit))
    if sys.platform == "linux":
        _prctl(_PR_SET_DUMPABLE, 1)  # inherited as 0, which would close its own /proc/self to it
        _prctl(_PR_SET_NO_NEW_PRIVS, 1)
        _install_filter()


def _mapped_bytes():
    if sys.platform != "linux":
        return 0
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * resource.getpagesize()


def _install_filter():
    if platform.machine() not in _ARCHITECTURES:
        raise OSError(f"no list of system calls for {platform.machine()}; grade on x86-64 or 64-bit ARM")
    column, architecture = _ARCHITECTURES[platform.machine()]
    program = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, 0, 1, 0x40000000),  # the x32 calls of x86-64 have other numbers
        (_RETURN, 0, 0, _ERROR | _ENOSYS),
    ]
    for numbers in _FORBIDDEN.values():
        if numbers[column] is not None:
            program += [(_EQUAL, 0, 1, numbers[column]), (_RETURN, 0, 0, _ERROR | _EPERM)]
    program += [(_EQUAL, 0, 2 + 2 * len(_LOCKS), _FCNTL[column]), (_LOAD, 0, 0, _SECOND_ARGUMENT)]
    for lock in _LOCKS:
        program += [(_EQUAL, 0, 1, lock), (_RETURN, 0, 0, _ERROR | _EPERM)]
    program += [
        (_RETURN, 0, 0, _ALLOW),
        (_EQUAL, 0, 1, _CLONE3[column]),  # its flags lie in memory, out of a filter's sight; clone is tried next
        (_RETURN, 0, 0, _ERROR | _ENOSYS),
        (_EQUAL, 0, 4, _CLONE[column]),  # threads yes, processes no
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_HAS_BITS, 0, 1, _CLONE_THREAD),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _ERROR | _EPERM),
        (_EQUAL, 0, 3, _PRLIMIT64[column]),  # its own limits yes, another process's no
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_EQUAL, 1, 0, 0),
        (_RETURN, 0, 0, _ERROR | _EPERM),
        (_RETURN, 0, 0, _ALLOW),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in program))

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_void_p)]

    _prctl(_PR_SET_SECCOMP, 2, ctypes.byref(Program(len(program), ctypes.addressof(code))))


def _prctl(option, *arguments):
    libc = ctypes.CDLL(None, use_errno=True)
    padded = [a if not isinstance(a, int) else ctypes.c_ulong(a) for a in (*arguments, *[0] * (4 - len(arguments)))]
    if libc.prctl(option, *padded) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl({option}): {os.strerror(number)}")
