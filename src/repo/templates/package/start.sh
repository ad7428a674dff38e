#!/bin/sh
set -eu
exec busybox httpd -f -p "${PORT:-8080}" -h /srv/www "$@"
