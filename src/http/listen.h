/* SPDX-License-Identifier: Apache-2.0 */
/* Listening sockets from "host:port" text. */
#pragma once

#include "base/compiler.h"
#include "base/err.h"

#include <stdint.h>

/* ERR_EXISTS when the address is in use. *port is the one in effect. Caller closes *fd. */
MUST_USE struct err *listen_open(const char *address, int *fd, uint16_t *port);
