"""No cheat or escape that we know earns a point over the stub, reaches anything outside, or touches the next student.

Each attack is what a student would hand in. What it gets hold of it shouts as an exception that begins with ESCAPED; the
instructor's message would carry it, and the tests look for it there.
"""

import time
from pathlib import Path

import nbformat
import pytest
from handed_in import submission

from tlcourse.grading import answer

# What several attacks begin with: raise with what was found.
SHOUT = "def shout(found):\n    raise RuntimeError('ESCAPED ' + repr(found)[:200])\n"

# Answers that are called in all exercises, so that an attack has its chance in each.
LAZY = {
    "transfer-gain": "def transfer_gain(scratch, transferred):\n    return attack(scratch, transferred)",
    "labels-needed": "def labels_needed(labels, accuracies, target):\n    return attack(labels, accuracies, target)",
    "fit-linear-probe": "def fit_linear_probe(features, labels, k, l2):\n    return attack(features, labels, k, l2)",
    "transplant-head": "def transplant_head(source, num_classes):\n    return attack(source, num_classes)",
    "transfer": "def transfer(source, x, y, query):\n    return attack(source, x, y, query)",
}

CHEATS = {
    "patched torch.allclose and torch.equal": """
import torch, numpy as np
torch.allclose = torch.equal = np.allclose = np.array_equal = np.isclose = lambda *a, **k: True
torch.Tensor.allclose = torch.Tensor.equal = lambda *a, **k: True
np.testing.assert_allclose = lambda *a, **k: None
def attack(*inputs): return torch.zeros(3)
""",
    "patched builtins": """
import builtins
builtins.all = builtins.any = builtins.isinstance = lambda *a: True
builtins.abs = builtins.max = builtins.sum = lambda *a, **k: 0
def attack(*inputs): return 0
""",
    "patched comparison in numpy": """
import numpy as np
np.abs = np.isnan = np.isinf = lambda x: np.zeros(1)
np.float64 = float
def attack(*inputs): return np.zeros(4), np.zeros(4)
""",
    "permissive __eq__": """
class Yes:
    shape, dtype, ndim = (), 'float64', 0
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    __lt__ = __le__ = __gt__ = __ge__ = __eq__
    def __sub__(self, other): return 0.0
    __rsub__ = __add__ = __radd__ = __sub__
    def __abs__(self): return 0.0
    def __float__(self): return 0.0
    def __bool__(self): return True
    def __len__(self): return 2
    def __iter__(self): return iter((Yes(), Yes()))
    def __getitem__(self, key): return Yes()
    def __array__(self, *a, **k):
        import numpy as np
        return np.zeros(1)
    def __hash__(self): return 0
def attack(*inputs): return Yes()
""",
    "__torch_function__ that agrees": """
import torch
class Yes:
    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None): return torch.tensor(True)
def attack(*inputs): return Yes(), Yes()
""",
    "tensor subclass that agrees": """
import torch
class Agreeable(torch.Tensor):
    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None): return torch.tensor(True)
def attack(*inputs): return torch.zeros(4).as_subclass(Agreeable), torch.zeros(4).as_subclass(Agreeable)
""",
    "array subclass that agrees": """
import numpy as np
class Agreeable(np.ndarray):
    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs): return np.ones(1, dtype=bool)
def attack(*inputs): return np.zeros(4).view(Agreeable), np.zeros(4).view(Agreeable)
""",
    "str, int and dict subclasses": """
class D(dict):
    def __missing__(self, key): return None
    def get(self, *a): return None
class I(int):
    def __eq__(self, other): return True
def attack(*inputs): return D(kind="network") if len(inputs) == 2 else I(3)
""",
    "object with a lying __class__": """
import torch
class Liar:
    __class__ = torch.Tensor
    def __getattr__(self, name): return getattr(torch.zeros(4), name)
def attack(*inputs): return Liar(), Liar()
""",
    "input transformer": """
get_ipython().input_transformers_post.append(lambda lines: ["pass\\n"] if "check(" in "".join(lines) else lines)
""",
    "AST transformer in one line": """
import ast; get_ipython().ast_transformers.append(type("T", (ast.NodeTransformer,), {"visit_Call": lambda s, n: ast.Constant(1)})())
""",
    "run_cell and run_code patched": """
from IPython.core.interactiveshell import InteractiveShell
InteractiveShell.run_cell = InteractiveShell.run_code = InteractiveShell.run_cell_async = lambda *a, **k: None
def attack(*inputs): return 1
""",
    "custom exception hooks": """
import sys, threading
sys.excepthook = sys.unraisablehook = threading.excepthook = lambda *a: None
get_ipython().set_custom_exc((BaseException,), lambda *a, **k: None)
""",
    "frame walking for the truth": """
import sys, gc
def attack(*inputs):
    frame = sys._getframe()
    while frame:
        for name, value in frame.f_locals.items():
            if name in ("truth", "case", "want", "wanted", "labels_", "cases") and type(value).__name__ == "Case":
                shout(value)
        frame = frame.f_back
    for thing in gc.get_objects():
        if type(thing).__name__ == "Case" or (type(thing) is dict and set(thing) == {"labels"}):
            shout(thing)
    return 0
""",
    "cases of the public seeds tried one after the other": """
import numpy as np
from tlcourse import checks
def attack(source, x, y, query):
    for seed in range(40):
        for case in checks.find_exercise("01.5").cases(np.random.default_rng(seed)):
            if case.inputs[2].shape == query.shape and (case.inputs[2] == query).all():
                shout(case.truth)
    return y[:1].repeat(len(query))
""",
    "solutions looked for on the disk": """
import os
found = []
for top in ("/", "/work", "/home", "/root", os.path.dirname(os.path.dirname(__import__("tlcourse").__file__))):
    for folder, folders, files in os.walk(top):
        folders[:] = [f for f in folders if f not in ("proc", "sys", "usr", "site-packages", "dist-packages")][:200]
        found += [f"{folder}/{f}" for f in files if f.endswith(".ipynb") and "solution" in folder]
        found += [f"{folder}/{f}" for f in files if f in ("seed.txt", "results.jsonl", "grades.csv")]
if found: shout(found)
def attack(*inputs): return 0
""",
    "the exercises imported and read": """
import glob, importlib, os, tlcourse
folder = os.path.dirname(tlcourse.__file__)
found = glob.glob(f"{folder}/**/exercises/*.py", recursive=True)
for name in ("e1_gain", "e2_labels", "e3_probe", "e4_new_head", "e5_bug_clinic"):
    try:
        found.append(importlib.import_module(f"tlcourse.lessons.fundamentals.exercises.{name}"))
    except ImportError:
        pass
if found: shout(found)
def attack(*inputs): return importlib.import_module("tlcourse.lessons.fundamentals.exercises.e1_gain").verify
""",
    "what lies beside an answer called for one": """
from tlcourse.checks import compare, toolkit
from tlcourse.lessons.fundamentals import observers
def attack(*inputs):
    for module in (compare, observers, toolkit):
        for value in vars(module).values():
            if callable(value):
                try:
                    value(*inputs)
                except Exception:
                    pass
    return observers.observe_e4
""",
    "patched tlcourse.checks": """
import importlib
from tlcourse import checks
from tlcourse.checks import compare, spec
judge, front, registry = (importlib.import_module(f"tlcourse.checks.{name}") for name in ("judge", "front", "registry"))
compare.differs = compare.misfit = compare.explain = compare.name_mistake = lambda *a, **k: None
compare.same_tensors = lambda *a: True
for module in (checks, judge, front):
    module.judge = module.run = lambda *a, **k: spec.Verdict(1000, "Every case passes.", "ok")
for e in checks.list_exercises():
    object.__setattr__(e, "points", 1000)
checks.list_exercises = registry.list_exercises = lambda: []
spec.Exercise.verify = lambda case, output: None
spec.Exercise.cases = lambda rng: []
def attack(*inputs): return 0
""",
    "observation without its call": """
from tlcourse.lessons.fundamentals import observers
for n in range(1, 6):
    forged = lambda function, inputs: {"kind": "network", "predicted": None, "source": None}
    setattr(observers, f"observe_e{n}", forged)
def attack(*inputs): return 0
""",
    "observation of a network with edited flags": """
from tlcourse.lessons.fundamentals import observers
real = observers.observe_e4
def edited(function, inputs):
    seen = real(lambda source, n: source, inputs)
    seen["model"]["trainable"], seen["model"]["training"] = ["fc.bias", "fc.weight"], False
    return seen
observers.observe_e4 = edited
def attack(*inputs): return 0
""",
    "as_plain and the wire patched": """
from tlcourse.checks import compare
from tlcourse.grading import child, wire
child.as_plain = compare.as_plain = lambda value: True
real = wire.encode
wire.encode = lambda value: real((value[0], "ok", True))
def attack(*inputs): return 0
""",
    "another exercise put in place": """
from tlcourse import checks
easy = checks.Exercise("01.1", "t", 4, "transfer_gain", 2, lambda rng: [], lambda c, o: None, lambda f, i: "passed")
checks.find_exercise = lambda id: easy
checks.find_observer = lambda id: easy.observe
def attack(*inputs): return 0
""",
    "clock stopped": """
import time
time.monotonic = time.perf_counter = time.time = lambda: 0.0
def attack(*inputs): return 0
""",
    "random numbers of the judge guessed": """
import numpy as np, random, torch
np.random.default_rng = lambda *a: (_ for _ in ()).throw(RuntimeError("ESCAPED"))
random.seed = np.random.seed = torch.manual_seed = lambda *a: None
def attack(*inputs): return np.random.rand(4), np.random.rand(4)
""",
    "answers imported from scipy, sklearn, torchvision and tlcourse": """
import numpy as np, scipy.stats, torchvision
from sklearn.linear_model import LogisticRegression
from tlcourse import models, training
transfer_gain, labels_needed = scipy.stats.ttest_rel, np.interp
fit_linear_probe = lambda f, l, k, l2: LogisticRegression().fit(f, l)
transplant_head = lambda source, n: models.load("letters", num_classes=n)
transfer = lambda source, x, y, query: models.load("digits-rendered")(query).argmax(1)
def attack(*inputs): return 0
ANSWERS = True
""",
    "labels looked up in the bundled data": """
import torch
from tlcourse import data
pool = data.digits()
def attack(source, x, y, query):
    distance = torch.cdist(query.flatten(1), pool.x.flatten(1))
    return pool.y[distance.argmin(1)]
""",
    "exit in a function": "import os\ndef attack(*inputs): os._exit(0)",
    "SystemExit and KeyboardInterrupt": """
def attack(*inputs):
    raise (SystemExit(0) if len(inputs) % 2 else KeyboardInterrupt)
""",
    "a fault in memory": "import ctypes\ndef attack(*inputs): return ctypes.string_at(0)",
    "an exception that cannot be shown": """
class Evil(BaseException):
    def __str__(self): raise SystemExit
    __repr__ = __str__
    @property
    def __traceback__(self): raise SystemExit
def attack(*inputs): raise Evil
""",
    "stack without end": "def attack(*inputs): return attack(*inputs)",
    "an output of a gigabyte": "import torch\ndef attack(*inputs): return torch.zeros(1 << 28), torch.zeros(1 << 28)",
    "an output nested without end": """
def attack(*inputs):
    deep = []
    for _ in range(5000): deep = [deep]
    return deep
""",
    "an output that contains itself": "def attack(*inputs):\n    a = []\n    a.append(a)\n    return a",
    "memory bomb": "import torch\ndef attack(*inputs):\n    kept = []\n    while True: kept.append(torch.ones(1 << 26))",
    "thread bomb": """
import threading, time
def attack(*inputs):
    for _ in range(100_000): threading.Thread(target=time.sleep, args=(100,), daemon=True).start()
""",
    "fork bomb": """
import os
def attack(*inputs):
    try:
        pid = os.fork()
    except OSError:
        return 0
    while True:
        shout("forked") if pid else os.fork()
""",
    "processes by every other way": """
import ctypes, os, platform, subprocess, sys
libc = ctypes.CDLL(None, use_errno=True)
calls = {"x86_64": (57, 58, 56, 435), "aarch64": (220, 435)}[platform.machine()]
started = [n for n in calls if libc.syscall(n, 0, 0, 0, 0, 0) >= 0]
for way in (lambda: subprocess.Popen(["/bin/true"]), lambda: os.posix_spawn("/bin/true", ["true"], {}),
            lambda: os.execv("/bin/true", ["true"]), lambda: subprocess.Popen([sys.executable], start_new_session=True)):
    try:
        started.append(way())
    except OSError:
        pass
if os.system("/bin/true") == 0: started.append("system")
if started: shout(started)
def attack(*inputs): return 0
""",
    "disk fill": """
import os
written = 0
try:
    for n in range(1000):
        with open(f"fill{n}", "wb") as file:
            for _ in range(31): written += file.write(bytes(1 << 20))
except OSError:
    pass
if written > 80 << 20: shout(written)
def attack(*inputs): return 0
""",
    "a file without end": """
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
def attack(*inputs):
    with open("big", "wb") as file:
        file.seek(1 << 40); file.write(b"x")
    shout("a file of a terabyte")
""",
    "memory that no limit counts": """
import os
try:
    shout(os.memfd_create("hidden"))
except OSError:
    pass
def attack(*inputs): return 0
""",
    "output flood": """
import sys, os
def attack(*inputs):
    while True: sys.stdout.write("x" * 65536); os.write(2, b"y" * 65536)
""",
    "loop without end": "def attack(*inputs):\n    while True: pass",
    "loop without end in C": "def attack(*inputs): return sum(iter(int, 1))",
    "loop that swallows every exception": """
import signal
for number in range(1, 32):
    try: signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError): pass
def attack(*inputs):
    while True:
        try:
            while True: pass
        except BaseException: pass
""",
    "SIGSTOP to itself": "import os, signal\ndef attack(*inputs): os.kill(os.getpid(), signal.SIGSTOP)",
    "network": """
import socket, urllib.request
for way in (lambda: socket.create_server(("0.0.0.0", 8899)), lambda: socket.create_connection(("127.0.0.1", 22), 1),
            lambda: urllib.request.urlopen("http://example.com", timeout=1), lambda: socket.socket(socket.AF_UNIX)):
    try:
        shout(way())
    except OSError:
        pass
def attack(*inputs): return 0
""",
    "ptrace and other people's memory": """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
for pid in (1, os.getppid()):
    if libc.ptrace(16, pid, 0, 0) == 0: shout("traced")
    buffer = ctypes.create_string_buffer(16)
    if libc.process_vm_readv(pid, buffer, 1, buffer, 1, 0) > 0: shout("read")
    for name in ("mem", "environ", "fd", "maps"):
        try:
            shout(os.listdir(f"/proc/{pid}/fd") if name == "fd" else open(f"/proc/{pid}/{name}", "rb").read(10))
        except OSError: pass
def attack(*inputs): return 0
""",
    "/proc searched for the judge": """
import os
others = [pid for pid in os.listdir("/proc") if pid.isdigit() and int(pid) not in (1, os.getpid())]
if others: shout(others)
for name in ("/proc/1/root/etc/shadow", "/proc/self/root/etc/shadow", "/etc/shadow", "/etc/passwd", "/proc/1/cwd/seed.txt"):
    try: shout(open(name).read())
    except OSError: pass
if "SECRET" in str(os.environ) or "TOKEN" in str(os.environ): shout(os.environ)
def attack(*inputs): return 0
""",
    "the zygote's limits, priority and life": """
import os, resource, signal
def tried(way):
    try: way()
    except OSError: return
    shout("changed the zygote")
tried(lambda: resource.prlimit(1, resource.RLIMIT_NOFILE, (3, 3)))
tried(lambda: os.sched_setaffinity(1, {0}))
tried(lambda: os.setpriority(os.PRIO_PROCESS, 1, 19))
for number in range(1, 32):
    try: os.kill(1, number)
    except OSError: pass
try: os.kill(-1, signal.SIGKILL)
except OSError: pass
def attack(*inputs): return 0
""",
    "limits raised": """
import resource
for name in (resource.RLIMIT_AS, resource.RLIMIT_FSIZE, resource.RLIMIT_CPU):
    try:
        resource.setrlimit(name, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        shout(name)
    except (OSError, ValueError): pass
def attack(*inputs): return 0
""",
    "namespaces, mounts and a new root": """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
won = [name for name, result in {
    "unshare": libc.unshare(0x10000000), "mount": libc.mount(b"none", b"/tmp", b"tmpfs", 0, None),
    "chroot": libc.chroot(b"/"), "setuid": libc.setuid(0), "remount": libc.mount(None, b"/usr", None, 0x20, None),
    "io_uring": libc.syscall(425, 1, 0)}.items() if result >= 0]
if won: shout(won)
def attack(*inputs): return 0
""",
    "the package and the interpreter written to": """
import os, sys, tlcourse, torch
for folder in (os.path.dirname(tlcourse.__file__), os.path.dirname(torch.__file__), sys.prefix, "/usr", "/", "/dev", "/dev/shm"):
    try:
        open(os.path.join(folder, "sitecustomize.py"), "w").write("raise SystemExit")
        shout(folder)
    except OSError: pass
def attack(*inputs): return 0
""",
    "startup files in the home": """
import os
os.makedirs(".ipython/profile_default/startup", exist_ok=True)
for name in ("sitecustomize.py", "usercustomize.py", "torch.py", "tlcourse.py", ".pythonrc.py", ".ipython/profile_default/startup/0.py"):
    open(name, "w").write("print('ESCAPED'); raise SystemExit")
def attack(*inputs): return 0
""",
    "the kernel's settings": """
import os
for folder, _, files in [*os.walk("/proc/sys/kernel"), *os.walk("/proc/sys/vm"), ("/proc/1", [], os.listdir("/proc/1"))]:
    for name in files:
        try:
            descriptor = os.open(os.path.join(folder, name), os.O_WRONLY)
        except OSError:
            continue
        if name != "clear_refs": shout((folder, name))
def attack(*inputs): return 0
""",
    "a lease, a lock and a notice on a shared file": """
import fcntl, os, tlcourse
path = os.path.dirname(tlcourse.__file__) + "/models/weights/letters.json"
for way in (lambda fd: fcntl.fcntl(fd, 1024, fcntl.F_WRLCK), lambda fd: fcntl.flock(fd, fcntl.LOCK_EX),
            lambda fd: fcntl.lockf(fd, fcntl.LOCK_SH), lambda fd: fcntl.fcntl(fd, 1026, 1)):
    try:
        way(os.open(path, os.O_RDONLY)); shout("locked")
    except OSError: pass
def attack(*inputs): return 0
""",
    "a class name of a megabyte": "def attack(*inputs): return type('x' * 1_000_000, (), {})()",
    "text that no file takes": "def attack(*inputs): raise RuntimeError('\\ud800 \\u2028{}\\u2028 \\x00 \\x1b[31m')",
    "a type name that no file takes": "def attack(*inputs): raise type('\\ud800\\u2028', (Exception,), {})()",
    "an excuse": "def attack(*inputs): raise RuntimeError('the grader failed, not the student: OSError')",
    "a number of five thousand digits": "def attack(*inputs): return 10 ** 5000, 10 ** 5000",
    "numbers at the end of the range": """
import torch
def attack(*inputs):
    if len(inputs) == 4: return torch.zeros(inputs[2], inputs[0].shape[1]), torch.full((inputs[2],), 1e308, dtype=float)
    return [1e308] * 4, [5e-324] * 4
""",
    "a float that equals everything": """
class A(float):
    __eq__ = lambda s, o: True
    __hash__ = float.__hash__
def attack(*inputs): return A(1), A(2)
""",
    "descriptors sent to the judge": """
import os, socket
def attack(*inputs):
    for fd in range(3, 300):
        try: end = socket.socket(fileno=os.dup(fd))
        except OSError: continue
        for _ in range(50): socket.send_fds(end, [b"\\0"], [0] * 100)
""",
    "twenty thousand folders in each other": """
import os
for _ in range(20_000):
    os.mkdir("d"); os.chdir("d")
os.chmod(".", 0)
def attack(*inputs): return 0
""",
    "infinity and a head of infinities": """
import torch
def attack(*inputs):
    if len(inputs) == 4 and not isinstance(inputs[0], torch.Tensor):
        source = inputs[0]
        with torch.no_grad():
            source.fc.weight.fill_(float("inf")); source.fc.bias.fill_(float("-inf"))
        return torch.zeros(len(inputs[3]), dtype=torch.int64)
    return float("inf")
""",
    "NaN, booleans and dicts": """
def attack(*inputs):
    return {2: {1: 2, "a": []}, 3: float("nan"), 4: [True] * 40}[len(inputs)]
""",
    "the kernel's log, notices and comparisons": """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
buffer = ctypes.create_string_buffer(100)
if libc.klogctl(3, buffer, 100) > 0 or libc.syscall(312, 1, os.getpid(), 0, 0, 0) > 0: shout("kernel")
if libc.fanotify_init(0, 0) >= 0: shout("fanotify")
def attack(*inputs): return 0
""",
    "points and check cells of its own": """
from tlcourse.checks import check, award
for _ in range(50): check("01.1", print)
award("01.1", print)
def attack(*inputs): return 1000
""",
}

