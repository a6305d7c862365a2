-- Run once by the image's entrypoint, after it has made tradedesk and the user fleet.
CREATE DATABASE IF NOT EXISTS fleet CHARACTER SET utf8mb4;
GRANT ALL PRIVILEGES ON fleet.* TO 'fleet'@'%';
GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO 'fleet'@'%'; -- the collector reads the log
