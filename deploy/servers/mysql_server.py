"""MariaDB or Oracle MySQL with a row-format binlog that a collector can read."""

from __future__ import annotations

from instances import HOST, Instance
from processes import must_run_inside, run_inside

USER = "mysql"
NAME = "mysql"
BINLOG_DAYS = 7

COMMON = """[mysqld]
user = mysql
bind-address = {host}
port = {port}
datadir = {folder}/data
tmpdir = {folder}/tmp
socket = {folder}/mysql.sock
pid-file = {folder}/mysql.pid
skip-name-resolve
character-set-server = utf8mb4
max_connections = 300
max_allowed_packet = 64M
innodb_buffer_pool_size = 256M
innodb_flush_log_at_trx_commit = 1
server-id = 1
log-bin = {folder}/data/binlog
binlog_row_image = FULL
binlog_row_metadata = FULL
binlog_expire_logs_seconds = {binlog_seconds}
sync_binlog = 1
"""
MARIADB_ONLY = "binlog_format = ROW\n"
MYSQL_ONLY = "gtid_mode = ON\nenforce_gtid_consistency = ON\nmysqlx = OFF\n"


def prepare(instance: Instance) -> None:
    """A new data folder; passwords are set by the first start's init file."""
    folder, inside = instance.server_folder(NAME), instance.server_inside(NAME)
    for path in (folder, folder / "data", folder / "tmp"):
        instance.make_folder(path, USER)
    if instance.flavour.name == "mariadb":
        # Forced, since there is no name service in the root to look the machine's name up.
        install = ["mariadb-install-db", "--no-defaults", "--user=mysql", "--force"]
        install += ["--auth-root-authentication-method=normal", "--skip-test-db"]
        install += [f"--datadir={inside}/data"]
    else:
        install = ["mysqld", "--no-defaults", "--user=mysql", "--initialize-insecure"]
        install += [f"--datadir={inside}/data"]
    must_run_inside(instance.root, USER, inside, install)
    instance.write(folder / "first-start.sql", _first_start_sql(instance), USER)


def configure(instance: Instance) -> None:
    folder, inside = instance.server_folder(NAME), instance.server_inside(NAME)
    text = COMMON.format(
        host=HOST,
        port=instance.ports[NAME],
        folder=inside,
        binlog_seconds=BINLOG_DAYS * 86400,
    )
    text += MARIADB_ONLY if instance.flavour.name == "mariadb" else MYSQL_ONLY
    instance.write(folder / "my.cnf", text, USER)
    instance.write(folder / "each-start.sql", EACH_START, USER)
    # We start only when no process of ours is left. A killed one that nobody has reaped still
    # counts as alive for MySQL, which would then refuse the socket.
    for left in ("mysql.sock", "mysql.sock.lock", "mysql.pid"):
        (folder / left).unlink(missing_ok=True)
    client = f"[client]\nuser=fleet\npassword={instance.secrets['mysql']}\n"
    client += f"host={HOST}\nport={instance.ports[NAME]}\n"
    instance.make_folder(instance.folder / "client", "root")
    (instance.folder / "client").chmod(0o755)
    instance.write(instance.folder / "client" / "my.cnf", client, USER)


# What the fleet's one user at a desk needs beyond its schemas: the collector reads the log. At each
# start, since a desk may be older than this line. Kept out of the binlog, as all of an init file:
# replicas have their own users.
EACH_START = """SET SESSION sql_log_bin = 0;
GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO 'fleet'@'%';
"""


def _first_start_sql(instance: Instance) -> str:
    """One statement a line, as init files want."""
    known = instance.secrets
    if instance.flavour.name == "mariadb":
        strangers = "DELETE FROM mysql.global_priv WHERE User = ''"
        strangers += " OR (User = 'root' AND Host NOT IN ('localhost', '%'));\n"
    else:
        strangers = ""
    return (
        "SET SESSION sql_log_bin = 0;\n"
        f"{strangers}"
        "FLUSH PRIVILEGES;\n"
        "CREATE DATABASE IF NOT EXISTS tradedesk CHARACTER SET utf8mb4;\n"
        "CREATE DATABASE IF NOT EXISTS fleet CHARACTER SET utf8mb4;\n"
        f"ALTER USER 'root'@'localhost' IDENTIFIED BY '{known['mysql_root']}';\n"
        f"CREATE USER IF NOT EXISTS 'root'@'%' IDENTIFIED BY '{known['mysql_root']}';\n"
        "GRANT ALL PRIVILEGES ON *.* TO 'root'@'%' WITH GRANT OPTION;\n"
        f"CREATE USER IF NOT EXISTS 'fleet'@'%' IDENTIFIED BY '{known['mysql']}';\n"
        "GRANT ALL PRIVILEGES ON tradedesk.* TO 'fleet'@'%';\n"
        "GRANT ALL PRIVILEGES ON fleet.* TO 'fleet'@'%';\n"
        f"{EACH_START}"
    )


def command(instance: Instance) -> list[str]:
    inside = instance.server_inside(NAME)
    program = "mariadbd" if instance.flavour.name == "mariadb" else "mysqld"
    fresh = (instance.server_folder(NAME) / "first-start.sql").exists()
    run = "first-start.sql" if fresh else "each-start.sql"
    return [program, f"--defaults-file={inside}/my.cnf", f"--init-file={inside}/{run}"]


def ready(instance: Instance) -> bool:
    """The application's own user gets an answer; the port alone opens earlier."""
    client = "mariadb" if instance.flavour.name == "mariadb" else "mysql"
    inside = f"{instance.inside}/client"
    query = [client, f"--defaults-file={inside}/my.cnf", "--batch", "--execute=SELECT 1"]
    return run_inside(instance.root, USER, inside, query).returncode == 0


def complete(instance: Instance) -> None:
    (instance.server_folder(NAME) / "first-start.sql").unlink(missing_ok=True)