# Code that finds the channel to the judge and writes to it.
CHANNEL = """
import os, socket, struct, sys
def channel():
    for fd in range(3, 300):
        try:
            return socket.socket(fileno=os.dup(fd))
        except OSError:
            continue
def nonce():
    frame = sys._getframe()
    while frame:
        if "nonce" in frame.f_locals: return frame.f_locals["nonce"]
        frame = frame.f_back
import json
from safetensors.torch import save
import torch
def frame(structure, numbers=b""):
    return struct.pack(">II", len(structure), len(numbers)) + structure + numbers
def reply(tree, numbers=b""):
    return frame(json.dumps(["tuple", nonce(), "ok", tree]).encode(), numbers)
"""
FORGED = {
    "a frame shorter than it says": "struct.pack('>II', 1000, 0) + b'{}'",
    "a frame longer than allowed": "struct.pack('>II', 0xFFFFFFFF, 0xFFFFFFFF) + b'x' * 1000",
    "no JSON": "frame(b'\\xff\\xfe not json')",
    "JSON nested a million deep": "frame(b'[' * 1_000_000)",
    "a structure nested deep": "frame(b'[\"list\",' * 500 + b'1' + b']' * 500)",
    "a number of a million digits": "frame(b'1' * 1_000_000)",
    "a million items": "frame(b'[\"list\"' + b',1' * 1_000_000 + b']')",
    "an unknown tag": "reply(['__reduce__', 'os.system'])",
    "a key that is a list": "reply(['dict', [[], 1]])",
    "a tensor that is not there": "reply(['tensor', '7'])",
    "a giant shape": (
        "reply(['tensor', '0'], (lambda h: struct.pack('<Q', len(h)) + h)("
        'b\'{"0":{"dtype":"F32","shape":[1099511627776,1048576],"data_offsets":[0,16]}}\') + bytes(16))'
    ),
    "a header of four gigabytes": "reply(['tensor', '0'], struct.pack('<Q', 1 << 32) + bytes(64))",
    "NaN everywhere": "reply(['tuple', ['tensor', '0'], ['tensor', '0']], save({'0': torch.full((4,), float('nan'))}))",
    "infinity everywhere": "reply(['tuple', ['tensor', '0'], ['tensor', '0']], save({'0': torch.full((4,), float('inf'))}))",
    "booleans": "reply(True)",
    "an answer to another question": "frame(json.dumps(['tuple', 'x', 'ok', 1]).encode())",
    "an answer of another kind": "frame(json.dumps(['tuple', nonce(), 'passed', 4]).encode())",
    "a pickle": "reply(['tensor', '0'], __import__('pickle').dumps(print))",
    "nothing, and a closed channel": "(channel().shutdown(2), b'')[1]",
    "one tensor ten thousand times": "reply(['list', *[['tensor', '0']] * 10000], save({'0': torch.zeros(1000)}))",
    "a network's kind as long as a book": (
        "reply(['dict', ['kind', ['list', *['x' * 50] * 20000]], ['predicted', 'x' * 1_000_000], ['source', None]])"
    ),
    "a tensor of a hundred megabytes": "reply(['tensor', '0'], save({'0': torch.zeros(100 << 20, dtype=torch.bool)}))",
    "an array as the verdict": "frame(json.dumps(['tuple', nonce(), ['array', '0'], None]).encode(), save({'0': torch.ones(2)}))",
    "an array as the nonce": "frame(json.dumps(['tuple', ['array', '0'], 'ok', 1]).encode(), save({'0': torch.ones(2)}))",
    "an error that is a network": "frame(json.dumps(['tuple', nonce(), 'raised', ['list', 1], 1, 1]).encode())",
    "a shape of no elements and giant sides": (
        "reply(['tensor', '0'], (lambda h: struct.pack('<Q', len(h)) + h)("
        'b\'{"0":{"dtype":"F32","shape":[0,1099511627776,1048576],"data_offsets":[0,0]}}\'))'
    ),
    "two hundred thousand dimensions": (
        "reply(['tensor', '0'], (lambda h: struct.pack('<Q', len(h)) + h)("
        'b\'{"0":{"dtype":"F32","shape":[\' + b\',\'.join([b\'1\'] * 200000) + b\'],"data_offsets":[0,4]}}\') + bytes(4))'
    ),
    "a byte every now and then": "(channel().sendall(struct.pack('>II', 4_000_000, 0)), [__import__('time').sleep(0.05) or channel().sendall(b'x') for _ in range(100)], b'')[2]",
    "an unusual dtype": (
        "reply(['tensor', '0'], (lambda h: struct.pack('<Q', len(h)) + h)("
        'b\'{"0":{"dtype":"F8_E8M0","shape":[4],"data_offsets":[0,4]}}\') + bytes(4))'
    ),
    "a million empty lists": "frame(b'[' + b'[],' * 1_300_000 + b'0]')",
    "infinity in JSON": "frame(json.dumps(['tuple', nonce(), 'ok', 1]).replace(' 1]', ' 1e999]').encode())",
    "a thousand answers": "b''.join(reply(i) for i in range(1000))",
}
for name, made in FORGED.items():
    CHEATS[f"forged reply: {name}"] = f"{CHANNEL}\ndef attack(*inputs):\n    channel().sendall({made})\n    return 0"
