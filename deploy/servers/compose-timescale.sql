-- Run once by the image's entrypoint, as superuser in the database postgres.
\getenv password FLEET_PASSWORD
CREATE ROLE fleet LOGIN PASSWORD :'password';
-- Not template1: the image has put the extension, and with it a worker, into that one.
CREATE DATABASE fleet OWNER fleet TEMPLATE template0;
\connect fleet
CREATE EXTENSION IF NOT EXISTS timescaledb;
