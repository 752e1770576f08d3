"""What a process has been given. With "waits" it waits for ever, with "exits N" it ends with N."""

import os
import sys
import threading
from pathlib import Path

match sys.argv[1:]:
    case ["waits"]:
        print("ready", file=sys.stderr)
        threading.Event().wait()
    case ["exits", code]:
        raise SystemExit(int(code))
    case words:
        print(words)
        print(os.environ.get("A"), os.environ.get("HOME"))
        print(Path.cwd())
        print(sys.stdin.read(), end="")