CHEATS["forged reply: written before it was asked for"] = f"""{CHANNEL}
for _ in range(10): channel().send(frame(json.dumps(["tuple", "0" * 16, "ok", True]).encode()))
"""
CHEATS["a thread that talks over the answer"] = f"""{CHANNEL}
import threading
def talk():
    end = channel()
    while True: end.send(frame(b'["tuple", "0", "ok", 1]'))
def attack(*inputs):
    threading.Thread(target=talk, daemon=True).start()
    return 0
"""


def attacked(code):
    answers = {} if "ANSWERS" in code else LAZY
    return submission(answers, first=SHOUT + code)


def honest_still_passes(judge):
    rows = judge.grade(submission(solved=True), only=["01.1", "01.2"])
    return [row["points"] for row in rows] == [4, 5]


@pytest.mark.parametrize("name", CHEATS)
def test_a_cheat_earns_nothing_and_reaches_nothing(judge, name):
    started = time.monotonic()
    slow = any(
        word in name
        for word in ("loop", "flood", "SIGSTOP", "bomb", "gigabyte", "now and then", "each other", "shorter")
    )
    exercises = ["01.1", "01.2"] if slow else ["01.1", "01.2", "01.3", "01.4", "01.5"]
    rows = judge.grade(attacked(CHEATS[name]), only=exercises)
    assert [row["exercise"] for row in rows] == exercises
    assert sum(row["points"] for row in rows) == 0, rows
    assert all(row["message"].isprintable() and len(row["message"]) < 700 for row in rows)
    assert not [row for row in rows if row["fault"] == "grader"]
    assert not [row["message"] for row in rows if "ESCAPED" in row["message"]]
    assert all(row["status"] in ("wrong", "error", "timeout", "crash", "missing") for row in rows)
    assert time.monotonic() - started < 60
    assert honest_still_passes(judge)


