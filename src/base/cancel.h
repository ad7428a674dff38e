/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asking work to stop. A token is set once and stays set. Setting it is async-signal-safe. Its descriptor
 * becomes readable when set, for poll. Threads: any.
 */
#pragma once

#include "base/err.h"

#include <stdbool.h>

struct cancel;

struct cancel *cancel_new(void);
void cancel_free(struct cancel *c);
void cancel_freep(struct cancel **c);
void cancel_set(struct cancel *c);
bool cancel_is_set(const struct cancel *c); /* NULL: false */
int cancel_fd(const struct cancel *c);      /* NULL: -1; borrowed */
/* ERR_CANCELED when set, else NULL. */
MUST_USE struct err *cancel_check(const struct cancel *c);
