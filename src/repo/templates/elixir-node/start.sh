#!/bin/sh
# What is to be done before the service starts, such as waiting for its database and bringing it up to date:
#   /opt/@NAME@/bin/service eval "Service.Release.migrate"
set -eu
# The release writes its runtime settings; its own folder is not the user's.
export RELEASE_TMP="${RELEASE_TMP:-/tmp}"
exec /opt/@NAME@/bin/service start "$@"