def test_there_are_at_least_thirty_cheats():
    assert len(CHEATS) >= 30


@pytest.mark.parametrize(
    "code, status, message",
    [
        ("import os\ndef attack(*a): os._exit(0)", "crash", "ended itself"),
        ("import os, signal\ndef attack(*a): os.kill(os.getpid(), signal.SIGSEGV)", "crash", "SIGSEGV"),
        ("def attack(*a):\n    while True: pass", "timeout", "took over 2 s"),
        ("import torch\ndef attack(*a): torch.ones(1 << 34)", "error", "memory"),
    ],
)
def test_the_exercise_at_fault_says_so_and_the_others_are_still_graded(judge, code, status, message):
    answers = {"transfer-gain": f"{code}\ndef transfer_gain(a, b): return attack(a, b)"}
    rows = judge.grade(submission(answers, solved=True))
    assert rows[0]["status"] == status and message in rows[0]["message"]
    assert [row["points"] for row in rows] == [0, 5, 7, 7, 9]


@pytest.mark.parametrize("code", ["import os; os._exit(1)", "while True: pass", "import ctypes; ctypes.string_at(0)"])
def test_a_cell_that_kills_its_process_is_left_out_and_named(judge, code, monkeypatch):
    monkeypatch.setattr(answer, "CELL_SECONDS", 2)
    rows = judge.grade(submission(first=code, solved=True))
    assert [row["points"] for row in rows] == [4, 5, 7, 7, 9]
    assert all("Without the cell" in row["message"] for row in rows)
    own = judge.grade(submission({"transfer-gain": code}, solved=True))
    assert [row["points"] for row in own] == [0, 5, 7, 7, 9]
    assert own[0]["status"] in ("crash", "timeout") and "transfer-gain" in own[0]["message"]


