#!/bin/sh
# The daemon writes its settings back when it ends, so it gets a copy on the first start.
set -eu
config=${TRANSMISSION_CONFIG:-/config}
[ -f "$config/settings.json" ] || cp /etc/transmission-daemon/homelab.json "$config/settings.json"
exec transmission-daemon --foreground --config-dir "$config" "$@"
