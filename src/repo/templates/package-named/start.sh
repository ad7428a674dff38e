#!/bin/sh
# How the program is started, in the foreground: if it is not called like its package, or wants options, say so here.
set -eu
exec @PACKAGE@ "$@"