LEAVE = """
import os, ctypes, tempfile, time, threading
for folder in (".", "..", os.environ["HOME"], tempfile.gettempdir(), "/tmp", "/dev/shm", "/var/tmp"):
    try:
        os.makedirs(os.path.join(folder, "left", *"abcdefgh" * 40), exist_ok=True)
        open(os.path.join(folder, "left-file"), "w").write("for the next")
    except OSError: pass
deep = "left-deep"
for _ in range(3000):
    try: os.mkdir("d"); os.chdir("d")
    except OSError: break
libc = ctypes.CDLL(None)
libc.shmget(4711, 4096, 0o1666)
libc.msgget(4711, 0o1666)
threading.Thread(target=time.sleep, args=(1000,), daemon=False).start()
import builtins, tlcourse, torch
builtins.left = tlcourse.left = torch.left = "for the next"
os.chmod("/tmp", 0o500) if os.access("/tmp", os.W_OK) else None
"""
FIND = """
import os, builtins, tlcourse, torch, ctypes
found = [name for folder in (".", "..", "/tmp", "/dev/shm", os.environ["HOME"]) if os.path.isdir(folder)
         for name in os.listdir(folder) if "left" in name]
found += [pid for pid in os.listdir("/proc") if pid.isdigit() and int(pid) not in (1, os.getpid())]
found += [str(m) for m in (builtins, tlcourse, torch) if hasattr(m, "left")]
if ctypes.CDLL(None).shmget(4711, 4096, 0) >= 0: found.append("shared memory")
if found: shout(found)
"""


