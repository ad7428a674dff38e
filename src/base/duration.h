/* SPDX-License-Identifier: Apache-2.0 */
/* Durations as Go writes them. Units: nanoseconds. Pure text. */
#pragma once

#include "base/buf.h"

#include <stdbool.h>
#include <stdint.h>

/* Go's durations: "1m30s", "250ms", "1.5h". */
bool duration_parse(const char *text, int64_t *ns);
/* As Go prints them. */
void duration_text(int64_t ns, struct buf *out);
/* A whole number and a unit, as in settings: "14d", "36h", "90m", "30s"; at most a hundred years. */
bool duration_parse_span(const char *text, int64_t *ns);
