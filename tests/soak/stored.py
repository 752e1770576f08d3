"""How often each user id is stored in a server's data folder, as tab-separated lines: python -m tests.soak.stored FOLDER

A process of its own, for chDB opens one folder for the life of a process.
"""

import sys
from pathlib import Path

import clickhouse_connect


def main() -> None:
    client = clickhouse_connect.get_client(dsn=f"chdb://{Path(sys.argv[1]).resolve() / 'store'}")
    rows = client.raw_query("SELECT user_id, count() FROM events GROUP BY user_id", fmt="TabSeparated")
    client.close()
    sys.stdout.buffer.write(rows)


if __name__ == "__main__":
    main()