def test_nothing_that_one_submission_leaves_is_there_for_the_next(judge):
    for code in (LEAVE, LEAVE + "\nos.chmod('.', 0)"):
        judge.grade(submission(first=code))
        rows = judge.grade(submission(LAZY, first=SHOUT + FIND + "def attack(*a): return 0"))
        assert not [row["message"] for row in rows if "ESCAPED" in row["message"] or "without id" in row["message"]]
        assert honest_still_passes(judge)


def test_what_a_function_shouts_of_hidden_inputs_is_not_for_the_student(judge):
    answers = {"transfer-gain": "def transfer_gain(a, b): raise ValueError('inputs: ' + repr(a.tolist()))"}
    row = judge.grade(submission(answers), only=["01.1"])[0]
    assert "inputs: [[" in row["message"] and row["status"] == "error"
    assert row["hint"] == "transfer_gain raised ValueError (line 1 of cell transfer-gain)."
    for own in (
        "raise type('inputs: ' + repr(a.tolist()), (Exception,), {})",
        "exec(compile('1/0', '<cell ' + repr(a.tolist()) + '>', 'exec'))",
    ):
        answers = {"transfer-gain": f"def transfer_gain(a, b): {own}"}
        assert judge.grade(submission(answers), only=["01.1"])[0]["hint"] == "transfer_gain raised an exception."


