/* SPDX-License-Identifier: Apache-2.0 */
/* A string view: borrowed bytes with a length, passed by value, not NUL-terminated. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct str {
	const char *ptr;
	size_t len;
};

/* STR("literal") */
#define STR(lit) ((struct str){(lit), sizeof(lit) - 1})
/* For "%.*s": printf(STR_FMT, STR_ARG(s)) */
#define STR_FMT "%.*s"
#define STR_ARG(s) (int)(s).len, (s).ptr

struct str str_c(const char *s); /* of a C string; NULL gives the empty view */
struct str str_n(const char *s, size_t len);
bool str_eq(struct str a, struct str b);
bool str_eq_c(struct str a, const char *b);
bool str_eq_nocase(struct str a, const char *b); /* ASCII */
int str_cmp(struct str a, struct str b);         /* bytewise */
bool str_starts(struct str s, const char *prefix);
bool str_ends(struct str s, const char *suffix);
struct str str_trim(struct str s); /* ASCII blanks, tabs, CR, LF at both ends */
struct str str_skip(struct str s, size_t n);
/* Index of byte c, or -1. */
ptrdiff_t str_index(struct str s, char c);
ptrdiff_t str_rindex(struct str s, char c);
/* Cut *rest at the first sep: *head is before it, *rest after. False when *rest was exhausted (ptr NULL). */
bool str_split(struct str *rest, char sep, struct str *head);
/* Whole view as a decimal number; false on anything else or overflow. */
bool str_to_u64(struct str s, uint64_t *out);
bool str_to_i64(struct str s, int64_t *out);
bool str_to_octal(struct str s, uint32_t *out);

/* C string helpers. */
bool cstr_eq(const char *a, const char *b); /* NULL equals NULL only */
/* Foreign text for people: control characters become "?", so that it cannot steer a terminal. */
void cstr_make_visible(char *s);
bool cstr_starts(const char *s, const char *prefix);
bool cstr_ends(const char *s, const char *suffix);
/* For "1 step, 2 steps": "" if n is 1, else "s". */
const char *plural(uint64_t n);
/* Is the text valid UTF-8 (no surrogates, no overlong forms)? */
bool str_is_utf8(struct str s);

/*
 * The candidate nearest to word by edit distance (case ignored), for "did you mean"; NULL if none is
 * nearer than 3. candidates ends with NULL. Borrowed from candidates.
 */
const char *str_suggest(const char *word, const char *const *candidates);
