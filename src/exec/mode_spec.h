/* SPDX-License-Identifier: Apache-2.0 */
/* Modes as chmod takes them: octal ("644", "0755", "u=rwx" forms: "u+x,go-w", "a=rX"). */
#pragma once

#include "base/compiler.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

#define MODE_CLAUSES_MAX 16

struct mode_clause {
	uint32_t who;  /* bits of 07777 that may change */
	char op;       /* '+', '-', '=' */
	uint32_t bits; /* already limited to who */
	bool big_x;    /* X: x for directories and what is executable for anybody */
	uint32_t copy; /* 'u', 'g' or 'o': bits are those of that class; 0: not */
};
struct mode_spec {
	bool octal;
	uint32_t mode; /* when octal */
	struct mode_clause clauses[MODE_CLAUSES_MAX];
	int count;
};

/* ERR_INVALID with the text. */
MUST_USE struct err *mode_spec_parse(const char *text, struct mode_spec *out);
/* Permission bits for something that had mode (type bits are ignored). Without "who" all classes are meant;
 * there is no umask. */
uint32_t mode_spec_apply(const struct mode_spec *s, uint32_t mode, bool is_dir);
