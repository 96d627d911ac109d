"""MariaDB, in place of the MySQL that Kubeflow Pipelines keeps its runs in."""

import shutil

from api import apply, host_service
from layout import ADDRESS, DATABASE_PORT, LOGS, STATE, password
from processes import run, say, start, wait

NAME = USER = "mlpipeline"
_FOLDER = STATE / "mariadb"
_SOCKET = STATE / "mariadb" / "mariadb.sock"


def up() -> None:
    """Start the database on the bridge's address, and give it a service."""
    say("database: MariaDB")
    if not _FOLDER.exists():
        _FOLDER.mkdir()
        shutil.chown(_FOLDER, "mysql", "mysql")
        run(
            *("mariadb-install-db", "--no-defaults", "--user=mysql", f"--datadir={_FOLDER}"),
            *("--auth-root-authentication-method=socket", "--skip-test-db"),
        )
    statements = f"""CREATE DATABASE IF NOT EXISTS {NAME};
CREATE OR REPLACE USER {USER} IDENTIFIED BY '{password("database")}';
GRANT ALL ON {NAME}.* TO {USER};
"""
    start(
        "mariadb",
        [
            "mariadbd",
            "--no-defaults",
            "--user=mysql",
            f"--datadir={_FOLDER}",
            f"--socket={_SOCKET}",
            f"--pid-file={_FOLDER / 'mariadb.pid'}",
            f"--bind-address={ADDRESS}",
            f"--port={DATABASE_PORT}",
            "--innodb-flush-log-at-trx-commit=0",
        ],
    )
    client = ("mariadb", "--no-defaults", f"--socket={_SOCKET}")
    wait(f"MariaDB ({LOGS})", lambda: run(*client, "-e", "SELECT 1"), log="mariadb")
    run(*client, text=statements)
    apply(*host_service("mysql", DATABASE_PORT))
