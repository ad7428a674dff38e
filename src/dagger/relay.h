/* SPDX-License-Identifier: Apache-2.0 */
/* A port of this machine's loopback that leads to another address. TCP only. Threads: any. */
#pragma once

#include "base/compiler.h"
#include "base/err.h"

struct relay;

/* Listen on 127.0.0.1:from; host is looked up for each connection. Caller frees with relay_stop. */
MUST_USE struct err *relay_start(int from, const char *host, int port, struct relay **out);
/* Ends its connections, too. NULL: nothing. */
void relay_stop(struct relay *r);
