/* SPDX-License-Identifier: Apache-2.0 */
/* What a program prints, as lines of events, while another thread waits for it. */
#pragma once

#include "base/compiler.h"
#include "base/err.h"
#include "base/event.h"

struct printed;
/* *fd, to be closed by the caller once the program has it, is what the program prints to. */
MUST_USE struct err *printed_start(struct event_stream *events, struct printed **out, int *fd);
/* Once the program has ended: what is left, and no more of what it may have left running. NULL is fine. */
void printed_end(struct printed *p);
