/* SPDX-License-Identifier: Apache-2.0 */
/* Texts of others (logs, names, errors of servers) on their way to a terminal: nothing of them may steer it.
 */
#pragma once

#include "base/buf.h"
#include "base/str.h"

#include <stdio.h>

/* A stream of text that comes in pieces. Begin with zeros. */
struct terminal_filter {
	enum { TERMINAL_TEXT, TERMINAL_ESCAPE, TERMINAL_CONTROL, TERMINAL_STRING, TERMINAL_C2 } state;
	char held[32]; /* parameters of a control sequence; longer ones are none that is let through */
	size_t held_len;
};
/* Appends to out what may be shown: text, line ends, tabs and colours. */
void terminal_filter(struct terminal_filter *f, struct str piece, struct buf *out);

/* One line of text with '?' for each control character. Caller frees. */
char *terminal_line(const char *text);
/* The same for a text of several lines. */
char *terminal_text(const char *text);