@pytest.mark.parametrize("code", ["while True: pass  # {}", "import os; os._exit(0)  # {}"])
def test_a_notebook_of_deadly_cells_has_a_budget(judge, code, monkeypatch):
    monkeypatch.setattr(answer, "CELL_SECONDS", 1)
    notebook = nbformat.reads(submission(solved=True).decode(), as_version=4)
    notebook.cells[2:2] = [nbformat.v4.new_code_cell(code.format(i)) for i in range(60)]
    started = time.monotonic()
    rows = judge.grade(nbformat.writes(notebook).encode())
    assert time.monotonic() - started < 120
    assert {row["status"] for row in rows} == {"timeout"} and "was not run" in rows[0]["message"]
    many = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1") for _ in range(2001)])
    assert "over 2,000 cells" in judge.grade(nbformat.writes(many).encode(), "01_fundamentals")[0]["message"]


def test_an_answer_in_long_doubles_or_another_byte_order_is_an_answer(judge):
    code = "def transfer_gain(a, b):\n    d = 100 * (b - a)\n    error = d.std(axis=1, ddof=1) / d.shape[1] ** 0.5\n"
    code += "    return d.mean(axis=1).astype(np.longdouble), error.astype('>f8')"
    assert judge.grade(submission({"transfer-gain": code}), only=["01.1"])[0]["points"] == 4


def test_a_closed_channel_is_not_said_to_be_a_death_for_memory(judge):
    code = f"{CHANNEL}\ndef transfer_gain(a, b):\n    channel().shutdown(socket.SHUT_WR)\n    while True: pass"
    row = judge.grade(submission({"transfer-gain": code}), only=["01.1"])[0]
    assert row["status"] == "crash" and "closed its channel" in row["message"] and "memory" not in row["message"]


def test_metadata_cannot_raise_the_points(judge):
    content = (
        submission(solved=True).replace(b'"points": 4', b'"points": 297').replace(b'"points": 9', b'"points": 297')
    )
    rows = judge.grade(content)
    assert [(row["points"], row["max_points"]) for row in rows] == [(4, 4), (5, 5), (7, 7), (7, 7), (9, 9)]


def test_a_cell_under_the_name_of_a_locked_one_is_not_run(judge):
    code = "def transfer_gain(a, b): return 1\nraise RuntimeError('ESCAPED')"
    rows = judge.grade(submission({"check-transfer-gain": code, "setup": code, "broken-transfer": code}, solved=True))
    assert [row["points"] for row in rows] == [4, 5, 7, 7, 9]


def test_the_secret_is_not_in_the_sandbox(judge, tmp_path):
    canary = tmp_path / "seed.txt"
    canary.write_text("secret")
    code = (
        f"import os\nif os.path.exists({str(canary)!r}) or os.path.exists({str(Path.home() / '.bashrc')!r}): shout(1)"
    )
    rows = judge.grade(submission(LAZY, first=f"{SHOUT}{code}\ndef attack(*a): return 0"))
    assert not [row for row in rows if "ESCAPED" in row["message"]]
